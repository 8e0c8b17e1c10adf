"""The only way to train: ``epochs`` for those who step through a run, ``run`` for those who want its result.

Between epochs information is measured on the valid split's representations. Nothing of that draws from a
generator of the run or changes its weights, so a measured run is the same run. All runs are measured with the
same folds, resamples and permutations, so that on the same rows their intervals are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mmsa.data.corpus import Corpus
from mmsa.experiment import RunConfig
from mmsa.information.across_parts import across_parts
from mmsa.information.budget import TimeBudget
from mmsa.information.measure_panel import measure_panel
from mmsa.information.panel import metrics as information_metrics
from mmsa.measurement import Measurement
from mmsa.training.folded import FoldedTrainer, by_repeat
from mmsa.training.metrics import target_metric
from mmsa.training.parallel import ALONE, Team
from mmsa.training.predictor import Result, represent
from mmsa.training.resampling import standard_errors
from mmsa.training.selection import PREFIX
from mmsa.training.trainer import Trainer

AnyTrainer = Trainer | FoldedTrainer


@dataclass(frozen=True)
class Progress:
    """State of a run at the end of an epoch.

    Attributes:
        epoch: number of this epoch, counted from 1.
        step: optimiser steps so far.
        metrics: of this epoch, all finite. ``valid/…``: of the whole split. Means over the epoch's steps:
            ``loss/<term>`` (weighted, in the scale of the total ``train/loss``), ``loss/estimator/<term>``,
            ``train/gradient`` (norm before clipping), and monitors of terms such as ``bound/…`` in nats.
            ``train/lr``: of the main group after the last step. ``information/…`` at chosen epochs.
        best_epoch: the best epoch so far by ``train.metric``.
        best: all metrics of the best epoch, ``information/…`` among them once the run is finished.
        history: the metrics of every epoch so far, including those before a resumption.
        finished: whether this was the last epoch.
        repeated: whether it was trained earlier and comes once more from a checkpoint.
        information: measured on the weights of the best epoch, once the run is finished.
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
    _trainer: AnyTrainer = field(repr=False, compare=False)

    def save(self, directory: Path) -> None:
        """Write a checkpoint into the folder ``directory``, replacing one that is there.

        In a team only the first process writes.

        Raises:
            ValueError: if the next epoch has begun, since the state of this one is gone then.
        """
        if self._trainer.position.step != self.step:
            raise ValueError(f"epoch {self.epoch} can be saved only until the next one begins")
        self._trainer.save(directory)

    @property
    def num_parameters(self) -> int:
        """How many numbers are trained."""
        return self._trainer.num_parameters

    def standard_errors(self) -> dict[str, float]:
        """Standard error of each ``valid/`` metric of the best epoch, by resampling groups of the split.

        With several repeats of folds the mean over repeats, which is no less than the error of their mean. It
        ends the run, so call it after the ``save`` of the last epoch.
        """
        corpus, valid = self._trainer.corpus, self._trainer.corpus["valid"]
        repeats = self.valid_predictions if corpus.repeats > 1 else self.valid_predictions[None]
        found = [
            standard_errors(valid.labels[there_N], values, valid.groups[there_N], corpus.target)
            for there_N, values in by_repeat(repeats)
        ]
        means = {PREFIX + name: float(np.mean([errors[name] for errors in found])) for name in found[0]}
        for target, output in self._trainer.further_predictions().items():
            own = standard_errors(corpus.values("valid", target.name), output, valid.groups, target)
            means |= {PREFIX + target_metric(corpus, target, name): error for name, error in own.items()}
        return means

    @cached_property
    def valid_predictions(self) -> NDArray[np.float32]:
        """(N,) predictions of the best epoch on the valid split; ends the run as ``standard_errors`` does.

        With folds each row's is that of the model that did not see it; (R, N) with R repeats, and NaN where
        none of a repeat's folds holds the row out.
        """
        if not self.finished:
            raise ValueError(f"epoch {self.epoch} is not the last one")
        return self._trainer.valid_predictions()

    @property
    def held_out(self) -> NDArray[np.float32] | None:
        """(E, R, N) predictions of held-out rows after each epoch; None without folds."""
        trainer = self._trainer
        return np.stack(trainer.held_out) if isinstance(trainer, FoldedTrainer) else None


