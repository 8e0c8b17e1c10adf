"""Stop rules: when what is still to be gained drowns in the noise of the valid split."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.samplers import RandomSampler

from mmsa.search.records import STANDARD_ERRORS, TrialRecord
from mmsa.search.space.parameters import CategoricalParameter, FloatParameter, IntParameter
from mmsa.search.space.space import Space
from mmsa.search.stops import STOPS, Never, Noise, embed, regret_bound

SPACE = Space(
    {
        "rate": FloatParameter(type="float", low=1e-4, high=1.0, log=True),
        "weight": FloatParameter(type="float", low=0.01, high=1.0, zero=0.2),
        "kind": CategoricalParameter(type="categorical", choices=("a", "b", "c")),
        "rank": IntParameter(type="int", low=1, high=4, when={"kind": "b"}),
    }
)
NOISE = 0.01


def truth(point: dict) -> float:
    """Least, and 0, at a rate of 0.01 and kind b, whatever the rest."""
    return 0.05 * (math.log10(point["rate"]) + 2) ** 2 + 0.03 * (point["kind"] != "b")


def searched(count: int, seed: int = 0, error: float | None = None) -> list[TrialRecord]:
    study = optuna.create_study(sampler=RandomSampler(seed=seed))
    random = np.random.default_rng(seed)
    notes = {} if error is None else {STANDARD_ERRORS: {"valid/mae": error}}
    trials = []
    for number in range(count):
        point = SPACE.suggest(study.ask())
        value = truth(point) + NOISE * random.normal()
        trials.append(TrialRecord(number, "completed", point, (value,), notes=notes))
    return trials


def bound(trials: list[TrialRecord]) -> float:
    values = np.array([trial.values[0] for trial in trials])
    return regret_bound(embed(SPACE, [trial.overrides for trial in trials]), values, SPACE)


def reason(rule: Noise, trials: list[TrialRecord], direction: str = "minimize") -> str:
    return rule.reason(trials, SPACE, "valid/mae", direction)


def test_every_parameter_has_its_columns():
    points = [
        {"rate": 0.01, "weight": 0.0, "kind": "b", "rank": 4},
        {"rate": 1.0, "weight": 1.0, "kind": "a"},
    ]
    embedded = embed(SPACE, points)
    assert embedded.shape == (2, 7)  # one, the gate and one, three choices, one
    assert np.all((embedded >= 0) & (embedded <= 1))
    assert embedded[0] == pytest.approx([0.5, 1, 0.5, 0, 1, 0, 0.875])
    assert embedded[1] == pytest.approx([1, 0, 1, 1, 0, 0, 0.5])


@pytest.mark.parametrize("count", [20, 60])
def test_the_bound_holds_and_says_something(count):
    held, bounds = 0, []
    for seed in range(10):
        trials = searched(count, seed)
        bounds.append(bound(trials))
        held += truth(min(trials, key=lambda trial: trial.values).overrides) <= bounds[-1]
    assert held >= 9
    assert np.median(bounds) < 0.3 * np.ptp([truth(trial.overrides) for trial in searched(100)])


def test_equal_values_leave_nothing_to_gain():
    trials = searched(20)
    points = embed(SPACE, [trial.overrides for trial in trials])
    assert regret_bound(points, np.full(20, 0.7), SPACE) == 0.0


def test_it_stops_when_the_split_cannot_tell_and_says_why():
    rule = Noise(Noise.Config())
    assert reason(rule, searched(19, error=1.0)) == ""
    said = reason(rule, searched(20, error=1.0))
    assert said.startswith("after 20 completed trials at most 0.")
    assert said.endswith(
        "of valid/mae is still to be gained, less than the standard error of the best trial's, 1"
    )


def test_a_large_split_keeps_it_going():
    assert reason(Noise(Noise.Config()), searched(40, error=1e-4)) == ""


def test_trials_that_do_not_tell_their_error_never_stop_it():
    assert reason(Noise(Noise.Config()), searched(30)) == ""


def test_the_best_trial_is_that_of_the_direction():
    trials = searched(30)
    highest = max(range(30), key=lambda number: trials[number].values)
    trials[highest] = replace(trials[highest], notes={STANDARD_ERRORS: {"valid/mae": 1.0}})
    assert reason(Noise(Noise.Config()), trials, "maximize") != ""
    assert reason(Noise(Noise.Config()), trials, "minimize") == ""


def test_it_looks_again_only_when_there_is_more_to_see(monkeypatch):
    looks = []
    monkeypatch.setattr("mmsa.search.stops.regret_bound", lambda *_: looks.append(1) or 1.0)
    rule, trials = Noise(Noise.Config()), searched(120, error=0.01)
    for count in range(1, 121):
        reason(rule, trials[:count])
    assert 20 < len(looks) < 45


def test_several_objectives_have_no_best_trial():
    (problem,) = Noise(Noise.Config()).problems(num_objectives=2)
    assert "2 objectives" in problem.rule
    assert list(Noise(Noise.Config()).problems(1)) == list(Never(Never.Config()).problems(2)) == []


@pytest.mark.parametrize("name", [name for name in STOPS if name != "noise"])
def test_other_rules_do_not_stop(name):
    rule = STOPS[name](STOPS[name].Config())
    assert rule.reason(searched(30, error=9.0), SPACE, "valid/mae", "minimize") == ""
