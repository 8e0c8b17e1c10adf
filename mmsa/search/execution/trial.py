"""One trial of a search, in a process that runs many: one report per epoch, five ways to end.

What goes wrong *because of the configuration* is a result: it is caught, named and reported, and the process
runs the next trial. What kills the process is a crash: the trial restarts, in this launch or the next, and
continues from the checkpoint in its own folder, whatever Tune or the dead driver knew of it.
"""

from __future__ import annotations

import gc
import math
import os
import shutil
import socket
import time
import traceback
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from ray import tune

from mmsa.data.corpus import Corpus
from mmsa.errors import CheckpointError, MmsaError, TrainingDiverged, WorkerLost
from mmsa.experiment import RunConfig
from mmsa.interface import COST_PARAMETERS, Metrics, Outcome, Scalar
from mmsa.measurement import Measurement
from mmsa.provenance import Code, running_code
from mmsa.search.corpora import Corpora
from mmsa.search.execution.memory import peak_memory
from mmsa.search.execution.nodes import refuse_other_code
from mmsa.search.locks import ProcessLock
from mmsa.search.records import STANDARD_ERRORS, Ending
from mmsa.training.folded import HELD_OUT
from mmsa.training.loop import Progress, epochs
from mmsa.training.parallel import ALONE, Team
from mmsa.training.selection import Selection

