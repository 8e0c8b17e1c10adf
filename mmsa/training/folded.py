"""A run on folds: one model for each, trained epoch by epoch beside the others, and judged together.

After every epoch each model predicts the rows that its fold holds out. Together these are predictions of all
rows of development by models that never saw their groups, and the metrics of the run are theirs. So a run on
folds reports one number an epoch, like any other, and schedulers need to know nothing of it. One epoch is
chosen for all folds, on that number: an epoch for each fold would be chosen on the very rows that it is then
evaluated on.

Shapes: N rows of valid, F folds, R repeats of the dealing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mmsa.config import with_overrides
from mmsa.data.corpus import Corpus, Fold, Split
from mmsa.data.target_spec import TargetSpec
from mmsa.errors import TrainingDiverged
from mmsa.experiment import RunConfig
from mmsa.seeding import derive_seed
from mmsa.training.checkpoint import State, write_checkpoint
from mmsa.training.metrics import evaluate
from mmsa.training.parallel import ALONE, Team
from mmsa.training.predictor import Bag, Result, readable
from mmsa.training.selection import PREFIX, Selection
from mmsa.training.trainer import Position, Trainer, resume_together, run_identity

FOLD_MEAN, FOLD_SD = "fold_mean/", "fold_sd/"
"""Prefixes of the mean and standard deviation over folds of a metric that ``valid/`` has of all rows."""
HELD_OUT = "held_out_predictions.npy"
"""Name of the file in a trial's folder with the predictions of held-out rows after each of its epochs."""
NOT_POOLED = ("auc",)
"""Beginnings of metrics that are means over folds: scores of different models have no common ranks."""


