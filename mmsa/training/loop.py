"""The only way to train: ``epochs`` for those who step the loop, ``run`` for those who want its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmsa.data import Corpus
from mmsa.experiment import RunConfig
from mmsa.information import Measurement
from mmsa.information.panel import metrics as information_metrics
from mmsa.training.measuring import measure_best, measure_epoch
from mmsa.training.parallel import ALONE, Team
from mmsa.training.resampling import standard_errors
from mmsa.training.result import Result
from mmsa.training.selection import PREFIX
from mmsa.training.trainer import Trainer


@dataclass(frozen=True)
class Progress:
    """Where a run stands at the end of an epoch.

    Attributes:
        epoch: finished epochs, so the number of this one counted from 1.
        step: optimiser steps so far.
        metrics: of this epoch, all finite. ``valid/…``: of the whole split. Means over the epoch's steps:
            ``loss/<term>`` (weighted, in the scale of the total ``train/loss``), ``loss/estimator/<term>``,
            ``train/gradient`` (norm before clipping), and monitors of terms such as ``bound/…`` in nats.
            ``train/lr``: of the main group after the last step. ``information/…`` at chosen epochs.
        best_epoch: the best epoch so far by ``train.metric``.
        best: all metrics of the best epoch; with ``information/…`` once the run is finished.
        history: the metrics of every epoch so far, those before a resumption included.
        finished: whether this was the last epoch.
        repeated: whether it was trained earlier, and is given once more from a checkpoint.
        information: of the weights of the best epoch, once the run is finished.
    """

    epoch: int
    step: int
    metrics: dict[str, float]
    best_epoch: int
    best: dict[str, float]
    history: tuple[dict[str, float], ...]
    finished: bool
    information: dict[str, Measurement]
    repeated: bool
    _trainer: Trainer = field(repr=False, compare=False)

    def save(self, directory: Path) -> None:
        """Write a checkpoint into the folder ``directory``, in place of one that is there.

        Of the processes of a team only the first does.

        Raises:
            ValueError: once the next epoch has begun, when the state of this one is gone.
        """
        if self._trainer.position.step != self.step:
            raise ValueError(f"epoch {self.epoch} can be saved only until the next one begins")
        self._trainer.save(directory)

    @property
    def num_parameters(self) -> int:
        """How many numbers are trained."""
        return self._trainer.num_parameters

    def standard_errors(self) -> dict[str, float]:
        """How sure each ``valid/`` metric of the best epoch is, by resampling groups of the split.

        Call it after the last epoch and its ``save``: it ends the run.
        """
        if not self.finished:
            raise ValueError(f"epoch {self.epoch} is not the last one")
        corpus, valid = self._trainer.corpus, self._trainer.corpus["valid"]
        predictions_N = self._trainer.result().predict(valid)
        errors = standard_errors(valid.labels, predictions_N, valid.groups, corpus.suite)
        return {PREFIX + name: error for name, error in errors.items()}


def epochs(
    config: RunConfig,
    corpus: Corpus,
    *,
    resume: Path | None = None,
    cache: Path | None = None,
    team: Team = ALONE,
    known: int | None = None,
) -> Iterator[Progress]:
    """Train epoch by epoch; each ``next`` trains one and evaluates it.

    A run resumed from the checkpoint of its last epoch gives that epoch's progress once more and ends.

    Args:
        corpus: with train and valid; the text raw, or encoded for ``config.model``.
        resume: folder of a checkpoint to continue from.
        known: the last epoch whose progress the caller has seen: a run resumed from the checkpoint of a later
            one gives that one's progress once more before it trains. None for all.
        cache: folder that keeps encoded text between runs.
        team: the processes that train this run together, each of which calls this with the same arguments.

    Raises:
        ConfigError: before the first step, for settings that do not fit machine or data.
        CheckpointError: before the first step, for a checkpoint that cannot be continued.
        TrainingDiverged: in the epoch in which a number stopped being finite.
        WorkerLost: when another process of ``team`` died, or does not answer.
    """
    return _drive(_start(config, corpus, resume, cache, team), known)


def _ignore(progress: Progress) -> None:
    pass


def run(
    config: RunConfig,
    corpus: Corpus,
    report: Callable[[Progress], None] = _ignore,
    *,
    resume: Path | None = None,
    cache: Path | None = None,
) -> Result:
    """Train to the end and call ``report`` after each epoch. Arguments and errors as for ``epochs``."""
    trainer = _start(config, corpus, resume, cache, ALONE)
    for progress in _drive(trainer):
        report(progress)
    return replace(trainer.result(), metrics=progress.best, information=progress.information)


def _start(config: RunConfig, corpus: Corpus, resume: Path | None, cache: Path | None, team: Team) -> Trainer:
    trainer = Trainer(config, corpus, cache, team)
    if resume is not None:
        trainer.resume(resume)
    return trainer


def _drive(trainer: Trainer, known: int | None = None) -> Iterator[Progress]:
    if trainer.finished or (known is not None and trainer.position.epoch > known):
        yield _progress(trainer, repeated=True)
    while not trainer.finished:
        trainer.train_epoch()
        measure_epoch(trainer)
        yield _progress(trainer)


def _progress(trainer: Trainer, repeated: bool = False) -> Progress:
    information = measure_best(trainer)
    return Progress(
        epoch=trainer.position.epoch,
        step=trainer.position.step,
        metrics=trainer.history[-1],
        best_epoch=trainer.selection.epoch,
        best=trainer.selection.metrics | information_metrics(information),
        history=tuple(trainer.history),
        finished=trainer.finished,
        information=information,
        repeated=repeated,
        _trainer=trainer,
    )
