"""What every registered sampler has to do. A new sampler joins with one line in ``CASES``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from scipy.stats import wilcoxon

from mmsa.config import Block
from mmsa.errors import Problem
from mmsa.search.samplers import SAMPLERS, Sampler, SamplerContext
from mmsa.search.samplers.accepted import AcceptedPoints
from mmsa.search.samplers.proposals import PastTrial, Proposals
from mmsa.search.space.constraints import PointConstraints
from mmsa.search.space.parameters import CategoricalParameter, FloatParameter, IntParameter
from mmsa.search.space.scalars import Scalar
from mmsa.search.space.shares import Shares
from mmsa.search.space.space import Space

CASES: dict[str, dict[str, Any]] = {
    "tpe": {"startup": 5},
    "gp": {"startup": 5},
    "cmaes": {"population": 5},
    "qmc": {},
    "random": {},
    "nsga2": {"population": 6},
    "nsga3": {"population": 6},
}
OBJECTIVES = {"nsga3": 2}  # one where nothing else is said
ONE_ONLY = {"cmaes"}
LEARNS = {"tpe": 40, "gp": 14, "cmaes": 60, "nsga2": 80}
"""Trials after which it is clearly better than chance."""


def number(low: float = 0.0, high: float = 1.0, **settings: Any) -> FloatParameter:
    return FloatParameter(type="float", low=low, high=high, **settings)


MIXED = Space(
    {
        "lr": number(1e-4, 1e-1, log=True),
        "dropout": number(0.0, 0.5, step=0.1),
        "weight": number(0.01, 1.0, log=True, zero=0.3),
        "fusion": CategoricalParameter(type="categorical", choices=("mlp", "lmf")),
        "rank": IntParameter(type="int", low=1, high=64, log=True, when={"fusion": "lmf"}),
        "width": IntParameter(type="int", low=16, high=64, step=16),
    }
)
SHARED = Space(
    {
        "levels": Shares.model_validate(
            {
                "type": "shares",
                "of": {"a": {"zero": 0.25}, "b": {"concentration": 2.0}, "c": {"when": {"fusion": "lmf"}}},
                "total": {"type": "float", "low": 0.01, "high": 10.0, "log": True},
            }
        ),
        "fusion": MIXED.parameters["fusion"],
    }
)
SQUARE = Space({name: number(-1.0, 1.0) for name in "xyz"})


def sampler(name: str) -> Sampler:
    kind = SAMPLERS[name]
    return kind(kind.Config(**CASES[name]))


def context_of(name: str, space: Space, seed: int = 0, trials: int = 100) -> SamplerContext:
    return SamplerContext(space, ("minimize",) * OBJECTIVES.get(name, 1), trials, seed)


def as_studies_use_it(name: str, known: SamplerContext, num_trials: int) -> AcceptedPoints:
    kind, unconstrained = sampler(name), PointConstraints((), known.space, Block())
    inner = kind.build(known, num_trials)
    return AcceptedPoints(inner, known.space, unconstrained, {}, kind.proposals, seed=num_trials)


def searched(
    name: str,
    space: Space,
    value: Callable[[dict[str, Scalar]], float],
    *,
    trials: int,
    launches: int = 1,
    seed: int = 0,
) -> list[dict[str, Scalar]]:
    """The points of a study that is continued by a new sampler in each launch."""
    known = context_of(name, space, seed)
    study = optuna.create_study(directions=known.directions)
    points = []
    for launch in range(launches):
        study.sampler = as_studies_use_it(name, known, len(study.trials))
        for _ in range(trials // launches):
            trial = study.ask()
            points.append(space.suggest(trial))
            study.tell(trial, [value(points[-1])] * len(known.directions))
        assert len(study.trials) == len(points), launch
    return points


def cost(point: dict[str, Scalar]) -> float:
    return math.log10(float(point["lr"]) * 100) ** 2 + float(point["weight"]) + 0.01 * int(point["width"])


def test_every_sampler_has_a_case():
    assert set(CASES) == set(SAMPLERS)


@pytest.mark.parametrize("name", CASES)
def test_points_are_those_of_a_conditional_space(name):
    points = searched(name, MIXED, cost, trials=24)
    for point in points:
        assert MIXED.decode(MIXED.encode(point)) == pytest.approx(point)
    assert {point["fusion"] for point in points} == {"mlp", "lmf"}
    assert {point["weight"] == 0.0 for point in points} == {True, False}


@pytest.mark.parametrize("name", CASES)
def test_no_point_comes_again_after_a_resume(name):
    points = searched(name, SQUARE, lambda point: float(point["x"]), trials=30, launches=6)
    assert len({tuple(point.values()) for point in points}) == 30


@pytest.mark.parametrize("name", CASES)
def test_the_seed_decides(name):
    first, again, other = (searched(name, MIXED, cost, trials=8, launches=2, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("name", ["qmc", "cmaes"])
def test_a_sampler_that_keeps_its_state_in_the_study_goes_on_as_if_nothing_had_happened(name):
    straight, resumed = (
        searched(name, SQUARE, lambda point: float(point["x"]), trials=30, launches=launches)
        for launches in (1, 5)
    )
    assert straight == resumed


def best_of(name: str, trials: int, seed: int) -> float:
    def distance(point: dict[str, Scalar]) -> float:
        return sum((float(value) - 0.4) ** 2 for value in point.values())

    return min(map(distance, searched(name, SQUARE, distance, trials=trials, seed=seed)))


@pytest.mark.parametrize("name", LEARNS)
def test_learning_beats_chance(name):
    """On 8 seeds, by Wilcoxon's signed ranks: p < 0.02 one-sided."""
    learned, drawn = ([best_of(which, LEARNS[name], seed) for seed in range(8)] for which in (name, "random"))
    assert wilcoxon(learned, drawn, alternative="less").pvalue < 0.02


