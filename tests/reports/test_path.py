"""The way from the defaults to the best trial: its order, its points, and what running them leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import optuna
import pytest
from reports_cases import TERM, config_of

from mmsa.config import with_overrides
from mmsa.errors import StudyError
from mmsa.interface import Scalar
from mmsa.reports.path_runs import PATH_RUNS, known_runs, points_along, run_steps
from mmsa.reports.points import axes_of, table_of, units_of_choice
from mmsa.reports.study_report import run_path
from mmsa.reports.surrogate import Forest, Guess, Step, ablation_path
from mmsa.search.study.view import StudyView

CONFIG = config_of()
SPACE = CONFIG.space
WEIGHT, CLIP, NAME = "objective.terms.cpc.weight", f"{TERM}.estimator.clip", f"{TERM}.estimator.name"


def test_each_step_takes_what_helps_most_and_every_point_can_be_run() -> None:
    axes, rng = axes_of(SPACE), np.random.default_rng(0)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    points = [SPACE.suggest(study.ask()) for _ in range(150)]
    result_N = np.array([float(p[WEIGHT]) + 0.3 * (p[NAME] == "smile") + 0.01 * rng.normal() for p in points])
    forest = Forest(axes, table_of(axes, points), result_N)
    start = {**CONFIG.complete({}), WEIGHT: 0.9, NAME: "smile", CLIP: 5.0}
    end = {**{p: v for p, v in start.items() if p != CLIP}, WEIGHT: 0.0, NAME: "infonce", "optim.lr": 0.05}
    first, steps = ablation_path(forest, axes, SPACE, start, end, "minimize")
    assert [step.name for step in steps] == [WEIGHT, NAME, "optim.lr"]
    assert steps[0].moves == {WEIGHT: ("0.9", "0")}
    assert steps[1].moves == {NAME: ("smile", "infonce"), CLIP: ("5", "-")}
    assert first.value - steps[0].guess.value > 0.4
    assert first.low <= first.value <= first.high
    along = points_along(start, end, steps)
    assert along[-1] == end
    for point in along:
        SPACE.encode(point)  # refuses a point that the space does not have
        with_overrides(CONFIG.base, point)
    assert ablation_path(forest, axes, SPACE, start, end, "maximize")[1][-1].name == WEIGHT


def test_a_choice_without_an_effect_where_it_is_made_waits() -> None:
    axes, rng = axes_of(SPACE), np.random.default_rng(0)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    points = [SPACE.suggest(study.ask()) for _ in range(100)]
    result_N = np.array([float(p["optim.lr"]) for p in points]) + 0.001 * rng.normal(size=100)
    forest = Forest(axes, table_of(axes, points), result_N)
    start = {**CONFIG.complete({}), "optim.lr": 0.09, WEIGHT: 0.5}
    end = {**start, "optim.lr": 0.001, WEIGHT: 0.1}

    def silent(point: Mapping[str, Scalar]) -> tuple[str, ...]:
        return ("optim.",) if point[WEIGHT] == 0.5 else ()

    assert ablation_path(forest, axes, SPACE, start, end, "minimize")[1][0].name == "optim.lr"
    assert ablation_path(forest, axes, SPACE, start, end, "minimize", silent)[1][0].name == WEIGHT
    never = ablation_path(forest, axes, SPACE, start, end, "minimize", lambda point: ("optim.",))[1]
    assert [step.name for step in never] == [WEIGHT]


def test_curves_follow_what_was_planted() -> None:
    axes = axes_of(SPACE)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    points = [SPACE.suggest(study.ask()) for _ in range(200)]
    names = [axis.name for axis in axes]
    forest = Forest(axes, table_of(axes, points), np.array([float(p[WEIGHT]) for p in points]))
    weight, rate = forest.responses([names.index(WEIGHT), names.index("optim.lr")])
    assert weight.zero is not None
    assert weight.zero.value < 0.1
    assert weight.curve[-1].value > 0.6
    assert rate.zero is None
    assert np.ptp([guess.value for guess in rate.curve]) < 0.1


def test_settings_that_exist_together_move_together() -> None:
    units = units_of_choice(SPACE)
    assert units["levels"] == SPACE.groups["levels"][1]
    assert set(units[NAME]) == {NAME, CLIP}
    assert sorted(path for unit in units.values() for path in unit) == sorted(SPACE.parameters)


def test_a_step_bears_the_name_of_what_changes() -> None:
    unit, nothing = ("model.fusion.name", "model.fusion.width"), Guess(0.0, 0.0, 0.0)
    assert Step(unit[0], unit, {unit[1]: ("128", "32")}, nothing).choice == unit[1]
    assert Step(unit[0], unit, dict.fromkeys(unit, ("a", "b")), nothing).choice == unit[0]


def test_a_step_that_was_run_is_a_fact_of_the_report(small: StudyView, tmp_path: Path) -> None:
    """The end of the way is a trial, so that running it gives the value of that trial to the last bit."""
    trial = small.trial(1)
    start, end = small.config.complete({}), small.point(trial)
    steps = [Step("optim.lr", ("optim.lr",), {}, Guess(0.0, 0.0, 0.0))]
    said: list[str] = []
    run_steps(small, tmp_path, start, end, steps, said.append)
    assert known_runs(tmp_path, small, start, end, steps) == {1: trial.values[0]}
    run_steps(small, tmp_path, start, end, steps, said.append)
    assert said[1].startswith("step 1 (optim.lr): run before, valid/mae 0.")
    (tmp_path / "small" / PATH_RUNS).write_text("{")
    with pytest.raises(StudyError, match=r"path_runs\.jsonl is damaged .*remove it"):
        known_runs(tmp_path, small, start, end, steps)


def test_without_trials_there_is_no_way(small: StudyView, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="too few completed trials"):
        run_path(small, tmp_path, 2, lambda line: None)
