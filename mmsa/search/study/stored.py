"""How a trial is stored in Optuna, and read back: a user attribute for each epoch, and one for its end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from sys import intern
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mmsa.errors import ConfigError, StudyError
from mmsa.interface import Metrics, Outcome, PairedDifference, ReferencePoint, Stage
from mmsa.measurement import Measurement
from mmsa.search.records import Cost, Ending, TrialRecord

EPOCH = "epoch/"
"""Prefix of the attributes that hold epochs."""
ENDING = "ending"
"""The attribute that holds the end."""
FINALIST_OF = "finalist_of"
"""Attribute of a finalist: the number of its searched trial. Attribute ``set`` is what was changed for it."""
PARENT = "parent"
"""Attribute of a trial that continued from another trial's weights with other settings: that trial's number.

Its attribute ``course`` is the hyperparameter schedule up to that moment.
"""
REPLACES = "replaces"
"""Attribute of such a trial: the number of the trial that ended in its favour."""

REFERENCE = "reference/"
"""Prefix of the attributes of the study that hold its reference points."""

STATES: Mapping[Outcome, TrialState] = {
    "completed": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "diverged": TrialState.FAIL,
    "out_of_memory": TrialState.FAIL,
    "failed": TrialState.FAIL,
}
"""The state in which Optuna stores each outcome."""


@contextmanager
def understood(study: str) -> Iterator[None]:
    """Read what a study remembers within the context.

    Raises:
        StudyError: if it does not have the form that mmsa gives it.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, AssertionError, ConfigError) as error:
        raise StudyError(
            f"study {study!r} holds what mmsa cannot read ({type(error).__name__}: {error}). Its storage is "
            "damaged, or another program wrote into it: bring it back from a copy, or write another name "
            "after `study:` to begin a new one."
        ) from error


def reference_of(stored: Mapping[str, Any]) -> ReferencePoint:
    """The reference point that an attribute holds."""
    gains = {metric: PairedDifference(**gain) for metric, gain in stored["gains"].items()}
    return ReferencePoint(**{**stored, "gains": gains})


def stored_epoch(metrics: Metrics, value: float, cost: Cost) -> dict[str, Any]:
    """The attribute of an epoch; ``value``, by which trials are compared, is stored if it is finite."""
    compared = value if math.isfinite(value) else None
    return {"metrics": finite_metrics(metrics), "value": compared, "cost": cost.stored()}


def stored_ending(ending: Ending, cost: Cost) -> dict[str, Any]:
    """The attribute of the end; ``cost`` is that since the last epoch."""
    return {**asdict(ending), "metrics": finite_metrics(ending.metrics), "cost": cost.stored()}


def record_of(trial: FrozenTrial, superseded: bool) -> TrialRecord:
    """The trial in plain types; the study knows whether it is superseded."""
    known = trial.user_attrs
    ending = {name: value for name, value in known.get(ENDING, {}).items() if name != "cost"}
    measured = ending.pop("information", {})
    started, ended = trial.datetime_start, trial.datetime_complete
    return TrialRecord(
        number=trial.number,
        overrides=known["point"],
        values=tuple(trial.values) if trial.state == TrialState.COMPLETE else (),
        reported=reported(trial),
        epochs={number: epoch["metrics"] for number, epoch in _epochs(trial).items()},
        start=known.get("start"),
        retry_of=known.get("retry_of"),
        finalist_of=known.get(FINALIST_OF),
        parent=known.get(PARENT),
        course=known.get("course", ()),
        version=known["version"],
        superseded=superseded,
        cost=cost_of(trial),
        started=started,
        finished=ended and max(started, ended),  # the clock may have been set back in between
        information={name: Measurement.from_dict(record) for name, record in measured.items()},
        **(ending if trial.state.is_finished() else {"outcome": "running"}),
    )


def reported(trial: FrozenTrial) -> dict[int, float]:
    """The first objective of a trial by epoch."""
    values = {number: epoch["value"] for number, epoch in _epochs(trial).items()}
    return {number: value for number, value in values.items() if value is not None}


def stage_of(trial: FrozenTrial) -> Stage:
    """The part of the study that a trial belongs to."""
    return "finalist" if FINALIST_OF in trial.user_attrs else "search"


def is_proposed(trial: FrozenTrial) -> bool:
    """Whether the sampler knows of the trial: it is one point of the space, no schedule through several."""
    return stage_of(trial) == "search" and PARENT not in trial.user_attrs


def outcome_of(trial: FrozenTrial) -> Outcome:
    """How a trial ended, or ``running``."""
    outcome: Outcome = trial.user_attrs[ENDING]["outcome"] if trial.state.is_finished() else "running"
    return outcome


def cost_of(trial: FrozenTrial) -> Cost:
    """Cost of a trial so far."""
    parts = (*_epochs(trial).values(), trial.user_attrs.get(ENDING, {}))
    return sum((Cost.of(part.get("cost")) for part in parts), Cost())


def finite_metrics(metrics: Metrics) -> dict[str, float]:
    """The metrics that are finite; others are not stored."""
    # Interned names exist once in memory instead of once per epoch of every trial.
    return {intern(name): value for name, value in metrics.items() if math.isfinite(value)}


def _epochs(trial: FrozenTrial) -> dict[int, dict[str, Any]]:
    numbers = (int(name.removeprefix(EPOCH)) for name in trial.user_attrs if name.startswith(EPOCH))
    return {number: trial.user_attrs[f"{EPOCH}{number}"] for number in sorted(numbers)}