def test_quasi_random_points_fill_every_part_of_the_space():
    """64 points of the sequence, one in each of 4 x 4 x 4 cells; of 64 random ones a third stay empty."""
    points = searched("qmc", SQUARE, lambda point: 0.0, trials=64)
    cells = {tuple(np.floor((np.array(list(point.values())) + 1) * 2)) for point in points}
    drawn = searched("random", SQUARE, lambda point: 0.0, trials=64)
    assert len(cells) > len({tuple(np.floor((np.array(list(p.values())) + 1) * 2)) for p in drawn})


def problems(name: str, space: Space, objectives: int, trials: int = 100) -> list[Problem]:
    return list(sampler(name).problems(SamplerContext(space, ("minimize",) * objectives, trials, 0)))


@pytest.mark.parametrize("name", CASES)
def test_several_objectives_are_taken_or_refused_with_a_reason(name):
    found = problems(name, SQUARE, 2)
    assert bool(found) == (name in ONE_ONLY)
    assert all("objectives" in problem.rule and problem.next_step for problem in found)


WORDS = Space({"fusion": MIXED.parameters["fusion"]})


@pytest.mark.parametrize(
    ("name", "space", "objectives", "trials", "where"),
    [
        ("cmaes", WORDS, 1, 100, "name"),
        ("nsga2", SQUARE, 1, 6, "population"),
        ("nsga3", SQUARE, 1, 100, "name"),
    ],
)
def test_what_does_not_fit_is_refused(name, space, objectives, trials, where):
    (problem,) = problems(name, space, objectives, trials)
    assert problem.path == where
    assert problem.next_step


def test_parameters_that_a_model_cannot_hold_are_named():
    assert set(sampler("cmaes").left_to_chance(MIXED)) == {"weight", "fusion", "rank"}
    assert set(sampler("gp").left_to_chance(MIXED)) == {"weight", "rank"}
    assert sampler("tpe").left_to_chance(MIXED) == ()


@pytest.mark.parametrize("name", CASES)
def test_shares_add_up_and_are_the_same_after_a_restart(name):
    """What a sampler is shown of its trials by the next launch is what it was shown by this one."""
    known = context_of(name, SHARED)
    past: list[PastTrial] = []
    points = []
    for launch in range(4):
        build = lambda num_trials: as_studies_use_it(name, known, num_trials)  # noqa: E731
        proposals = Proposals(SHARED, known.directions, build, None, {}, past)
        for number in range(6 * launch, 6 * launch + 6):
            given = {"a": 0.1, "b": 0.2, "c": 1 / 3, "fusion": "lmf"} if number == 3 else None
            proposal = proposals.ask(number, given)
            point = proposal.overrides
            assert given in (None, point)
            assert proposal.params == SHARED.encode_drawn(point, proposal.params)
            values = [float(point["a"]) + float(point["b"])] * len(known.directions)
            notes = proposals.tell(number, TrialState.COMPLETE, values, {})
            past.append(PastTrial(number, proposal.params, TrialState.COMPLETE, values, {}, notes))
            points.append(point)
    for point in points[:3] + points[4:]:
        (division,) = SHARED.divisions(point).values()
        assert sum(division.shares.values()) == math.fsum(division.shares.values()) == 1.0
        assert ("c" in point) == (point["fusion"] == "lmf")
        assert SHARED.decode(SHARED.encode(point)) == point
    assert len({tuple(sorted(point.items())) for point in points}) == len(points)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("random", {}),
        ("qmc", {}),
        ("tpe", {"startup": 400}),
        ("gp", {"startup": 400}),
        ("nsga2", {"population": 400}),
    ],
)
def test_exact_zeros_of_shares_have_their_probability_while_nothing_is_learned(name, settings, monkeypatch):
    monkeypatch.setitem(CASES, name, settings)
    points = searched(name, SHARED, lambda point: 0.0, trials=400)
    assert np.mean([point["a"] == 0 for point in points]) == pytest.approx(0.25, abs=0.06)