class FoldedTrainer:
    """A run on the folds of a corpus; what it offers is what ``Trainer`` offers to the loop.

    Attributes:
        folds: a run for each; their seeds differ, so that the spread over folds includes that of training.
        held_out: (R, N) predictions after each epoch, by the models that did not see the row; NaN where no
            fold of a repeat holds it out. (R, N, K) where a prediction has K numbers.

    Raises:
        ConfigError: as ``Trainer``.
    """

    def __init__(self, config: RunConfig, corpus: Corpus, cache: Path | None = None, team: Team = ALONE):
        self.config, self.team = config, team
        # Text may be encoded already, and train and valid are one split, which stays one.
        encoded = {id(split): readable(split, config.model, cache) for split in corpus.splits.values()}
        splits = {name: encoded[id(split)] for name, split in corpus.splits.items()}
        self.corpus = replace(corpus, splits=splits)
        self._sequential = config.data.folds.mode == "sequential"  # type: ignore[attr-defined]
        self.folds: list[Trainer] = []
        for number in range(len(corpus.folds)):
            own = with_overrides(config, {"seed": derive_seed("fold", config.seed, number)})
            self.folds.append(Trainer(own, self.corpus.fold(number), cache, team))
            self._park(self.folds[-1])
        self.runtime = self.folds[0].runtime
        self.model = nn.ModuleList([fold.model for fold in self.folds])
        self.selection = Selection(config.train)
        self.history: list[dict[str, float]] = []
        self.held_out: list[NDArray[np.float32]] = []

    @property
    def position(self) -> Position:
        """Epochs of all folds, and the sum of their steps."""
        epoch = min(fold.position.epoch for fold in self.folds)
        return Position(epoch=epoch, step=sum(fold.position.step for fold in self.folds))

    @property
    def finished(self) -> bool:
        """Whether there is no further epoch to train."""
        return self.selection.ended(self.position.epoch)

    @property
    def num_parameters(self) -> int:
        """How many numbers the model of one fold trains."""
        return self.folds[0].num_parameters

    @property
    def seconds(self) -> float:
        """Of training and evaluation, of all folds."""
        return sum(fold.seconds for fold in self.folds)

    @property
    def evaluated(self) -> nn.Module:
        """The models that are evaluated, in the order of the folds."""
        return nn.ModuleList([fold.evaluated for fold in self.folds])

    def train_epoch(self) -> None:
        """Train an epoch of every fold, then evaluate all together.

        Raises:
            TrainingDiverged: if a number of one fold stopped being finite.
        """
        trained = [self._turn(number) for number in range(len(self.folds))]
        predictions = [predictions for _, predictions in trained]
        names = dict.fromkeys(name for metrics, _ in trained for name in metrics)
        means = {
            name: float(np.mean([metrics[name] for metrics, _ in trained if name in metrics]))
            for name in names
        }
        metrics = self.team.first(means | self._scored(predictions))
        for fold in self.folds:
            fold.end_epoch(metrics)
        self.history.append(metrics)
        self.held_out.append(spread(self.corpus.folds, predictions, len(self.corpus["valid"])))
        self.selection.consider(self.position.epoch, metrics, self.evaluated)

    def _turn(self, number: int) -> tuple[dict[str, float], NDArray[np.float32]]:
        fold = self.folds[number]
        fold.move_to(self.runtime.device)
        try:
            return fold.run_epoch()
        except TrainingDiverged as error:
            raise TrainingDiverged(error.step, f"{error.term} of fold {number}", error.value) from None
        finally:
            self._park(fold)

    def _park(self, fold: Trainer) -> None:
        if self._sequential:
            fold.move_to(torch.device("cpu"))

    def _scored(self, predictions: Sequence[NDArray[np.float32]]) -> dict[str, float]:
        found = across_folds(self.corpus, predictions)
        return {
            name if name.startswith((FOLD_MEAN, FOLD_SD)) else PREFIX + name: found[name] for name in found
        }

    def views(self, models: nn.Module) -> Iterator[tuple[nn.Module, Split, float]]:
        """Each of the models with the rows that its fold holds out, and the seconds that it took so far."""
        assert isinstance(models, nn.ModuleList)
        for fold, model in zip(self.folds, models, strict=True):
            model.to(self.runtime.device)
            yield model, fold.corpus["valid"], fold.seconds
            if self._sequential:
                model.to("cpu")

    def valid_predictions(self) -> NDArray[np.float32]:
        """``held_out`` of the best epoch; (N,) or (N, K) for a single repeat."""
        best = self.held_out[self.selection.epoch - 1]
        return best[0] if len(best) == 1 else best

    def further_predictions(self) -> dict[TargetSpec, NDArray[np.float32]]:
        """None: metrics of targets beside the primary one are means over folds."""
        return {}

    def result(self) -> Result:
        """The result of the run: the models of all folds, whose mean predicts. It ends the run."""
        self.model.load_state_dict(self.selection.weights)
        members = tuple(fold.predictor for fold in self.folds)
        return Result(
            config=self.config,
            best_epoch=self.selection.epoch,
            metrics=self.selection.metrics,
            history=self.history,
            seconds=self.seconds,
            num_parameters=self.num_parameters,
            counters={"epochs": self.position.epoch, "steps": self.position.step},
            predictor=Bag.of(self.config, members),
            held_out=self.valid_predictions(),
        )

    def save(self, directory: Path) -> None:
        """Write a checkpoint of all folds at the end of an epoch; in a team only the first process does."""
        if self.team.rank > 0:
            return
        write_checkpoint(
            directory,
            {
                **run_identity(self.config, self.corpus),
                "folds": [fold.state() for fold in self.folds],
                "selection": self.selection.state_dict(),
                "history": self.history,
                "held_out": torch.from_numpy(np.stack(self.held_out)),
            },
        )

    def resume(self, directory: Path) -> None:
        """Continue where ``save`` was called.

        Raises:
            CheckpointError: as ``Trainer.resume``.
        """
        resume_together(self.team, directory, run_identity(self.config, self.corpus), self._restore)

    def _restore(self, state: State) -> None:
        for fold, part in zip(self.folds, state["folds"], strict=True):
            fold.move_to(self.runtime.device)
            fold.restore(part)
            self._park(fold)
        self.selection.load_state_dict(state["selection"])
        self.history = [dict(metrics) for metrics in state["history"]]
        self.held_out = list(state["held_out"].numpy())
        if {*(fold.position.epoch for fold in self.folds), len(self.held_out)} != {len(self.history)}:
            raise ValueError(f"folds are not all at the end of epoch {len(self.history)}")


