"""Knowledge of earlier studies: the density of good points, and how long a sampler trusts it."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pytest
from optuna.samplers import RandomSampler

from mmsa.search.samplers.priors import FIRST_SHARE, HALF_LIFE, ORIGIN, Density, PriorSampler, trust
from mmsa.search.space.parameters import CategoricalParameter, FloatParameter, IntParameter
from mmsa.search.space.space import Space

RATE = FloatParameter(type="float", low=1e-4, high=1.0, log=True)
WEIGHT = FloatParameter(type="float", low=0.01, high=1.0, log=True, zero=0.2)
KIND = CategoricalParameter(type="categorical", choices=("a", "b", "c"))
RANK = IntParameter(type="int", low=1, high=8, when={"kind": "b"})
SPACE = Space({"rate": RATE, "weight": WEIGHT, "kind": KIND, "rank": RANK})


def points(density: Density, count: int = 400, space: Space = SPACE) -> list[dict]:
    """As a study draws them from the density alone."""
    everything = PriorSampler(RandomSampler(seed=0), density, seed=1)
    everything.share = lambda study: 1.0
    study = optuna.create_study(sampler=everything)
    return [space.suggest(study.ask()) for _ in range(count)]


def test_numbers_lie_around_those_of_the_best_points_on_the_scale_of_the_space():
    density = Density(SPACE, [{"rate": rate} for rate in (0.008, 0.01, 0.012, 0.015)])
    logarithms = [math.log10(point["rate"]) for point in points(density)]
    assert np.median(logarithms) == pytest.approx(-2, abs=0.15)
    assert np.quantile(logarithms, 0.9) - np.quantile(logarithms, 0.1) < 0.6


def test_an_exact_zero_and_a_choice_keep_their_part_and_anything_stays_possible():
    good = [{"weight": 0.0, "kind": "a"}] * 6 + [{"weight": 0.5, "kind": "b", "rank": 3}] * 2
    drawn = points(Density(SPACE, good))
    parts = {kind: np.mean([point["kind"] == kind for point in drawn]) for kind in "abc"}
    assert np.mean([point["weight"] == 0 for point in drawn]) == pytest.approx(0.67 + 0.02, abs=0.08)
    assert parts == pytest.approx({"a": 0.70, "b": 0.26, "c": 0.04}, abs=0.08)
    assert parts["c"] > 0


def test_what_goes_together_is_drawn_together():
    good = [{"rate": 0.001, "kind": "a"}] * 5 + [{"rate": 0.5, "kind": "c"}] * 5
    drawn = points(Density(SPACE, good))
    assert np.median([point["rate"] for point in drawn if point["kind"] == "a"]) < 0.01
    assert np.median([point["rate"] for point in drawn if point["kind"] == "c"]) > 0.1


def test_parameters_count_where_path_and_kind_are_the_same():
    good = [{"rate": 5.0, "weight": "much", "kind": "d", "rank": True, "elsewhere": 1.0}]
    density = Density(SPACE, good)
    assert density.covered == ["rate"]
    assert np.median([point["rate"] for point in points(density)]) > 0.8  # moved to the end of the range
    assert Density(SPACE, [{"elsewhere": 1.0}]).covered == []


def test_a_grid_of_its_own_is_kept():
    space = Space({"width": IntParameter(type="int", low=16, high=64, step=16)})
    drawn = points(Density(space, [{"width": 30}, {"width": 34}]), space=space)
    assert {point["width"] for point in drawn} <= {16, 32, 48, 64}
    assert np.median([point["width"] for point in drawn]) == 32


class TestTrust:
    def test_without_evidence_and_with_better_values_it_is_whole(self):
        assert trust([], [1.0]) == trust([1.0], []) == trust([1.0, 1.0], [1.0]) == 1.0
        assert trust([0.1, 0.2, 0.3], [0.9, 0.8, 0.7]) == 1.0

    def test_a_few_worse_values_end_it(self):
        assert trust([0.9, 0.8, 0.7, 0.95], [0.1, 0.2, 0.3, 0.4]) < 0.05

    def test_what_did_not_complete_is_worst(self):
        assert trust([math.inf] * 4, [0.5, 0.6, math.inf, 0.7]) < 0.1

    def test_chance_costs_little(self):
        random = np.random.default_rng(0)
        assert np.mean([trust(*random.normal(size=(2, 8)).tolist()) for _ in range(300)]) > 0.6


def distance(point: dict) -> float:
    """Least at a rate of 0.01, and best without the weight."""
    return (math.log10(point["rate"]) + 2) ** 2 + point["weight"]


def searched(density: Density, count: int, study: optuna.Study | None = None) -> optuna.Study:
    study = study or optuna.create_study()
    study.sampler = PriorSampler(RandomSampler(seed=len(study.trials)), density, seed=7)
    for _ in range(count):
        trial = study.ask()
        study.tell(trial, distance(SPACE.suggest(trial)))
    return study


def origins(study: optuna.Study) -> list[str]:
    return [trial.system_attrs[ORIGIN] for trial in study.trials]


HELPS = Density(SPACE, [{"rate": 0.01, "weight": 0.0}] * 4)
MISLEADS = Density(SPACE, [{"rate": 1.0, "weight": 1.0}] * 4)


def test_a_prior_that_helps_is_followed_and_fades():
    found = origins(searched(HELPS, 100))
    assert found[:20].count("prior") >= 6
    assert found[60:].count("prior") <= 3


def test_a_prior_that_misleads_is_let_go():
    study = searched(MISLEADS, 30)
    assert origins(study)[12:].count("prior") <= 1
    assert study.sampler.share(study) < 0.02 * FIRST_SHARE


def test_the_share_halves_and_needs_no_more_than_the_study():
    study = optuna.create_study()
    sampler = PriorSampler(RandomSampler(seed=0), HELPS, seed=7)
    assert sampler.share(study) == FIRST_SHARE
    study.sampler = sampler
    for _ in range(HALF_LIFE):
        study.ask()
    assert sampler.share(study) == pytest.approx(FIRST_SHARE / 2)  # nothing has ended: no evidence
    assert PriorSampler(RandomSampler(seed=0), MISLEADS, seed=8).share(study) == sampler.share(study)


def test_a_study_that_continues_draws_from_the_prior_what_it_would_have_drawn():
    def of_the_prior(study: optuna.Study) -> list[dict]:
        return [trial.params for trial in study.trials if trial.system_attrs[ORIGIN] == "prior"]

    density = Density(SPACE, [{"rate": 0.01, "weight": 0.0, "kind": "a"}] * 4)
    at_once = searched(density, 12)
    in_parts = searched(density, 4, searched(density, 4, searched(density, 4)))
    first = of_the_prior(at_once)[:3]
    assert len(first) == 3
    assert of_the_prior(in_parts)[:3] == first


def test_starts_come_from_neither():
    study = optuna.create_study(sampler=PriorSampler(RandomSampler(seed=0), HELPS, seed=7))
    study.enqueue_trial({"rate": 0.5, "weight:zero": 0.9, "weight": 0.5, "kind": "a"})
    trial = study.ask()
    assert SPACE.suggest(trial) == {"rate": 0.5, "weight": 0.5, "kind": "a"}
    assert ORIGIN not in study.trials[0].system_attrs
