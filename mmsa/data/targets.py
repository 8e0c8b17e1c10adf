"""Targets of a batch, and what is known of the targets before training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from mmsa.data.corpus import Corpus, ModalityName


@dataclass(frozen=True)
class Targets:
    """What an objective is told of the B rows of a batch.

    Attributes:
        labels: (B,) float32.
        rows: (B,) int64 positions in the split, for objectives that keep state for each row.
        unimodal: (B,) float32 labels of single modalities, where the data set has them.
    """

    labels: Tensor
    rows: Tensor
    unimodal: Mapping[ModalityName, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class TrainTargets:
    """What an objective is told of the train split before training.

    Attributes:
        rows: number of rows.
        label_range: smallest and largest label of the scale.
        unimodal: modalities with labels of their own.
    """

    rows: int = 0
    label_range: tuple[float, float] = (-math.inf, math.inf)
    unimodal: tuple[ModalityName, ...] = ()

    @classmethod
    def of(cls, corpus: Corpus) -> TrainTargets:
        """Describe the train split of ``corpus``."""
        train = corpus["train"]
        return cls(len(train), corpus.label_range, tuple(train.unimodal_labels))


UNKNOWN = TrainTargets()
"""No rows, unlimited labels, no labels of single modalities: for objectives built without a data set."""
