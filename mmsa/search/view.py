"""A study for reading: what is known of it and of its trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from mmsa.config import parse
from mmsa.errors import StudyError, did_you_mean
from mmsa.search.records import TrialRecord
from mmsa.search.storage import JOURNAL, open_storage
from mmsa.search.study_config import StudyConfig
from mmsa.tracking import Outcome

EPOCH = "epoch/"
"""Prefix of a trial's user attributes that hold the metrics of an epoch; ``ending`` holds the rest."""


class StudyView:
    """A study as it stands, for reading.

    ``config`` is that of its latest launch; ``attributes`` are what the study remembers of itself.
    """

    def __init__(self, optuna_study: optuna.Study, config: StudyConfig):
        self.config = config
        self.name = config.study
        self._study = optuna_study

    @property
    def attributes(self) -> dict[str, Any]:
        """``identity``, ``corpus_digest``, ``git_commit``, ``git_dirty``, ``versions``, ``threads`` and
        ``space`` (YAML)."""
        attributes: dict[str, Any] = self._study.user_attrs
        return attributes

    @property
    def asked(self) -> int:
        """How many trials the study shall have."""
        return int(self.attributes["asked"])

    @property
    def finished(self) -> int:
        """How many trials have ended, however they ended."""
        return sum(trial.state.is_finished() for trial in self._trials())

    @property
    def remaining(self) -> int:
        """How many of the asked trials have not ended."""
        return max(0, self.asked - self.finished)

    def counts(self) -> dict[Outcome, int]:
        """How many trials have begun, by outcome."""
        return dict(Counter(record.outcome for record in self.trials()))

    def trials(self) -> list[TrialRecord]:
        """Every trial that has begun, by number."""
        return [self._record(trial) for trial in self._trials() if trial.state != TrialState.WAITING]

    def trial(self, number: int) -> TrialRecord:
        """The trial of that number, which has begun."""
        return self._record(self._trials()[number])

    def best(self) -> TrialRecord | None:
        """The completed trial of the smallest rank."""
        completed = (record for record in self.trials() if record.outcome == "completed")
        return min(completed, key=self.rank, default=None)

    def rank(self, completed: TrialRecord) -> tuple[float, ...]:
        """Smaller is better: by the first objective, then by the others in order, then the earlier trial."""
        signs = [1.0 if o.direction == "minimize" else -1.0 for o in self.config.search.objectives]
        values = (sign * value for sign, value in zip(signs, completed.values, strict=True))
        return (*values, completed.number)

    def _trials(self) -> list[FrozenTrial]:
        trials: list[FrozenTrial] = self._study.get_trials(deepcopy=False)
        return trials

    def _record(self, trial: FrozenTrial) -> TrialRecord:
        ending = trial.user_attrs["ending"] if trial.state.is_finished() else {"outcome": "running"}
        try:
            overrides = self.config.space.decode(trial.params)
        except KeyError:  # its driver is choosing, or died before it had chosen all of them
            overrides = {}
        return TrialRecord(
            number=trial.number,
            overrides=overrides,
            values=tuple(trial.values) if trial.state == TrialState.COMPLETE else (),
            reported=reported(trial),
            epochs={number: epoch["metrics"] for number, epoch in _epochs(trial).items()},
            start=trial.user_attrs.get("start"),
            started=trial.datetime_start,
            finished=trial.datetime_complete,
            **ending,
        )


def read_study(name: str, runs: Path, storage: str | None = None) -> StudyView:
    """A study for reading, also while a driver searches it.

    Raises:
        StudyError: when there is none of that name.
    """
    folder = runs / name
    if storage is None and not (folder / JOURNAL).exists():
        studies = [path.parent.name for path in runs.glob(f"*/{JOURNAL}")]
        raise StudyError(f"no study {name!r} in {runs}. {did_you_mean(name, studies)}")
    try:
        study = optuna.load_study(study_name=name, storage=open_storage(folder, storage))
    except KeyError:
        raise StudyError(f"no study {name!r} in this storage") from None
    if "space" not in study.user_attrs:
        raise StudyError(f"study {name!r} has not begun; run launch/search.py first")
    return StudyView(study, remembered_config(study.user_attrs, name))


def remembered_config(attributes: Mapping[str, Any], name: str) -> StudyConfig:
    """The configuration of the study's latest launch."""
    return parse(StudyConfig, yaml.safe_load(attributes["space"]), f"study {name}")


def reported(trial: FrozenTrial) -> dict[int, float]:
    """The first objective by epoch."""
    values = {number: epoch["value"] for number, epoch in _epochs(trial).items()}
    return {number: value for number, value in values.items() if value is not None}


def _epochs(trial: FrozenTrial) -> dict[int, dict[str, Any]]:
    numbers = (int(name.removeprefix(EPOCH)) for name in trial.user_attrs if name.startswith(EPOCH))
    return {number: trial.user_attrs[f"{EPOCH}{number}"] for number in sorted(numbers)}
