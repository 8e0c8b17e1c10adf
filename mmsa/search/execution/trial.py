"""One trial of a search, in a process that serves many: one report an epoch, five ways to end.

What goes wrong *because of the configuration* is a result: it is caught, named and reported, and the process
serves the next trial. What kills the process is a crash: Tune starts the trial again, here or in the next
launch, and it continues from the checkpoint in the trial's own folder, whatever Tune or the dead driver knew.
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

import torch
from ray import tune

from mmsa.data import Corpus
from mmsa.errors import CheckpointError, MmsaError, TrainingDiverged, WorkerLost
from mmsa.experiment import RunConfig
from mmsa.information import Measurement
from mmsa.provenance import Code, running_code
from mmsa.search.corpora import Corpora
from mmsa.search.execution.cluster import refuse_other_code
from mmsa.search.execution.locks import ProcessLock
from mmsa.search.execution.memory import peak_memory
from mmsa.search.records import Ending, Metrics
from mmsa.search.space.checks import COST_PARAMETERS
from mmsa.search.space.scalars import Scalar
from mmsa.search.stops import STANDARD_ERRORS
from mmsa.tracking import Outcome
from mmsa.training import ALONE, Progress, Selection, Team, epochs

CHECKPOINT = "checkpoint"
"""Name of the checkpoint in a trial's folder."""
PEAK_MEMORY = "peak_memory"
"""Note of a trial: bytes that its process held at most, what processes share left out."""
LOCK = "lock"
"""Name of the file there that says which process runs the trial."""
_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds between the tries of a checkpoint that a trial cannot do without."""


@dataclass(frozen=True)
class Assignment:
    """What a worker is told of a trial.

    number: in the study. config: what to train. overrides: what of it was sampled, by dotted path.
    folder: the trial's own. known: the last epoch of which the study was told, 0 without one; None takes
    it for told of all. inherited: the epoch after which it went on from another trial's weights; 0 without.
    """

    number: int
    config: RunConfig
    overrides: Mapping[str, Scalar]
    folder: Path
    known: int | None = None
    inherited: int = 0

    def __deepcopy__(self, memo: object) -> Self:
        """Itself: Tune copies what it is given several times a trial, and nothing here changes."""
        return self

    def __repr__(self) -> str:
        """Short, as Tune also makes tags of it."""
        return f"trial {self.number}"


@dataclass(frozen=True)
class Report:
    """What a worker tells of an epoch.

    Attributes:
        outcome: ``running`` until the last report.
        epoch: counted from 1; 0 when the first one did not finish.
        metrics: of this epoch.
        earlier: metrics of the epochs before it, by epoch, where they may not be known: after a resumption.
        earlier_values: what the trial is compared by at those of them that are its own.
        best_epoch: the best epoch so far, None before the first.
        best: its metrics.
        information: of its weights, when the trial is completed.
        reason: why the trial ended, empty for ``running`` and ``completed``.
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
        """What the study remembers when this is the last report, with another outcome where given."""
        return Ending(
            outcome or self.outcome,
            self.best,
            reason or self.reason,
            self.best_epoch,
            self.seconds,
            self.notes,
            self.information,
        )


