"""Importance is Optuna's PED-ANOVA where that has an answer, and says nothing where there is nothing."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import create_trial

from mmsa.reports.importance import QUARTER, ImportanceTable, divergence
from mmsa.reports.points import Axis, table_of

AXES = [
    Axis("a", ("a",), low=-2.0, high=3.0),
    Axis("b", ("b",), low=1e-4, high=1e-1, log=True),
    Axis("c", ("c",), choices=("x", "y", "z")),
    Axis("d", ("d",), low=1, high=7, step=1),
    Axis("e", ("e",), low=2, high=130, log=True, step=1),
    Axis("f", ("f",), low=0.0, high=1.0),
]
DISTRIBUTIONS: dict[str, BaseDistribution] = {
    "a": FloatDistribution(-2, 3),
    "b": FloatDistribution(1e-4, 1e-1, log=True),
    "c": CategoricalDistribution(["x", "y", "z"]),
    "d": IntDistribution(1, 7),
    "e": IntDistribution(2, 130, log=True),
    "f": FloatDistribution(0, 1),
}


def points_of(number: int) -> list[dict[str, object]]:
    """Points of a space in which ``f`` exists unless ``c`` is x."""
    rng = np.random.default_rng(0)
    points = []
    for _ in range(number):
        point: dict[str, object] = {
            "a": rng.uniform(-2, 3),
            "b": float(10 ** rng.uniform(-4, -1)),
            "c": "xyz"[rng.integers(3)],
            "d": int(rng.integers(1, 8)),
            "e": int(2 ** rng.uniform(1, 7)),
        }
        points.append(point | ({} if point["c"] == "x" else {"f": rng.uniform()}))
    return points


@pytest.mark.filterwarnings("ignore:.*experimental:optuna.exceptions.ExperimentalWarning")
def test_divergences_are_those_of_optuna() -> None:
    points, rng = points_of(61), np.random.default_rng(1)
    loss_N = np.array([float(p["a"]) ** 2 + (p["c"] == "y") + rng.normal() for p in points])  # type: ignore[arg-type]
    study = optuna.create_study()
    for point, loss in zip(points, loss_N, strict=True):
        study.add_trial(
            create_trial(params=point, distributions={n: DISTRIBUTIONS[n] for n in point}, value=loss)
        )
    theirs = PedAnovaImportanceEvaluator(target_quantile=QUARTER).evaluate(study)
    best_1N = (loss_N <= np.sort(loss_N)[math.ceil(QUARTER * 61) - 1])[None]
    value_NP = table_of(AXES, points)  # type: ignore[arg-type]
    ours = {
        axis.name: divergence(axis, value_NP[:, p], best_1N, np.ones((1, 61)))[0] * best_1N.mean() ** 2
        for p, axis in enumerate(AXES)
    }
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_only_what_decides_exceeds_the_null() -> None:
    """The level holds over all choices together: in 40 tables of noise few have any."""
    rng = np.random.default_rng(2)
    value_NP = table_of(AXES, points_of(60))  # type: ignore[arg-type]
    table = ImportanceTable(AXES, value_NP)
    false = [any(of.above_null for of in table.importances(rng.normal(size=60))) for _ in range(40)]
    assert sum(false) <= 6
    found = table.importances(abs(value_NP[:, 0] - 1.0) + 0.1 * rng.normal(size=60))
    assert [of.above_null for of in found] == [True] + [False] * 5
    assert found[0].first == found[0].last == 1
    assert found[0].low > 0.5


def test_an_exact_zero_is_a_value_of_its_coefficient() -> None:
    """What matters is whether it is 0: the whole of the importance, and no second parameter for it."""
    rng = np.random.default_rng(3)
    axis = Axis("w", ("w",), low=0.01, high=1.0, log=True, has_zero=True)
    value_N1 = np.where(rng.random(60) < 0.4, 0.0, 10 ** rng.uniform(-2, 0, 60))[:, None]
    (found,) = ImportanceTable([axis], value_N1).importances(
        1.0 * (value_N1[:, 0] > 0) + 0.01 * rng.random(60)
    )
    assert found.above_null
    assert found.share == 1.0


def test_trials_that_were_stopped_count_as_not_the_best() -> None:
    """A region that the scheduler abandons is not forgotten."""
    rng = np.random.default_rng(4)
    axes = [Axis("a", ("a",)), Axis("b", ("b",))]
    value_NP = rng.random((80, 2))
    loss_N = rng.random(80)
    told = ImportanceTable(axes, value_NP).importances(np.where(value_NP[:, 0] > 0.4, math.inf, loss_N))
    assert [of.above_null for of in told] == [True, False]
    kept = value_NP[:, 0] <= 0.4
    forgotten = ImportanceTable(axes, value_NP[kept]).importances(loss_N[kept])
    assert not any(of.above_null for of in forgotten)


def test_too_few_trials_say_nothing() -> None:
    table = ImportanceTable([Axis("a", ("a",))], np.random.default_rng(0).random((20, 1)))
    assert table.importances(np.where(np.arange(20) < 15, np.arange(20.0), math.nan)) == []
    assert table.importances(np.ones(20)) == []
    assert len(table.importances(np.where(np.arange(20) < 16, np.arange(20.0), math.nan))) == 1
