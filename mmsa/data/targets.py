"""Targets of a batch, and what is known of the targets before training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from mmsa.data.corpus import Corpus, ModalityName
from mmsa.data.target_spec import TargetSpec


@dataclass(frozen=True)
class TrainTargets:
    """What an objective is told of the train split before training.

    Attributes:
        rows: number of rows.
        label_range: smallest and largest label of the primary target.
        unimodal: modalities with labels of their own.
        targets: what can be predicted, the primary target first.
        counts: rows of each class, by target; of ``binary`` and ``multilabel`` those for which a label holds,
            and all; none of a scale.
        mean: of the primary target; 0 where it is no scale.
        deviation: likewise; 1 where it is no scale, or constant.
    """

    rows: int = 0
    label_range: tuple[float, float] = (-math.inf, math.inf)
    unimodal: tuple[ModalityName, ...] = ()
    targets: tuple[TargetSpec, ...] = (TargetSpec("label"),)
    counts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, corpus: Corpus) -> TrainTargets:
        """Describe the train split of ``corpus``."""
        train, primary = corpus["train"], corpus.target
        counts = {
            target.name: _counts(target, corpus.values("train", target.name))
            for target in corpus.targets
            if not target.is_scale
        }
        mean, deviation = 0.0, 1.0
        if primary.is_scale and len(train):
            mean, deviation = float(train.labels.mean()), float(train.labels.std()) or 1.0
        unimodal = tuple(train.unimodal_labels)
        return cls(len(train), corpus.label_range, unimodal, corpus.targets, counts, mean, deviation)

    @property
    def target(self) -> TargetSpec:
        """The primary target."""
        return self.targets[0]

    def concept(self, labels: Tensor) -> Tensor:
        """(B, C) what terms relate representations to: the z-score of a scale, one-hot classes, or labels.

        Of a data set that declares no target it is the label as it is, in whose unit weights of terms were
        published.
        """
        if self.target.kind == "multiclass":
            return one_hot(labels.long(), len(self.target.classes)).to(labels.dtype)
        if self.target.is_scale and not self.target.is_plain:
            labels = (labels - self.mean) / self.deviation
        return labels.reshape(len(labels), -1)

    def sides(self, labels: Tensor) -> Tensor:
        """(B,) the side of a scale each row is on: 1, -1, or 0 for neither; of classes, which it is.

        A scale has its sides at the threshold, or at its centre, which is on neither.
        """
        if not self.target.is_scale:
            return labels
        if self.target.threshold is not None:
            return (labels >= self.target.threshold).to(labels.dtype) * 2 - 1
        return (labels - self.target.centre).sign() if self.target.centre else labels.sign()


def _counts(target: TargetSpec, values: NDArray[np.float32]) -> tuple[float, ...]:
    known = values[~np.isnan(values).reshape(len(values), -1).any(axis=1)]
    if target.kind == "multiclass":
        return tuple(
            np.bincount(known.astype(np.int64), minlength=len(target.classes)).astype(float).tolist()
        )
    positives = known.reshape(len(known), -1).sum(axis=0, dtype=np.float64).tolist()
    return (*positives, float(len(known)))


UNKNOWN = TrainTargets()
"""No rows, unlimited labels, no labels of single modalities: for objectives built without a data set."""


@dataclass(frozen=True)
class Targets:
    """What an objective is told of the B rows of a batch.

    Attributes:
        labels: (B,) float32.
        rows: (B,) int64 positions in the split, for objectives that keep state for each row.
        unimodal: (B,) float32 labels of single modalities, where the data set has them.
        further: (B,) or (B, K) float32 values of targets beside the primary one; NaN where one is missing.
        train: what is known of the targets from train.
    """

    labels: Tensor
    rows: Tensor
    unimodal: Mapping[ModalityName, Tensor] = field(default_factory=dict)
    further: Mapping[str, Tensor] = field(default_factory=dict)
    train: TrainTargets = UNKNOWN

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def concept(self) -> Tensor:
        """(B, C) what terms relate representations to, see ``TrainTargets.concept``."""
        return self.train.concept(self.labels)

    @property
    def sides(self) -> Tensor:
        """(B,) see ``TrainTargets.sides``."""
        return self.train.sides(self.labels)
