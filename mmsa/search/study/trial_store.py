"""The trials of a study as its driver holds them: in memory, and in the storage before anybody is told.

The driver is the only writer, so it never reads back what it wrote, and no operation here becomes slower as
the number of trials grows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from datetime import datetime
from functools import partial
from itertools import count
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import DBAPIError

from mmsa.errors import StudyError
from mmsa.search.study.lease import LeaseLost

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds between attempts to write what the storage does not take."""

ResultT = TypeVar("ResultT")

_METRIC_NAMES = "study:metric_names"  # what Optuna's ``Study.set_metric_names`` writes


class TrialStore:
    """Everything that the storage holds of one study; creates the study if it is not there.

    Attributes:
        attributes: what the study remembers of itself, for reading.
        trials: for reading; a trial's number is its index.
    """

    def __init__(
        self, storage: BaseStorage, name: str, directions: Sequence[str], metrics: Sequence[str] = ()
    ):
        self._storage, self._name = storage, name
        self._failure: StudyError | None = None
        try:
            self._study_id = storage.get_study_id_from_name(name)
        except KeyError:
            kinds = [StudyDirection[direction.upper()] for direction in directions]
            self._study_id = storage.create_new_study(kinds, name)
        self._name_objectives(metrics)
        self.attributes: dict[str, Any] = dict(storage.get_study_user_attrs(self._study_id))
        self.trials = [_own(trial) for trial in storage.get_all_trials(self._study_id, deepcopy=False)]
        self._distributions: dict[str, BaseDistribution] = {}
        for trial in self.trials:
            for parameter, distribution in trial.distributions.items():
                self._distributions.setdefault(parameter, distribution)

    def _name_objectives(self, metrics: Sequence[str]) -> None:
        """Give the objectives their names for those who open the storage with Optuna's own tools."""
        known = self._storage.get_study_system_attrs(self._study_id).get(_METRIC_NAMES)
        if metrics and known != list(metrics):
            self._write(
                partial(self._storage.set_study_system_attr, self._study_id, _METRIC_NAMES, list(metrics))
            )

    def remember(self, **attributes: Any) -> None:
        """Store attributes of the study."""
        for name, value in attributes.items():
            self._write(partial(self._storage.set_study_user_attr, self._study_id, name, value))
            self.attributes[name] = value

    def begin(
        self, params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution], **attributes: Any
    ) -> FrozenTrial:
        """Add a running trial with everything that is known of it, in one write.

        A parameter is stored as ``name@version`` where the space was edited and Optuna does not accept its
        distribution beside the earlier one of the same name.
        """
        names = {name: self._name_for(name, distributions[name], attributes["version"]) for name in params}
        template = FrozenTrial(
            number=len(self.trials),
            trial_id=-1,
            state=TrialState.RUNNING,
            value=None,
            datetime_start=datetime.now(),
            datetime_complete=None,
            params={names[name]: value for name, value in params.items()},
            distributions={names[name]: distributions[name] for name in params},
            user_attrs=attributes,
            system_attrs={},
            intermediate_values={},
        )
        # One write: half a trial is never stored. It is created once even if an answer of the storage was
        # lost.
        tries = count()
        template._trial_id = self._write(lambda: self._create(template, again=next(tries) > 0))
        self.trials.append(template)
        for name, distribution in template.distributions.items():
            self._distributions.setdefault(name, distribution)
        return template

    def _create(self, template: FrozenTrial, again: bool) -> int:
        """Create the trial, unless a failed attempt stored it after all and could not say so."""
        if again and self._storage.get_n_trials(self._study_id) > template.number:
            known: int = self._storage.get_trial_id_from_study_id_trial_number(
                self._study_id, template.number
            )
            return known
        created: int = self._storage.create_new_trial(self._study_id, template_trial=template)
        return created

    def note(self, number: int, name: str, value: Any) -> None:
        """Store an attribute of a running trial."""
        trial = self.trials[number]
        self._write(lambda: self._storage.set_trial_user_attr(trial._trial_id, name, value))
        trial.user_attrs[name] = value

    def note_epoch(self, number: int, name: str, noted: Any, epoch: int, value: float | None) -> None:
        """Store the attribute of an epoch, and ``value`` where Optuna's own tools look for it.

        The attribute is what is read back, and comes last: an epoch that has it has both.
        """
        trial = self.trials[number]
        if value is not None:
            self._write(
                lambda: self._storage.set_trial_intermediate_value(trial._trial_id, epoch, float(value))
            )
        self.note(number, name, noted)

    def end(self, number: int, state: TrialState, values: Sequence[float] | None) -> None:
        """Store the final state of a running trial."""
        trial = self.trials[number]
        self._write(lambda: self._end(trial, state, values))
        trial.datetime_complete = datetime.now()
        trial.state, trial.values = state, None if values is None else list(values)

    def _end(self, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        # An earlier attempt may have ended it though its answer was lost; Optuna refuses to end a trial
        # twice.
        if not self._storage.get_trial(trial._trial_id).state.is_finished():
            self._storage.set_trial_state_values(trial._trial_id, state, values)

    def _name_for(self, name: str, distribution: BaseDistribution, version: int) -> str:
        known = self._distributions.get(name)
        return name if known is None or _compatible(known, distribution) else f"{name}@{version}"

    def _write(self, write: Callable[[], ResultT]) -> ResultT:
        """Retry a write for about a minute.

        A write that fails for good leaves a gap, so every later one is refused.

        Raises:
            StudyError: if this write fails for good, or an earlier one did.
            LeaseLost: if another driver has the study.
        """
        if self._failure is not None:
            raise self._failure
        pauses = iter(PAUSES)
        while True:
            try:
                return write()
            except LeaseLost as error:
                self._failure = error
                raise
            except (StorageInternalError, DBAPIError, OSError) as error:
                pause = next(pauses, None)
                if pause is None:
                    self._failure = self._unreachable(error)
                    raise self._failure from error
            time.sleep(pause)

    def _unreachable(self, error: Exception) -> StudyError:
        cause = error.__cause__ or error
        return StudyError(
            f"study {self._name!r} cannot be written: {cause}\nNothing that it holds is lost, and what runs "
            "goes on from its checkpoints: put the storage right and run the same command again."
        )


def _own(trial: FrozenTrial) -> FrozenTrial:
    # A running trial is changed here. Optuna's in-memory copy must not be: it compares against it when it
    # writes.
    if trial.state != TrialState.RUNNING:
        return trial
    own = copy(trial)
    own.user_attrs = dict(trial.user_attrs)
    return own


def _compatible(known: BaseDistribution, new: BaseDistribution) -> bool:
    """Whether Optuna accepts two distributions for one parameter in one study."""
    if isinstance(known, CategoricalDistribution):
        return bool(known == new)
    return type(known) is type(new) and bool(known.log == new.log)