@dataclass(frozen=True)
class Workplace:
    """What all trials of a search share.

    objective: the metric by which they are compared. cache: folder of encoded text.
    checkpoint_seconds: time between two checkpoints of a trial; 0 writes one after each epoch.
    working_folder: what relative paths in configurations start from.
    pauses: epochs after which a trial may have to wait, and always writes a checkpoint.
    collective_seconds: how long the processes of a trial wait for each other.
    code: that all of them run.
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
    """A trial in progress, from its latest checkpoint on, in this process or in each of a team."""

    def __init__(self, assignment: Assignment, workplace: Workplace, corpora: Corpora, team: Team = ALONE):
        self._assignment, self._workplace, self._corpora = assignment, workplace, corpora
        self._team = team
        assignment.folder.mkdir(parents=True, exist_ok=True)
        # A worker of a dead driver lives for some seconds, and would write over this one's checkpoints.
        self._lock = ProcessLock(assignment.folder / LOCK, patience=60.0) if team.rank == 0 else None
        self._checkpoint = assignment.folder / CHECKPOINT
        self._started = self._saved = time.monotonic()
        self._epochs: Iterator[Progress] | None = None
        place = {"host": socket.gethostname(), "process": os.getpid(), "code": running_code().path}
        self._report = Report("running", 0, notes=place)

    def advance(self) -> Report:
        """Train one epoch. What the configuration causes is reported, never raised.

        Raises:
            WorkerLost: when another process of the team died, or does not answer.
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
            notes={**self._report.notes, **continued, **_measured(progress)},
        )

    def _values(self, earlier: Mapping[int, Metrics], own: Metrics) -> dict[int, float]:
        """What reports of these epochs said, or would have said."""
        best = Selection(self._assignment.config.train).best_so_far(earlier.values())
        values = {
            epoch: {**metrics, **own}.get(self._workplace.objective, math.nan)
            for epoch, metrics in zip(earlier, best, strict=True)
        }
        inherited = self._assignment.inherited
        return {n: value for n, value in values.items() if n > inherited and math.isfinite(value)}

    def _start(self) -> Iterator[Progress]:
        config, cache = self._assignment.config, self._workplace.cache
        corpus = self._corpora.of(config)
        told = self._assignment.known
        known = None if told is None else max(told, self._assignment.inherited)
        if self._team.all(self._checkpoint.exists()):
            try:
                return epochs(
                    config, corpus, resume=self._checkpoint, cache=cache, team=self._team, known=known
                )
            except CheckpointError:  # of another version, say; that costs the trial time, not its life
                if self._team.rank == 0:
                    shutil.rmtree(self._checkpoint)
        return epochs(config, corpus, cache=cache, team=self._team)

    def _save(self, progress: Progress) -> None:
        """A full disk costs a trial time where it ends or pauses, and nothing before."""
        if progress.finished or progress.epoch in self._workplace.pauses:
            for pause in _PAUSES:
                with suppress(OSError):
                    return self._write(progress)
                time.sleep(pause)
            self._write(progress)
        elif time.monotonic() - self._saved >= self._workplace.checkpoint_seconds:
            with suppress(OSError):  # the next epoch tries again
                self._write(progress)
        return None

    def _write(self, progress: Progress) -> None:
        progress.save(self._checkpoint)
        self._saved = time.monotonic()

    def close(self) -> None:
        """Free the memory and the folder."""
        self._epochs = None
        if self._lock is not None:
            self._lock.release()
        gc.collect()  # optimisers and their schedules refer to each other
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _measured(progress: Progress) -> dict[str, Any]:
    """Memory, and of a finished run how sure its metrics are."""
    errors = {STANDARD_ERRORS: progress.standard_errors()} if progress.finished else {}
    return {PEAK_MEMORY: peak_memory(), **errors}


def _reason(error: Exception) -> str:
    """Our own errors say what is wrong; of others one wants to know where they come from."""
    return str(error) if isinstance(error, MmsaError) else traceback.format_exc()


def _is_out_of_memory(error: Exception) -> bool:
    """Torch has a class of its own for GPUs only; on a CPU, and inside cuBLAS, it is a matter of words."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    words = ("can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


class Run(Protocol):
    """A trial in progress, in one process or several."""

    def advance(self) -> Report:
        """Train one epoch."""

    def close(self) -> None:
        """Free what it holds."""


def settle(workplace: Workplace) -> None:
    """Prepare a process for trial after trial.

    Raises:
        StudyError: in one that runs other code than the driver.
    """
    refuse_other_code(workplace.code, running_code(), f"process {os.getpid()} on {socket.gethostname()}")
    os.chdir(workplace.working_folder)
    gc.freeze()  # what was imported is never garbage: the collection after each trial passes it over


class SearchTrial(tune.Trainable):  # type: ignore[misc]
    """The adapter to Ray Tune: a warm process that is handed one trial after another.

    ``reset_config`` keeps the process with its imports and corpora. A trial that the scheduler stops never
    comes back here, so every report carries all that has to be known of the trial at that epoch.
    """

    def setup(self, config: dict[str, Any], corpora: tuple[Corpus, Corpus], workplace: Workplace) -> None:
        """Called once a process; ``corpora`` are the raw and the encoded one."""
        settle(workplace)
        self._workplace = workplace
        self._corpora = Corpora(*corpora, workplace.base, workplace.cache)
        self._run: Run | None = None
        self._reported = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Called for each further trial of the process."""
        self._end()
        self._reported = 0
        return True

    def step(self) -> dict[str, Any]:
        """One epoch. The scheduler reads ``epoch`` and ``value``, the study reads ``report``."""
        if self._run is None:
            given: Assignment = self.config["assignment"]
            self._run = self._begin(replace(given, known=max(given.known or 0, self._reported)))
        report = self._run.advance()
        self._reported = report.epoch
        done = report.outcome != "running"
        if done or report.epoch in self._workplace.pauses:
            self._end()  # another process may go on with the trial
        value = report.best.get(self._workplace.objective, math.nan)
        # A NaN would pass every rung of the scheduler: what has no value is not compared.
        compared = {"value": value} if math.isfinite(value) else {}
        return {"report": report, "epoch": report.epoch, "done": done, **compared}

    def _begin(self, assignment: Assignment) -> Run:
        return TrialRun(assignment, self._workplace, self._corpora)

    def _end(self) -> None:
        if self._run is not None:
            self._run.close()
            self._run = None

    def cleanup(self) -> None:
        """Called when the process ends."""
        self._end()
