"""The folders of trials, and which of them keep a checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path

from mmsa.search.execution.trial import CHECKPOINT
from mmsa.search.records import TrialRecord
from mmsa.search.study.study import Study


class Checkpoints:
    """Of all trials that have ended, only the best one's checkpoint stays on disk."""

    def __init__(self, study: Study):
        self._study = study
        self._best: TrialRecord | None = None
        for trial in study.trials():
            if trial.outcome != "running":
                self.ended(trial)

    def ended(self, trial: TrialRecord) -> None:
        """Delete the checkpoint that is not needed any more now."""
        loser: TrialRecord | None = trial
        known = [trial] if self._best is None else [self._best, trial]
        if self._study.ranked(known)[:1] == [trial]:
            loser, self._best = self._best, trial
        if loser is not None:
            shutil.rmtree(trial_folder(self._study, loser.number) / CHECKPOINT, ignore_errors=True)


def trial_folder(study: Study, number: int) -> Path:
    """What belongs to one trial only."""
    return (study.folder / "trials" / str(number)).resolve()
