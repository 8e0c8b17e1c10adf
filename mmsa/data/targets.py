"""What predictions and representations of rows are compared with, and what is known of it beforehand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from mmsa.data.corpus import Corpus, ModalityName


@dataclass(frozen=True)
class Targets:
    """Of the B rows of a batch.

    labels: (B,) float32. rows: (B,) int64 positions in the split, for objectives that remember each row.
    unimodal: (B,) float32 labels of a modality alone, where the data set has them.
    """

    labels: Tensor
    rows: Tensor
    unimodal: Mapping[ModalityName, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class TargetSpec:
    """Of the train split: how many rows it has, where labels lie, and which modalities have their own."""

    rows: int = 0
    label_range: tuple[float, float] = (-math.inf, math.inf)
    unimodal: tuple[ModalityName, ...] = ()

    @classmethod
    def of(cls, corpus: Corpus) -> TargetSpec:
        """Of the train split of ``corpus``."""
        train = corpus["train"]
        return cls(len(train), corpus.label_range, tuple(train.unimodal_labels))


UNKNOWN = TargetSpec()
"""Nothing is known: no row, no limit to labels, none of a modality alone."""
