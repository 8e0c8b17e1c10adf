"""Information measured on the valid split's representations while a run goes on and when it is finished.

Nothing here draws from a generator of the run or changes its weights, so a run that is measured is the run
that is not. All runs are measured with the same folds, resamples and permutations: on the same rows their
intervals are paired.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from mmsa.information import Measurement
from mmsa.information.budget import TimeBudget
from mmsa.information.measure_panel import measure_panel
from mmsa.information.panel import metrics
from mmsa.training.predictor import represent
from mmsa.training.trainer import Trainer


def measure_epoch(trainer: Trainer) -> None:
    """At a chosen epoch, add the information of its weights to its metrics."""
    if trainer.position.epoch in trainer.config.information.epochs:
        trainer.history[-1].update(metrics(_measure(trainer, trainer.evaluated)))


def measure_best(trainer: Trainer) -> dict[str, Measurement]:
    """The information of the weights of the best epoch, by name; nothing before the run is finished."""
    if not trainer.finished or not trainer.config.information.quantities:
        return {}
    with _best(trainer) as model:
        return _measure(trainer, model)


def _measure(trainer: Trainer, model: nn.Module) -> dict[str, Measurement]:
    config, valid = trainer.config.information, trainer.corpus["valid"]
    if trainer.team.rank > 0:  # the first process reports
        return {}
    times = 1 + len(config.epochs)
    budget = TimeBudget(None if config.budget is None else config.budget * trainer.seconds / times)
    with trainer.runtime.active():
        representations = represent(
            model, valid, trainer.config.train.eval_batch_size, trainer.runtime.device
        )
        return measure_panel(
            representations,
            valid.labels,
            valid.groups,
            config.quantities,
            estimator=config.estimator,
            budget=budget,
        )


@contextmanager
def _best(trainer: Trainer) -> Iterator[nn.Module]:
    """The model with the weights of the best epoch, and afterwards as it was: a checkpoint may follow."""
    model = trainer.model
    kept = {name: value.detach().to("cpu", copy=True) for name, value in model.state_dict().items()}
    model.load_state_dict(trainer.selection.weights)
    try:
        yield model
    finally:
        model.load_state_dict(kept)
