"""What every registered sampler has to do. A new sampler joins with one line in ``CASES``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmsa.search.samplers import SAMPLERS, Sampler, SamplerContext
from mmsa.search.space.space import Space
from mmsa.testing import SamplerContract
from mmsa.testing.samplers import MIXED, SHARED, SQUARE, searched

pytestmark = pytest.mark.long

CASES: dict[str, dict[str, Any]] = {
    "tpe": {"startup": 5},
    "gp": {"startup": 5},
    "cmaes": {"population": 5},
    "qmc": {},
    "random": {},
    "nsga2": {"population": 6},
    "nsga3": {"population": 6},
}


class TestSamplers(SamplerContract):
    CASES = CASES
    OBJECTIVES = {"nsga3": 2}
    ONE_ONLY = {"cmaes"}
    LEARNS = {"tpe": 40, "gp": 12, "cmaes": 60, "nsga2": 80}
    KEEPS_STATE = {"qmc", "cmaes"}


def sampler(name: str) -> Sampler:
    kind = SAMPLERS[name]
    return kind(kind.Config(**CASES[name]))


def test_every_sampler_has_a_case():
    assert set(CASES) == set(SAMPLERS)


def test_quasi_random_points_fill_every_part_of_the_space():
    """64 points of the sequence, one in each of 4 x 4 x 4 cells; of 64 random ones a third stay empty."""
    points = searched(sampler("qmc"), SQUARE, lambda point: 0.0, trials=64)
    cells = {tuple(np.floor((np.array(list(point.values())) + 1) * 2)) for point in points}
    drawn = searched(sampler("random"), SQUARE, lambda point: 0.0, trials=64)
    assert len(cells) > len({tuple(np.floor((np.array(list(p.values())) + 1) * 2)) for p in drawn})


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
    context = SamplerContext(space, ("minimize",) * objectives, trials, 0)
    (problem,) = sampler(name).problems(context)
    assert problem.path == where
    assert problem.next_step


def test_parameters_that_a_model_cannot_hold_are_named():
    assert set(sampler("cmaes").left_to_chance(MIXED)) == {"weight", "fusion", "rank"}
    assert set(sampler("gp").left_to_chance(MIXED)) == {"weight", "rank"}
    assert sampler("tpe").left_to_chance(MIXED) == ()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("random", {}),
        ("qmc", {}),
        ("tpe", {"startup": 200}),
        ("gp", {"startup": 200}),
        ("nsga2", {"population": 200}),
    ],
)
def test_exact_zeros_of_shares_have_their_probability_while_nothing_is_learned(name, settings):
    unlearned = SAMPLERS[name](SAMPLERS[name].Config(**settings))
    points = searched(unlearned, SHARED, lambda point: 0.0, trials=200)
    assert np.mean([point["a"] == 0 for point in points]) == pytest.approx(0.25, abs=0.085)
