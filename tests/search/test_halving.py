"""Halving: Tune's private rungs are where we think they are, and a study's earlier trials count on them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler

from mmsa.search.halving import Halving
from mmsa.search.schedulers import SuccessiveHalving

EARLIER = {f"study-{number}": {1: 2.0, 2: 1.0, 3: 0.1 * (number + 1)} for number in range(6)}


def halving(mode: str = "min", max_t: int = 30) -> Halving:
    return Halving(
        time_attr="epoch",
        metric="value",
        mode=mode,
        max_t=max_t,
        grace_period=3,
        reduction_factor=3,
        stop_last_trials=False,
    )


def decide(scheduler: Halving, trial_id: str, epoch: int, value: float) -> str:
    trial: Any = SimpleNamespace(trial_id=trial_id)
    if trial_id not in scheduler._trial_info:
        scheduler.on_trial_add(None, trial)
    return scheduler.on_trial_result(None, trial, {"epoch": epoch, "value": value})


def test_rungs_are_tunes_and_those_that_the_space_promises():
    rungs = sorted(milestone for milestone, _ in halving()._brackets[0]._rungs)
    assert tuple(rungs) == SuccessiveHalving(SuccessiveHalving.Config()).rungs(30) == (3, 9, 27)


def test_without_earlier_trials_the_first_at_a_rung_always_goes_on():
    assert decide(halving(), "new", 3, 99.0) == TrialScheduler.CONTINUE


@pytest.mark.parametrize(("value", "decision"), [(99.0, TrialScheduler.STOP), (0.0, TrialScheduler.CONTINUE)])
def test_earlier_trials_of_the_study_are_competitors(value, decision):
    scheduler = halving()
    for trial_id, values in EARLIER.items():
        scheduler.record(trial_id, values)
    assert decide(scheduler, "new", 3, value) == decision


def test_a_study_that_maximises_compares_the_other_way():
    scheduler = halving("max")
    for trial_id, values in EARLIER.items():
        scheduler.record(trial_id, values)
    assert decide(scheduler, "worse", 3, 0.0) == TrialScheduler.STOP
    assert decide(scheduler, "better", 3, 99.0) == TrialScheduler.CONTINUE


def test_recorded_rungs_equal_those_of_trials_that_were_seen():
    seen, told = halving(), halving()
    for trial_id, values in EARLIER.items():
        for epoch, value in values.items():
            decide(seen, trial_id, epoch, value)
        told.record(trial_id, values)
    assert told._brackets[0]._rungs == seen._brackets[0]._rungs


def test_a_trial_that_goes_on_is_not_judged_again_at_rungs_it_passed():
    scheduler = halving()
    for trial_id, values in EARLIER.items():
        scheduler.record(trial_id, values)
    scheduler.record("adopted", {3: 50.0, 4: 50.0})
    assert decide(scheduler, "adopted", 5, 50.0) == TrialScheduler.CONTINUE


def test_a_spared_trial_runs_on_and_is_compared_with():
    scheduler = halving()
    for trial_id, values in EARLIER.items():
        scheduler.record(trial_id, values)
    scheduler.spare("defaults")
    assert decide(scheduler, "defaults", 3, 99.0) == TrialScheduler.CONTINUE
    assert scheduler._brackets[0]._rungs[-1][1]["defaults"] == -99.0
