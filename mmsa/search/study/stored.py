"""How a trial is kept by Optuna, both ways: with a user attribute for each epoch, and one for its end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from sys import intern
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mmsa.errors import StudyError
from mmsa.interface import Metrics, Outcome, Stage
from mmsa.measurement import Measurement
from mmsa.search.records import Cost, Ending, TrialRecord

EPOCH = "epoch/"
"""Prefix of the attributes of epochs."""
ENDING = "ending"
"""The attribute of the end."""
FINALIST_OF = "finalist_of"
"""Attribute of a finalist: the number of the searched trial; ``set`` is what was changed for it."""
PARENT = "parent"
"""Attribute of a trial that went on from the weights of another one, with other settings: its number.

``course`` is how settings changed before and at that moment.
"""
REPLACES = "replaces"
"""Attribute of such a trial: the number of the one that ended for it."""

STATES: Mapping[Outcome, TrialState] = {
    "completed": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "diverged": TrialState.FAIL,
    "out_of_memory": TrialState.FAIL,
    "failed": TrialState.FAIL,
}
"""What an outcome is for Optuna."""


@contextmanager
def understood(study: str) -> Iterator[None]:
    """Read what a study remembers.

    Raises:
        StudyError: where it has another form than mmsa gives it.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise StudyError(
            f"study {study!r} holds what mmsa cannot read ({type(error).__name__}: {error}). Its storage is "
            "damaged, or another program wrote into it: bring it back from a copy, or write another name "
            "after `study:` to begin a new one."
        ) from error


def stored_epoch(metrics: Metrics, value: float, cost: Cost) -> dict[str, Any]:
    """An epoch's attribute; ``value`` is what trials are compared by at this epoch, if it is finite."""
    compared = value if math.isfinite(value) else None
    return {"metrics": finite(metrics), "value": compared, "cost": cost.stored()}


def stored_ending(ending: Ending, cost: Cost) -> dict[str, Any]:
    """The end's attribute; ``cost`` is what came after the last epoch."""
    return {**asdict(ending), "metrics": finite(ending.metrics), "cost": cost.stored()}


def record_of(trial: FrozenTrial, superseded: bool) -> TrialRecord:
    """The trial in plain types; whether it is superseded is for the study to say."""
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
        finished=ended and max(started, ended),  # a clock may be set back meanwhile
        information={name: Measurement.from_dict(record) for name, record in measured.items()},
        **(ending if trial.state.is_finished() else {"outcome": "running"}),
    )


def reported(trial: FrozenTrial) -> dict[int, float]:
    """The first objective by epoch."""
    values = {number: epoch["value"] for number, epoch in _epochs(trial).items()}
    return {number: value for number, value in values.items() if value is not None}


def stage_of(trial: FrozenTrial) -> Stage:
    """Which part of the study a trial belongs to."""
    return "finalist" if FINALIST_OF in trial.user_attrs else "search"


def is_proposed(trial: FrozenTrial) -> bool:
    """Whether the sampler knows of it: whether it is a point of the space, and not on a way through it."""
    return stage_of(trial) == "search" and PARENT not in trial.user_attrs


def outcome_of(trial: FrozenTrial) -> Outcome:
    """How it ended, or that it runs."""
    outcome: Outcome = trial.user_attrs[ENDING]["outcome"] if trial.state.is_finished() else "running"
    return outcome


def cost_of(trial: FrozenTrial) -> Cost:
    """What it took so far."""
    parts = (*_epochs(trial).values(), trial.user_attrs.get(ENDING, {}))
    return sum((Cost.of(part.get("cost")) for part in parts), Cost())


def finite_metrics(metrics: Metrics) -> dict[str, float]:
    """Those that are; the others are not stored. Names are there once, not anew for each epoch."""
    return {intern(name): value for name, value in metrics.items() if math.isfinite(value)}


def _epochs(trial: FrozenTrial) -> dict[int, dict[str, Any]]:
    numbers = (int(name.removeprefix(EPOCH)) for name in trial.user_attrs if name.startswith(EPOCH))
    return {number: trial.user_attrs[f"{EPOCH}{number}"] for number in sorted(numbers)}
