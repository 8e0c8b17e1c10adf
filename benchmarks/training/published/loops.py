"""The loop that the published procedures share: padded clips, one loss, one optimiser, an evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mmsa.data.corpus import Corpus, Features, Split, Tokens

Clips = dict[str, Tensor]


class PaddedClips(Dataset[dict[str, Any]]):
    """One dictionary a clip, every sequence padded with zeros to ``steps`` of its modality."""

    def __init__(self, split: Split, steps: dict[str, int]):
        self.arrays: dict[str, NDArray[Any]] = {"label": split.labels, "row": np.arange(len(split))}
        for name, modality in split.modalities().items():
            assert isinstance(modality, Features | Tokens)
            values = modality.ids if isinstance(modality, Tokens) else modality.values
            padded = np.zeros((len(split), steps[name], *values.shape[1:]), values.dtype)
            for row, (start, end) in enumerate(zip(modality.offsets, modality.offsets[1:], strict=False)):
                padded[row, : end - start] = values[start:end]
            self.arrays |= {name: padded, f"{name}_steps": modality.lengths()}

    def __len__(self) -> int:
        return len(self.arrays["label"])

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {name: torch.as_tensor(array[row]) for name, array in self.arrays.items()}


class Loop:
    """One model under its published procedure; subclasses say what a batch costs.

    Attributes set by subclasses: ``batch_size``; ``accumulation``, batches of which the gradients are summed;
    ``splits``, which are evaluated after each epoch; ``clip_norm``; ``lr``. ``sample``: the batches of a pass
    that are trained on, where a whole pass would take too long to measure.
    """

    batch_size = 32
    accumulation = 1
    splits: tuple[str, ...] = ("valid",)
    clip_norm: float | None = None
    lr = 1e-3
    sample: int | None = None

    def __init__(self, corpus: Corpus, steps: dict[str, int], text: str):
        torch.manual_seed(0)
        self.text, self.num_train = text, len(corpus["train"])
        self.loaders = {
            name: DataLoader(PaddedClips(split, steps), self.batch_size, shuffle=True)
            for name, split in corpus.splits.items()
        }
        self.model = self.build()
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=self.lr)
        self.epochs = 0

    def build(self) -> nn.Module:
        """The model: clips in, (B,) predictions out."""
        raise NotImplementedError

    def train_epoch(self) -> int:
        """One epoch with its evaluation; the number of optimiser steps."""
        self.model.train()
        steps = self.train()
        for name in self.splits:
            self.evaluate(name)
        self.epochs += 1
        return steps

    def train(self) -> int:
        """The pass over the training split."""
        steps = 0
        self.optimiser.zero_grad()
        for index, clips in enumerate(self.loaders["train"], start=1):
            self.loss(clips).backward()
            if index % self.accumulation == 0:
                if self.clip_norm is not None:
                    nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
                self.optimiser.step()
                self.optimiser.zero_grad()
                steps += 1
        return steps

    def loss(self, clips: Clips) -> Tensor:
        """The mean absolute error."""
        return (self.model(clips) - clips["label"]).abs().mean()

    def evaluate(self, split: str) -> float:
        """The mean of the batches' mean absolute errors, as published."""
        self.model.eval()
        with torch.no_grad():
            errors = [
                float((self.model(clips) - clips["label"]).abs().mean()) for clips in self.loaders[split]
            ]
        self.model.train()
        return sum(errors) / len(errors)

    def batches(self) -> Iterator[Clips]:
        """Of the training split."""
        yield from islice(self.loaders["train"], self.sample)