def epochs(
    config: RunConfig,
    corpus: Corpus,
    *,
    resume: Path | None = None,
    cache: Path | None = None,
    team: Team = ALONE,
    known: int | None = None,
) -> Iterator[Progress]:
    """Train epoch by epoch: each ``next`` trains one epoch and evaluates it.

    A run that is resumed from the checkpoint of its last epoch yields that epoch's progress once more and
    ends.

    Args:
        config: of the run.
        corpus: with train and valid; its text is raw, or encoded for ``config.model``.
        resume: folder of a checkpoint to continue from.
        cache: folder that keeps encoded text between runs.
        team: the processes that train this run together; each of them calls this with the same arguments.
        known: the last epoch whose progress the caller has seen. A run that is resumed from the checkpoint of
            a later epoch yields that epoch's progress once more before it trains. None if it has seen all.

    Raises:
        ConfigError: before the first step, for settings that do not fit the machine or the data.
        CheckpointError: before the first step, for a checkpoint that cannot be continued.
        TrainingDiverged: in the epoch in which a number stopped being finite.
        WorkerLost: if another process of ``team`` died or does not answer.
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
    """Train to the end, calling ``report`` after each epoch. Arguments and errors are those of ``epochs``."""
    trainer = _start(config, corpus, resume, cache, ALONE)
    for progress in _drive(trainer):
        report(progress)
    return replace(trainer.result(), metrics=progress.best, information=progress.information)


def _start(
    config: RunConfig, corpus: Corpus, resume: Path | None, cache: Path | None, team: Team
) -> AnyTrainer:
    trainer = (FoldedTrainer if corpus.folds else Trainer)(config, corpus, cache, team)
    if resume is not None:
        trainer.resume(resume)
    return trainer


def _drive(trainer: AnyTrainer, known: int | None = None) -> Iterator[Progress]:
    if trainer.finished or (known is not None and trainer.position.epoch > known):
        yield _progress(trainer, repeated=True)
    while not trainer.finished:
        trainer.train_epoch()
        measure_epoch(trainer)
        yield _progress(trainer)


def _progress(trainer: AnyTrainer, repeated: bool = False) -> Progress:
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


def measure_epoch(trainer: AnyTrainer) -> None:
    """Add the information of the current weights to the epoch's metrics, if the epoch is a chosen one."""
    if trainer.position.epoch in trainer.config.information.epochs:
        trainer.history[-1].update(information_metrics(_measure(trainer, trainer.evaluated)))


def measure_best(trainer: AnyTrainer) -> dict[str, Measurement]:
    """The information of the weights of the best epoch, by name; empty before the run is finished."""
    if not trainer.finished or not trainer.config.information.quantities:
        return {}
    with _best(trainer) as model:
        return _measure(trainer, model)


def _measure(trainer: AnyTrainer, model: nn.Module) -> dict[str, Measurement]:
    config = trainer.config.information
    if trainer.team.rank > 0:  # only the first process reports
        return {}
    times, parts = 1 + len(config.epochs), max(1, len(trainer.corpus.folds))
    panels = []
    with trainer.runtime.active():
        for part, rows, seconds in trainer.views(model):
            panels.append(
                measure_panel(
                    represent(part, rows, trainer.config.train.eval_batch_size, trainer.runtime.device),
                    rows.labels,
                    rows.groups,
                    trainer.config.measured,
                    estimator=config.estimator,
                    budget=TimeBudget(None if config.budget is None else config.budget * seconds / times),
                    parts=parts,
                    kind=trainer.corpus.target.kind,
                )
            )
    # Never of all rows at once: vectors of different networks have nothing in common but their width.
    return across_parts(panels)


@contextmanager
def _best(trainer: AnyTrainer) -> Iterator[nn.Module]:
    """The model with the weights of the best epoch, for the context only: a checkpoint may follow."""
    model = trainer.model
    # Copies on the CPU: on a GPU two more sets of weights may not fit.
    kept = {name: value.detach().to("cpu", copy=True) for name, value in model.state_dict().items()}
    model.load_state_dict(trainer.selection.weights)
    try:
        yield model
    finally:
        model.load_state_dict(kept)
