"""Rungs against Ray Tune's own, and what is particular to one scheduler."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.tune.schedulers import ASHAScheduler, MedianStoppingRule, TrialScheduler

from mmsa.search.schedulers import (
    GrowingHalving,
    Hyperband,
    MedianStopping,
    PromotingHalving,
    SuccessiveHalving,
)


@dataclass(frozen=True)
class TuneTrial:
    trial_id: str


def asha(epochs: int = 30, **settings: Any) -> SuccessiveHalving:
    return SuccessiveHalving(SuccessiveHalving.Config(**settings), epochs, "minimize")


@pytest.mark.parametrize("reduction", [2, 3, 4])
def test_asha_decides_as_ray_tunes(reduction):
    """On the same 400 reports of 20 trials in a random order."""
    random = np.random.default_rng(reduction)
    ours = asha(epochs=20, grace=2, reduction=reduction)
    theirs = ASHAScheduler(
        time_attr="epoch",
        metric="value",
        mode="min",
        max_t=20,
        grace_period=2,
        reduction_factor=reduction,
        stop_last_trials=False,
    )
    trials: list[Any] = [TuneTrial(str(number)) for number in range(20)]
    for trial in trials:
        theirs.on_trial_add(None, trial)
    epochs = dict.fromkeys(range(20), 0)
    stopped: set[int] = set()
    for number in random.permutation(np.repeat(np.arange(20), 20)):
        if number in stopped:
            continue
        epochs[number] += 1
        value = float(random.normal())
        result = {"epoch": epochs[number], "value": value}
        expected = theirs.on_trial_result(None, trials[number], result)
        decision = ours.decide(int(number), epochs[number], value)
        assert (decision == "stop") == (expected == TrialScheduler.STOP)
        if decision == "stop":
            stopped.add(number)
    assert stopped


def test_a_trial_that_skipped_a_rung_is_judged_at_the_next_report():
    scheduler = asha(grace=3)
    for trial in range(5):
        scheduler.decide(trial, 3, float(trial))
    assert scheduler.decide(9, 4, 99.0) == "stop"


def test_hyperband_deals_trials_out_as_often_as_it_would_begin_them():
    scheduler = Hyperband(Hyperband.Config(grace=1, reduction=3), 27, "minimize")
    dealt = np.bincount([scheduler.bracket_of(trial) for trial in range(4000)]) / 4000
    shares = np.array([27 / 4, 9 / 3, 3 / 2, 1 / 1])
    assert dealt == pytest.approx(shares / shares.sum(), abs=0.005)


def test_hyperband_compares_within_a_bracket():
    scheduler = Hyperband(Hyperband.Config(grace=3, reduction=3, brackets=2), 30, "minimize")
    early = [trial for trial in range(60) if scheduler.bracket_of(trial) == 0]
    late = [trial for trial in range(60) if scheduler.bracket_of(trial) == 1]
    assert [scheduler.decide(trial, 3, 0.0) for trial in early[:5]] == ["continue"] * 5
    assert scheduler.decide(late[0], 3, 1.0) == "continue"
    assert scheduler.decide(late[0], 9, 1.0) == "continue"
    assert scheduler.decide(early[5], 3, 1.0) == "stop"


def test_the_median_rule_decides_as_ray_tunes():
    random = np.random.default_rng(0)
    ours = MedianStopping(MedianStopping.Config(grace=1, trials=3), 20, "minimize")
    theirs = MedianStoppingRule(
        time_attr="epoch", metric="value", mode="min", grace_period=1, min_samples_required=3
    )
    controller: Any = SimpleNamespace(get_live_trials=list)
    stopped = 0
    for number, level in enumerate(random.uniform(size=30)):
        trial: Any = TuneTrial(str(number))
        for epoch in range(1, 16):
            value = float(level + random.normal(scale=0.1))
            expected = theirs.on_trial_result(controller, trial, {"epoch": epoch, "value": value})
            decision = ours.decide(number, epoch, value)
            assert (decision == "stop") == (expected == TrialScheduler.STOP)
            if decision == "stop":
                stopped += 1
                break
    assert stopped


def halving(**settings: Any) -> PromotingHalving:
    return PromotingHalving(PromotingHalving.Config(**settings), 30, "minimize")


def test_promotion_waits_until_a_rung_holds_enough():
    scheduler = halving(grace=3, reduction=3)
    for trial, value in enumerate([0.3, 0.1]):
        assert scheduler.decide(trial, 3, value) == "pause"
        assert scheduler.let_go(trial)
        assert scheduler.promote() is None
    assert scheduler.decide(2, 3, 0.2) == "pause"
    assert scheduler.promote() == 1
    assert scheduler.promote() is None
    assert scheduler.paused == {0: 3}


def test_a_trial_that_is_among_the_best_when_it_arrives_is_not_paused():
    scheduler = halving(grace=3, reduction=3)
    for trial in range(2):
        scheduler.decide(trial, 3, 1.0)
        scheduler.let_go(trial)
    assert scheduler.decide(2, 3, 0.1) == "continue"


def test_a_trial_is_not_promoted_before_its_process_let_it_go():
    scheduler = halving(grace=3, reduction=3)
    scheduler.decide(0, 3, 0.1)
    for trial in (1, 2):
        scheduler.decide(trial, 3, 1.0)
        scheduler.let_go(trial)
    assert scheduler.promote() is None
    scheduler.let_go(0)
    assert scheduler.promote() == 0


def test_at_the_end_one_trial_goes_up_to_the_top():
    scheduler = halving(grace=3, reduction=3)
    scheduler.decide(0, 3, 1.0)
    scheduler.let_go(0)
    assert scheduler.promote(closing=True) == 0
    assert scheduler.decide(0, 9, 1.0) == "pause"


def test_a_spared_trial_takes_nobodys_place():
    scheduler = halving(grace=3, reduction=3)
    scheduler.spare(0)
    assert scheduler.decide(0, 3, 0.0) == "continue"
    for trial in (1, 2):
        scheduler.decide(trial, 3, float(trial))
        scheduler.let_go(trial)
    assert scheduler.promote() == 1


def grown(crossing: bool) -> GrowingHalving:
    """Nine trials at rung 3, of which three come to rung 9, in the same order or in another."""
    scheduler = GrowingHalving(GrowingHalving.Config(grace=3, reduction=3), 100, "minimize")
    for trial in range(9):
        for epoch in range(1, 4):
            scheduler.decide(trial, epoch, float(trial))
        scheduler.let_go(trial)
    for trial in (0, 1, 2):
        for epoch in range(4, 10):
            scheduler.decide(trial, epoch, float(-trial if crossing else trial))
        scheduler.let_go(trial)
    return scheduler


def test_pasha_grows_only_when_a_rung_more_changes_the_ranking():
    assert grown(crossing=False).top() == 1
    assert grown(crossing=True).top() == 2


def test_pasha_takes_curves_that_cross_and_cross_back_for_noise():
    scheduler = GrowingHalving(GrowingHalving.Config(grace=3, reduction=3), 100, "minimize")
    for epoch in range(1, 10):
        wobble = 0.1 if epoch % 2 else -0.1
        for trial, value in enumerate([wobble, -wobble, 5.0]):
            scheduler.decide(trial, epoch, value)
            scheduler.let_go(trial)
    assert scheduler.top() == 1