def spread(
    folds: Sequence[Fold], predictions: Sequence[NDArray[np.float32]], num_rows: int
) -> NDArray[np.float32]:
    """Predictions of held-out rows at their places, (R, N) or (R, N, K); NaN where a repeat has none.

    Args:
        folds: of a corpus.
        predictions: of each fold, in the order of its ``held_out``.
        num_rows: N.
    """
    repeats = 1 + max(fold.repeat for fold in folds)
    shape = (repeats, num_rows, *predictions[0].shape[1:])
    placed: NDArray[np.float32] = np.full(shape, np.nan, dtype=np.float32)
    for fold, values in zip(folds, predictions, strict=True):
        placed[fold.repeat, fold.held_out] = values
    return placed


def across_folds(corpus: Corpus, predictions: Sequence[NDArray[np.float32]]) -> dict[str, float]:
    """Metrics of predictions of held-out rows, and their means and deviations over folds.

    A metric is that of all rows that a repeat holds out together, so that F1 and recalls are of pooled counts
    and correlations of all rows: those of 30 rows each have no useful mean. AUC is the mean over folds, since
    scores of different models are not ranked against each other. Repeats are averaged.

    Args:
        corpus: with folds.
        predictions: of each fold, in the order of its ``held_out``.
    """
    valid = corpus["valid"]
    by_fold = [
        evaluate(valid.labels[fold.held_out], values, corpus.target)
        for fold, values in zip(corpus.folds, predictions, strict=True)
    ]
    pooled = [
        evaluate(valid.labels[there_N], values, corpus.target)
        for there_N, values in by_repeat(spread(corpus.folds, predictions, len(valid)))
    ]
    found: dict[str, float] = {}
    spreads: dict[str, float] = {}
    for name in by_fold[0]:
        values_F = np.array([metrics[name] for metrics in by_fold])
        joint = values_F if name.startswith(NOT_POOLED) else [metrics[name] for metrics in pooled]
        found[name] = float(np.mean(joint))
        spreads[FOLD_MEAN + name], spreads[FOLD_SD + name] = (
            float(values_F.mean()),
            float(values_F.std(ddof=1)),
        )
    return found | spreads


def by_repeat(predictions: NDArray[Any]) -> Iterator[tuple[NDArray[np.bool_], NDArray[Any]]]:
    """For each repeat, (N,) which rows of valid are predicted, and the predictions of these rows.

    Args:
        predictions: (R, N) or (R, N, K), NaN where a repeat has none.
    """
    for values in predictions:
        there_N: NDArray[np.bool_] = ~np.isnan(values).reshape(len(values), -1).any(axis=1)
        yield there_N, values[there_N]


def refit(config: RunConfig, corpus: Corpus, chosen: Result, *, cache: Path | None = None) -> Result:
    """Train one model on all rows of development, for as many epochs as its folds chose.

    There is no row left to choose an epoch on, and none is chosen: the weights are those of the last one.

    Args:
        config: of the run on folds.
        corpus: with folds.
        chosen: of the run on folds, whose metrics the result keeps.
        cache: folder of encoded text.

    Raises:
        TrainingDiverged: as in any training.
    """
    trainer = Trainer(config, replace(corpus, folds=()), cache)
    for epoch in range(chosen.best_epoch):
        trainer.run_epoch()
        # The schedule may look at the metric, which is that of the folds: these rows were trained on.
        trainer.end_epoch(chosen.history[epoch])
    return replace(chosen, predictor=trainer.predictor, seconds=chosen.seconds + trainer.seconds)
