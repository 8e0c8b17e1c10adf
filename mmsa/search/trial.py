"""One trial of a search, in a process that serves many: one report an epoch, five ways to end.

What goes wrong *because of the configuration* is a result: it is caught, named and reported, and the process
serves the next trial. What kills the process is a crash: Tune starts the trial again, here or in the next
launch, and it continues from the checkpoint in the trial's own folder, whatever Tune or the dead driver knew.
"""

from __future__ import annotations

import fcntl
import gc
import math
import os
import shutil
import socket
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import torch
from ray import tune

from mmsa.data import Corpus
from mmsa.errors import CheckpointError, TrainingDiverged
from mmsa.experiment import RunConfig
from mmsa.search.corpora import Corpora
from mmsa.search.records import Ending, Metrics
from mmsa.search.scalars import Scalar
from mmsa.tracking import Outcome
from mmsa.training import Progress, epochs

CHECKPOINT = "checkpoint"
"""Name of the checkpoint in a trial's folder."""


@dataclass(frozen=True)
class Assignment:
    """What a worker is told of a trial.

    number: in the study. config: what to train. overrides: what of it was sampled, by dotted path.
    folder: the trial's own.
    """

    number: int
    config: RunConfig
    overrides: Mapping[str, Scalar]
    folder: Path


@dataclass(frozen=True)
class Report:
    """What a worker tells of an epoch.

    Attributes:
        outcome: ``running`` until the last report.
        epoch: counted from 1; 0 when the first one did not finish.
        metrics: of this epoch.
        best_epoch: the best epoch so far, None before the first.
        best: its metrics.
        reason: why the trial ended, empty for ``running`` and ``completed``.
        seconds: since this process took the trial up.
        notes: where it ran.
    """

    outcome: Outcome
    epoch: int
    metrics: Metrics = field(default_factory=dict)
    best_epoch: int | None = None
    best: Metrics = field(default_factory=dict)
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
        )


@dataclass(frozen=True)
class Workplace:
    """What all trials of a search share.

    objective: the metric by which they are compared. cache: folder of encoded text.
    checkpoint_seconds: time between two checkpoints of a trial; 0 writes one after each epoch.
    working_folder: what relative paths in configurations start from.
    """

    base: RunConfig
    objective: str
    cache: Path
    checkpoint_seconds: float
    working_folder: Path


class FolderLock:
    """Keeps a trial's folder to one process. The kernel drops the lock with the process that held it.

    A worker of a dead driver lives for some seconds; without the lock it could overwrite the checkpoint of
    the worker that has taken the trial over.
    """

    def __init__(self, folder: Path, patience: float = 60.0):
        folder.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = (folder / "lock").open("wb")
        deadline = time.monotonic() + patience
        while not self._taken():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{folder} is still in use by another process after {patience:.0f} s")
            time.sleep(0.1)

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let others in."""
        self._file.close()


class TrialRun:
    """A trial in progress, from its latest checkpoint on."""

    def __init__(self, assignment: Assignment, workplace: Workplace, corpora: Corpora):
        self._assignment, self._workplace, self._corpora = assignment, workplace, corpora
        self._lock = FolderLock(assignment.folder)
        self._checkpoint = assignment.folder / CHECKPOINT
        self._started = self._saved = time.monotonic()
        self._epochs: Iterator[Progress] | None = None
        self._report = Report("running", 0, notes={"host": socket.gethostname(), "process": os.getpid()})

    def advance(self) -> Report:
        """Train one epoch. What the configuration causes is reported, never raised."""
        try:
            self._report = self._train_epoch()
        except TrainingDiverged as error:
            self._report = self._ended("diverged", str(error))
        except (torch.OutOfMemoryError, MemoryError) as error:
            self._report = self._ended("out_of_memory", f"{type(error).__name__}: {error}".rstrip(": "))
        except Exception:
            self._report = self._ended("failed", traceback.format_exc())
        return replace(self._report, seconds=time.monotonic() - self._started)

    def _ended(self, outcome: Outcome, reason: str) -> Report:
        return replace(self._report, outcome=outcome, reason=reason)

    def _train_epoch(self) -> Report:
        if self._epochs is None:
            self._epochs = self._start()
        progress = next(self._epochs)
        self._save(progress)
        return replace(
            self._report,
            outcome="completed" if progress.finished else "running",
            epoch=progress.epoch,
            metrics=progress.metrics,
            best_epoch=progress.best_epoch,
            best=progress.best,
        )

    def _start(self) -> Iterator[Progress]:
        config, cache = self._assignment.config, self._workplace.cache
        corpus = self._corpora.of(config)
        if self._checkpoint.exists():
            try:
                return epochs(config, corpus, resume=self._checkpoint, cache=cache)
            except (
                CheckpointError
            ):  # of another version of mmsa, say: that costs the trial its time, not its life
                shutil.rmtree(self._checkpoint)
        return epochs(config, corpus, cache=cache)

    def _save(self, progress: Progress) -> None:
        if progress.finished or time.monotonic() - self._saved >= self._workplace.checkpoint_seconds:
            progress.save(self._checkpoint)
            self._saved = time.monotonic()

    def close(self) -> None:
        """Free the memory and the folder."""
        self._epochs = None
        self._lock.release()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class SearchTrial(tune.Trainable):  # type: ignore[misc]
    """The adapter to Ray Tune: a warm process that is handed one trial after another.

    ``reset_config`` keeps the process with its imports and corpora. A trial that the scheduler stops never
    comes back here, so every report carries all that has to be known of the trial at that epoch.
    """

    def setup(self, config: dict[str, Any], corpora: tuple[Corpus, Corpus], workplace: Workplace) -> None:
        """Called once a process; ``corpora`` are the raw and the encoded one."""
        os.chdir(workplace.working_folder)
        self._workplace = workplace
        self._corpora = Corpora(*corpora, workplace.base, workplace.cache)
        self._run: TrialRun | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Called for each further trial of the process."""
        self.cleanup()
        return True

    def step(self) -> dict[str, Any]:
        """One epoch. The scheduler reads ``epoch`` and ``value``, the study reads ``report``."""
        if self._run is None:
            self._run = TrialRun(self.config["assignment"], self._workplace, self._corpora)
        report = self._run.advance()
        done = report.outcome != "running"
        if done:
            self.cleanup()
        value = report.best.get(self._workplace.objective, math.nan)
        # A NaN would pass every rung of the scheduler: what has no value is not compared.
        compared = {"value": value} if math.isfinite(value) else {}
        return {"report": report, "epoch": report.epoch, "done": done, **compared}

    def cleanup(self) -> None:
        """Called when the trial or the process ends."""
        if self._run is not None:
            self._run.close()
            self._run = None
