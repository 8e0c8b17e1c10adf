"""Tied parameters: settings that follow others through sampling, starts, edits and reading."""

from __future__ import annotations

import json

import jsonschema
import optuna
import pytest

from mmsa.config import dump_yaml, parse, with_overrides
from mmsa.errors import ConfigError
from mmsa.search.definition.load import load_space
from mmsa.search.definition.schema import schema_text
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.study.successors import explored
from mmsa.search.study.versions import point_in

DROPOUT = {"type": "float", "low": 0.0, "high": 0.5}
HIDDEN = {"type": "int", "low": 8, "high": 24}
TIED = {
    "model.vision.dropout": {"same_as": "model.audio.dropout"},
    "model.audio.dropout": DROPOUT,
    "model.audio.hidden": HIDDEN,
    "model.vision.hidden": {"same_as": "2 * model.audio.hidden"},
}
BASE = {
    "model": {
        "name": "mmim",
        "audio": {"name": "lstm", "hidden": 16},
        "vision": {"name": "lstm", "hidden": 32},
    }
}


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "nsga2", "qmc"])
def test_every_point_keeps_the_tie_and_no_sampler_sees_it(make_study_config, sampler):
    config = make_study_config(TIED, base=BASE, sampler={"name": sampler}, trials=40)
    study = optuna.create_study(sampler=config.build_sampler(num_trials=0))
    points = []
    for _ in range(4):
        trial = study.ask()
        point = config.space.suggest(trial)
        assert trial.params.keys() == {"model.audio.dropout", "model.audio.hidden"}
        assert config.space.decode(trial.params) == point
        assert config.space.encode(point) == trial.params
        assert point["model.vision.dropout"] == point["model.audio.dropout"]
        assert point["model.vision.hidden"] == 2 * point["model.audio.hidden"]
        points.append(point["model.audio.dropout"])
        study.tell(trial, 1.0)
    assert len(set(points)) == 4


def test_a_tie_survives_storing_and_starts_follow_it(make_study_config):
    config = make_study_config(TIED, base=BASE, starts=[{"model.audio.dropout": 0.3}])
    assert [point["model.vision.dropout"] for point in config.starts()] == [0.1, 0.3]
    assert parse(StudyConfig, config.model_dump(), "stored") == config
    jsonschema.validate(json.loads(json.dumps(config.model_dump())), json.loads(schema_text()))


def test_trials_of_before_carry_over_where_the_tie_holds(make_study_config):
    free = dict.fromkeys(("model.audio.dropout", "model.vision.dropout"), DROPOUT)
    tied = {**free, "model.vision.dropout": {"same_as": "model.audio.dropout"}}
    then, now = make_study_config(free), make_study_config(tied)
    together = {"model.audio.dropout": 0.2, "model.vision.dropout": 0.2}
    assert point_in(now, then, together) == together
    assert point_in(now, then, {**together, "model.vision.dropout": 0.3}) is None


def test_a_tie_exists_while_what_it_follows_does(make_study_config):
    name = {"type": "categorical", "choices": ["mlp", "misa"]}
    rank = {"type": "float", "low": 0.0, "high": 0.5, "when": {"model.fusion.name": "mlp"}}
    config = make_study_config(
        {
            "model.fusion.name": name,
            "model.fusion.dropout": rank,
            "model.audio.dropout": {"same_as": "model.fusion.dropout"},
        },
    )
    points = {
        value: point for path, value, point in config.space.corners(config.base) if path.endswith("name")
    }
    assert points["mlp"].keys() == config.space.parameters.keys()
    assert points["misa"].keys() == {"model.fusion.name"}


def test_a_population_moves_what_is_tied_together(make_study_config):
    lr = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
    space = {"optim.lr": lr, "optim.lr_estimator": {"same_as": "optim.lr * 2"}}
    config = make_study_config(
        space,
        base={"optim": {"lr": 0.001, "lr_estimator": 0.002}},
        scheduler={"name": "pbt", "interval": 1},
    )
    moved = explored(config.starts()[0], config.space, config.allows, seed=1)
    assert moved["optim.lr"] != 0.001
    assert moved["optim.lr_estimator"] == 2 * moved["optim.lr"]


REFUSED = [
    ({"same_as": "model.audio.dropuot"}, "same_as", "not a parameter of this space", "'model.audio.dropout'"),
    ({"same_as": "optim.weight_decay"}, "same_as", "not a parameter of this space", ""),
    ({"same_as": "model.vision.dropout"}, "same_as", "cannot follow itself", ""),
    ({"same_as": "0.1"}, "same_as", "names no parameter", "`base`"),
    ({"same_as": "open('x')"}, "same_as", "is not understood", ""),
    ({"same_as": 3}, "same_as", "valid string", ""),
    ({"same_as": "model.audio.dropout", "type": "float"}, "type", "not a setting", ""),
    ({"same_as": "model.audio.dropout * 4"}, "", "less than 1", ""),
    ({"same_as": "model.audio.dropout / 0"}, "", "division by zero", ""),
]


@pytest.mark.parametrize(("tie", "where", "rule", "advice"), REFUSED)
def test_refused(make_values, tie, where, rule, advice):
    values = make_values({"model.audio.dropout": DROPOUT, "model.vision.dropout": tie})
    with pytest.raises(ConfigError) as caught:
        parse(StudyConfig, values, "space.yaml")
    problem = caught.value.problems[0]
    assert problem.path == f"search.parameters.model.vision.dropout.{where}".rstrip(".")
    assert rule in problem.rule
    assert advice in problem.next_step


def test_defaults_and_starts_that_differ_are_told_the_value(make_values):
    base = {
        "model": {
            "name": "mmim",
            "audio": {"name": "lstm", "hidden": 16},
            "vision": {"name": "lstm", "hidden": 30},
        }
    }
    values = make_values(TIED, base=base)
    values["search"]["starts"] = [{"model.audio.dropout": 0.2, "model.vision.dropout": 0.3}]
    with pytest.raises(ConfigError) as caught:
        parse(StudyConfig, values, "space.yaml")
    first, second = caught.value.problems
    assert (first.path, first.next_step) == ("base.model.vision.hidden", "Write 32.")
    assert (second.path, second.next_step) == ("search.starts.0.model.vision.dropout", "Write 0.2.")


def test_an_equality_that_freezes_its_parameters_is_refused_with_the_tie(tmp_path, make_values, caplog):
    path = tmp_path / "space.yaml"
    parameters = {"model.audio.dropout": DROPOUT, "model.vision.dropout": DROPOUT}
    equal = make_values(parameters, constraints=["model.audio.dropout == model.vision.dropout"])
    path.write_text(dump_yaml(equal), encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"nothing to draw(?s:.)*model.vision.dropout: \{same_as: model.audio.drop"
    ):
        load_space(path)
    parse(StudyConfig, equal, "a study of before can still be read")

    rare = make_values(parameters, constraints=["model.audio.dropout + model.vision.dropout <= 0.2 * 0.6"])
    rare["base"] = with_overrides(
        load_space("demo").base, {"model.audio.dropout": 0.0, "model.vision.dropout": 0.0}
    ).model_dump()
    rare["search"]["parameters"] |= {"model.fusion.dropout": DROPOUT}
    rare["search"]["constraints"] = [
        "model.audio.dropout + model.vision.dropout + model.fusion.dropout <= 0.12"
    ]
    rare["base"]["model"]["fusion"]["dropout"] = 0.0
    path.write_text(dump_yaml(rare), encoding="utf-8")
    load_space(path)
    assert "of drawn points only" in caplog.text
