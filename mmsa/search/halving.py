"""Asynchronous successive halving (Li et al. 2020, the stopping form of Ray Tune) that outlives a driver.

Tune stores no scheduler state, and every launch is a fresh Tune run. So the rungs are filled again from what
the study remembers. They are private to Tune's class; Ray is pinned, and a test fails when they change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler


class Halving(ASHAScheduler):  # type: ignore[misc]
    """Tune's ASHA, which can be told of trials that it did not see, and of trials to spare."""

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self._spared: set[str] = set()

    def spare(self, trial_id: str) -> None:
        """Let a trial run to its end. It is compared all the same."""
        self._spared.add(trial_id)

    def on_trial_result(self, tune_controller: object, trial: Trial, result: dict[str, Any]) -> str:
        """Tune's decision on the trial."""
        decision: str = super().on_trial_result(tune_controller, trial, result)
        return str(TrialScheduler.CONTINUE) if trial.trial_id in self._spared else decision

    def record(self, trial_id: str, values: Mapping[int, float]) -> None:
        """Enter a trial at every rung it reached.

        Args:
            trial_id: Tune's id of a trial that goes on, which is then not judged again at those rungs; any
                other unique text for a trial that is over.
            values: what it had reported, by epoch.
        """
        sign = 1.0 if self._mode == "max" else -1.0
        for bracket in self._brackets:
            for milestone, recorded in bracket._rungs:
                reached = [epoch for epoch in values if epoch >= milestone]
                if reached:
                    recorded[trial_id] = sign * values[min(reached)]