CHECKPOINT = "checkpoint"
"""Name of the checkpoint in a trial's folder."""
PEAK_MEMORY = "peak_memory"
"""Note of a trial: most bytes its process held, without memory that processes share."""
PREDICTIONS = "valid_predictions.npy"
"""Name of the file in it with the predictions on valid of its best epoch, once it is finished."""
LOCK = "lock"
"""Name of the file in it that the process which runs the trial holds locked."""
_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds between attempts to write a checkpoint that a trial cannot do without."""


@dataclass(frozen=True)
class Assignment:
    """What a worker is told about a trial.

    Attributes:
        number: in the study.
        config: what to train.
        overrides: the sampled part of it, by dotted path.
        folder: the trial's own.
        known: the last epoch that the study was told of, 0 without one; None if it knows all that there are.
        inherited: the epoch after which the trial continued from another trial's weights; 0 if it did not.
        reference: name of the reference point that is trained in place of a trial; empty for a trial.
    """

    number: int
    config: RunConfig
    overrides: Mapping[str, Scalar]
    folder: Path
    known: int | None = None
    inherited: int = 0
    reference: str = ""

    def __deepcopy__(self, memo: object) -> Self:
        """Return itself: Tune deep-copies configurations several times a trial, and nothing here changes."""
        return self

    def __repr__(self) -> str:
        """Keep it short: Tune also makes tags of it."""
        return self.reference or f"trial {self.number}"


@dataclass(frozen=True)
class Report:
    """What a worker reports after an epoch.

    Attributes:
        outcome: ``running`` until the last report.
        epoch: counted from 1; 0 if the first one did not finish.
        metrics: of this epoch.
        earlier: metrics by epoch of the epochs before it; only after a resumption, when the study may lack
            them.
        earlier_values: the value that schedulers compare, at those of these epochs that are the trial's own.
        best_epoch: the best epoch so far; None before the first.
        best: metrics of the best epoch.
        information: measured on the weights of the best epoch, if the trial is completed.
        reason: why the trial ended; empty for ``running`` and ``completed``.
        seconds: since this process took the trial up.
        notes: where it ran, and after which epoch it was continued there.
    """

    outcome: Outcome
    epoch: int
    metrics: Metrics = field(default_factory=dict)
    earlier: Mapping[int, Metrics] = field(default_factory=dict)
    earlier_values: Mapping[int, float] = field(default_factory=dict)
    best_epoch: int | None = None
    best: Metrics = field(default_factory=dict)
    information: Mapping[str, Measurement] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0
    notes: Mapping[str, Any] = field(default_factory=dict)

    def ending(self, outcome: Outcome | None = None, reason: str = "") -> Ending:
        """The ending of a trial whose last report this is, with another outcome or reason if given."""
        return Ending(
            outcome or self.outcome,
            self.best,
            reason or self.reason,
            self.best_epoch,
            self.seconds,
            self.notes,
            self.information,
        )


class ReferenceRuns(Protocol):
    """Trainings that run beside the trials without being any; see ``execution.references``."""

    def next(self, *, anyway: bool = False) -> Assignment | None:
        """The next training to run: after the defaults have ended, or ``anyway``. None for none."""

    def ended(self, name: str, report: Report) -> None:
        """Remember how a training ended."""

    def requeue(self, name: str) -> None:
        """Let ``next`` return a training again, since its process died."""


@dataclass(frozen=True)
class WorkerContext:
    """What all trials of a stage share.

    Attributes:
        base: the configuration that trials change.
        objective: the metric by which trials are compared.
        cache: folder of encoded text.
        checkpoint_seconds: time between two checkpoints of a trial; 0 writes one after each epoch.
        working_folder: that relative paths in configurations start from.
        pauses: epochs after which a trial may have to wait, and so always writes a checkpoint.
        collective_seconds: how long the processes of a trial wait for each other.
        code: that all processes have to run.
    """

    base: RunConfig
    objective: str
    cache: Path
    checkpoint_seconds: float
    working_folder: Path
    pauses: Collection[int] = ()
    collective_seconds: float = 300.0
    code: Code = field(default_factory=running_code)


class TrialRun:
    """A trial in progress, from its latest checkpoint on: in this process, or in each process of a team."""

    def __init__(self, assignment: Assignment, context: WorkerContext, corpora: Corpora, team: Team = ALONE):
        self._assignment, self._context, self._corpora = assignment, context, corpora
        self._team = team
        assignment.folder.mkdir(parents=True, exist_ok=True)
        # A worker of a dead driver lives on for some seconds, and would overwrite this one's checkpoints.
        self._lock = ProcessLock(assignment.folder / LOCK, patience=60.0) if team.rank == 0 else None
        self._checkpoint = assignment.folder / CHECKPOINT
        self._started = self._saved = time.monotonic()
        self._epochs: Iterator[Progress] | None = None
        place = {"host": socket.gethostname(), "process": os.getpid(), "code": running_code().path}
        self._report = Report("running", 0, notes=place)

    def advance(self) -> Report:
        """Train one epoch. Failures that the configuration causes are reported, not raised.

        Raises:
            WorkerLost: if another process of the team died or does not answer.
        """
        try:
            self._report = self._train_epoch()
        except WorkerLost:
            raise
        except TrainingDiverged as error:
            self._report = self._ended("diverged", str(error))
        except Exception as error:
            outcome: Outcome = "out_of_memory" if _is_out_of_memory(error) else "failed"
            self._report = self._ended(outcome, _reason(error))
        return replace(self._report, seconds=time.monotonic() - self._started)

    def _ended(self, outcome: Outcome, reason: str) -> Report:
        return replace(self._report, outcome=outcome, reason=reason)

    def _train_epoch(self) -> Report:
        # Only the first report after a resumption repeats the epochs before it: a dead driver may not have
        # stored them.
        first = self._epochs is None
        if self._epochs is None:
            self._epochs = self._start()
        progress = next(self._epochs)
        self._save(progress)
        earlier = dict(enumerate(progress.history[:-1], start=1)) if first else {}
        after = progress.epoch if progress.repeated else len(earlier)
        continued = {"continued_after": after} if first and after else {}
        own = {COST_PARAMETERS: float(progress.num_parameters)}
        return replace(
            self._report,
            outcome="completed" if progress.finished else "running",
            epoch=progress.epoch,
            metrics=progress.metrics,
            earlier=earlier,
            earlier_values=self._values(earlier, own),
            best_epoch=progress.best_epoch,
            best={**progress.best, **own},
            information=progress.information,
            notes={**self._report.notes, **continued, **self._measured(progress)},
        )

    def _measured(self, progress: Progress) -> dict[str, Any]:
        """Notes that are measured: memory and, for a finished run, the standard errors of its metrics.

        The predictions of a finished run are kept as a file: comparisons of the study are paired by rows, and
        its checkpoint may be gone by then.
        """
        if not progress.finished:
            return {PEAK_MEMORY: peak_memory()}
        if self._team.rank == 0:
            with suppress(OSError):  # a comparison less, and no reason to fail
                np.save(self._assignment.folder / PREDICTIONS, progress.valid_predictions)
                if (held_out := progress.held_out) is not None:
                    np.save(self._assignment.folder / HELD_OUT, held_out)
        return {PEAK_MEMORY: peak_memory(), STANDARD_ERRORS: progress.standard_errors()}

    def _values(self, earlier: Mapping[int, Metrics], own: Metrics) -> dict[int, float]:
        """The compared values that the reports of these epochs had, or would have had."""
        best = Selection(self._assignment.config.train).best_so_far(earlier.values())
        values = {
            epoch: {**metrics, **own}.get(self._context.objective, math.nan)
            for epoch, metrics in zip(earlier, best, strict=True)
        }
        inherited = self._assignment.inherited
        return {n: value for n, value in values.items() if n > inherited and math.isfinite(value)}

    def _start(self) -> Iterator[Progress]:
        config, cache = self._assignment.config, self._context.cache
        corpus = self._corpora.of(config)
        told = self._assignment.known
        known = None if told is None else max(told, self._assignment.inherited)
        # All processes or none: on a shared disk one may see a checkpoint that another one does not see yet.
        if self._team.all(self._checkpoint.exists()):
            try:
                return epochs(
                    config, corpus, resume=self._checkpoint, cache=cache, team=self._team, known=known
                )
            except (
                CheckpointError
            ):  # of another version, for example: that costs the trial time, not its life
                if self._team.rank == 0:
                    shutil.rmtree(self._checkpoint)
        return epochs(config, corpus, cache=cache, team=self._team)

    def _save(self, progress: Progress) -> None:
        """Write a checkpoint if one is due. A full disk holds a trial up only where it ends or pauses."""
        if progress.finished or progress.epoch in self._context.pauses:
            for pause in _PAUSES:
                with suppress(OSError):
                    return self._write(progress)
                time.sleep(pause)
            self._write(progress)
        elif time.monotonic() - self._saved >= self._context.checkpoint_seconds:
            with suppress(OSError):  # the next epoch tries again
                self._write(progress)
        return None

    def _write(self, progress: Progress) -> None:
        progress.save(self._checkpoint)
        self._saved = time.monotonic()

    def close(self) -> None:
        """Release the memory and the folder."""
        self._epochs = None
        if self._lock is not None:
            self._lock.release()
        gc.collect()  # optimisers and schedules refer to each other, so counts never free them
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _reason(error: Exception) -> str:
    """The message of one of our own errors, which says what is wrong; the traceback of any other."""
    return str(error) if isinstance(error, MmsaError) else traceback.format_exc()


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out. Torch has an error class for GPUs only; on CPUs and in cuBLAS words tell."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    words = ("can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


class Run(Protocol):
    """A trial in progress, in one process or in several."""

    def advance(self) -> Report:
        """Train one epoch."""

    def close(self) -> None:
        """Release what it holds."""


def prepare_worker(context: WorkerContext) -> None:
    """Prepare a process that will run many trials.

    Raises:
        StudyError: if it runs other code than the driver.
    """
    refuse_other_code(context.code, running_code(), f"process {os.getpid()} on {socket.gethostname()}")
    os.chdir(context.working_folder)
    gc.freeze()  # imported modules are never garbage: spare the collection after each trial the look at them


class SearchTrial(tune.Trainable):  # type: ignore[misc]
    """Adapter to Ray Tune: a warm process that gets one trial after another.

    ``reset_config`` keeps the process with its imports and corpora. A trial that the scheduler stops is never
    heard of again here, so every report carries everything that has to be known of the trial at that epoch.
    """

    def setup(self, config: dict[str, Any], corpora: tuple[Corpus, Corpus], context: WorkerContext) -> None:
        """Set up the process; ``corpora`` are the raw one and the encoded one."""
        prepare_worker(context)
        self._context = context
        self._corpora = Corpora(*corpora, context.base, context.cache)
        self._run: Run | None = None
        self._reported = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Make way for the next trial of the process."""
        self._end()
        self._reported = 0
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch. The scheduler reads ``epoch`` and ``value``, the study reads ``report``."""
        if self._run is None:
            given: Assignment = self.config["assignment"]
            # A trial that paused here and goes on at once has reported epochs since the assignment was made.
            self._run = self._begin(replace(given, known=max(given.known or 0, self._reported)))
        report = self._run.advance()
        self._reported = report.epoch
        done = report.outcome != "running"
        if done or report.epoch in self._context.pauses:
            self._end()  # another process may continue the trial
        value = report.best.get(self._context.objective, math.nan)
        # A NaN would pass every rung of the scheduler, so a trial without a finite value is not compared.
        compared = {"value": value} if math.isfinite(value) else {}
        return {"report": report, "epoch": report.epoch, "done": done, **compared}

    def _begin(self, assignment: Assignment) -> Run:
        return TrialRun(assignment, self._context, self._corpora)

    def _end(self) -> None:
        if self._run is not None:
            self._run.close()
            self._run = None

    def cleanup(self) -> None:
        """Release the trial when the process ends."""
        self._end()
