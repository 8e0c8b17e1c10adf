"""Constraints of a space: refused where they cannot hold, kept by every sampler."""

from __future__ import annotations

from typing import Any

import optuna
import pytest

from mmsa.config import parse
from mmsa.errors import ConfigError, Problem
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.samplers import SAMPLERS
from mmsa.search.space.constraints import parse_constraint

PARAMETERS = {
    "model.audio.hidden": {"type": "int", "low": 8, "high": 64},
    "train.batch_size": {"type": "int", "low": 4, "high": 24},
    "model.fusion.name": {"type": "categorical", "choices": ["mlp", "lmf"]},
    "model.fusion.rank": {"type": "int", "low": 1, "high": 8, "when": {"model.fusion.name": "lmf"}},
    "optim.weight_decay": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True, "zero": 0.1},
}
DIVIDES = "model.audio.hidden % train.batch_size == 0"
SMALL = "model.fusion.rank * 8 <= model.audio.hidden"
BASE = {"model": {"name": "mmim", "audio": {"name": "lstm", "hidden": 40}}}
SETTINGS = {"nsga2": {"population": 3}, "nsga3": {"population": 3}, "gp": {"startup": 8}}


@pytest.fixture
def config(make_values) -> Any:
    def make(*constraints: str, **search: Any) -> StudyConfig:
        values = make_values(PARAMETERS, base=BASE, constraints=list(constraints), **search)
        return parse(StudyConfig, values, "space.yaml")

    return make


def problems(config: Any, *constraints: str, **search: Any) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        config(*constraints, **search)
    return list(caught.value.problems)


def points(config: StudyConfig, trials: int) -> list[dict[str, Any]]:
    study = optuna.create_study(directions=[o.direction for o in config.search.objectives])
    study.sampler = config.build_sampler(0)
    found = []
    for _ in range(trials):
        trial = study.ask()
        found.append(config.space.suggest(trial))
        study.tell(trial, [float(found[-1]["optim.weight_decay"])] * len(config.search.objectives))
    return found


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_keeps_them(config, name):
    two = [{"metric": f"valid/{metric}", "direction": "minimize"} for metric in ("mae", "pearson")]
    searched = config(
        DIVIDES,
        SMALL,
        trials=20,
        sampler={"name": name, **SETTINGS.get(name, {})},
        **({"objectives": two} if name == "nsga3" else {}),
    )
    found = points(searched, 10)
    for point in found:
        assert point["model.audio.hidden"] % point["train.batch_size"] == 0
        assert point.get("model.fusion.rank", 0) * 8 <= point["model.audio.hidden"]
    assert len({tuple(sorted(point.items())) for point in found}) == 10


def test_a_condition_that_almost_no_point_fulfils_is_repaired_with_the_defaults(config):
    exact = config("optim.weight_decay == 0.0001", sampler={"name": "random"})
    found = points(exact, 3)
    assert {point["optim.weight_decay"] for point in found} == {0.0001}
    assert len({point["model.audio.hidden"] for point in found}) > 1


def test_settings_that_are_not_searched_count(config):
    assert config("model.audio.hidden < 100 * train.epochs").allows({})
    (problem,) = problems(config, "train.epochs > 2")
    assert problem.path == "search.constraints.0"
    assert "none of 1000 points" in problem.rule


def test_defaults_that_break_one_are_refused(config):
    (problem,) = problems(config, "model.audio.hidden <= 30")
    assert problem.rule == "the defaults do not fulfil it"
    assert "base" in problem.next_step


def test_starts_that_break_one_are_refused(config):
    (problem,) = problems(config, DIVIDES, starts=[{"train.batch_size": 7}])
    assert problem.path == "search.starts.0"
    assert DIVIDES in problem.rule
    assert config(DIVIDES, starts=[{"train.batch_size": 10}])


@pytest.mark.parametrize(
    ("text", "rule", "advice"),
    [
        ("model.audio.hiden > 1", "model.audio.hiden is not a setting", "Did you mean 'model.audio.hidden'?"),
        ("model.name * 2 == 1", "'mmim' is not a number", "`base`"),
        ("model.audio > 1", "model.audio is not a setting", "model.audio"),
        ("model.audio.hidden", "neither true nor false", "Compare"),
        ("print(1) == 1", "not understood", "may hold"),
        ("valid/mea <= 1", "not a metric", "Did you mean 'valid/mae'?"),
        ("test/mae <= 1", "never sees the test split", "valid/mae"),
        ("valid/mae < 1", "by <= or >=", "valid/mae <= 0.5"),
        ("valid/mae > 1", "by <= or >=", "valid/mae >= 0.5"),
        ("valid/mae <= nan", "by <= or >=", "valid/mae <= 0.5"),
        ("valid/mae <= train.epochs", "by <= or >=", "valid/mae <= 0.5"),
    ],
)
def test_what_cannot_be_meant_is_refused(config, text, rule, advice):
    (problem,) = problems(config, DIVIDES, text)
    assert problem.path == "search.constraints.1"
    assert problem.value == text
    assert rule in problem.rule
    assert advice in problem.next_step


def test_a_parameter_that_does_not_exist_decides_nothing(config):
    point = {
        "model.audio.hidden": 8,
        "train.batch_size": 4,
        "model.fusion.name": "mlp",
        "optim.weight_decay": 0.01,
    }
    assert config(SMALL).allows(point)
    assert not config(SMALL).allows({**point, "model.fusion.name": "lmf", "model.fusion.rank": 8})


def test_a_bound_on_a_metric_says_by_how_much_it_is_broken():
    upper, lower = parse_constraint("valid/mae <= 0.5"), parse_constraint(" valid/pearson>=0.5 ")
    assert (upper.metric, upper.excess(0.75)) == ("valid/mae", 0.25)
    assert (lower.metric, lower.excess(0.75)) == ("valid/pearson", -0.25)
