"""Padded batches of a split, in an order that the seed and the epoch determine.

Shapes: B rows of a batch, T time steps of its longest row, D features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsa.data.corpus import MODALITIES, Features, ModalityName, Split, Strings, Tokens
from mmsa.data.targets import Targets
from mmsa.errors import DataError
from mmsa.seeding import derive_seed

_ALL = slice(None)
_POOL = 16  # batches whose rows are sorted by length together


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    # From pinned memory the host does not wait for the copy: it goes on to the next batch while the device
    # computes with this one.
    source = tensor.pin_memory() if device.type == "cuda" else tensor
    return source.to(device, non_blocking=True)


@dataclass(frozen=True)
class Sequence:
    """Padded frames.

    Attributes:
        values: (B, T, D) float32, zero beyond each length.
        lengths: (B,) int64.
    """

    values: Tensor
    lengths: Tensor

    def mask(self) -> Tensor:
        """Mask of real frames, (B, T) bool."""
        return torch.arange(self.values.shape[1], device=self.values.device) < self.lengths[:, None]

    def to(self, device: torch.device) -> Sequence:
        """The same on ``device``."""
        return Sequence(_moved(self.values, device), _moved(self.lengths, device))


@dataclass(frozen=True)
class TokenSequence:
    """Padded token ids.

    Attributes:
        ids: (B, T) int64, zero beyond each length.
        lengths: (B,) int64.
    """

    ids: Tensor
    lengths: Tensor

    def mask(self) -> Tensor:
        """Mask of real tokens, (B, T) bool."""
        return torch.arange(self.ids.shape[1], device=self.ids.device) < self.lengths[:, None]

    def to(self, device: torch.device) -> TokenSequence:
        """The same on ``device``."""
        return TokenSequence(_moved(self.ids, device), _moved(self.lengths, device))


@dataclass(frozen=True)
class Batch:
    """B rows of one split.

    Attributes:
        rows: (B,) int64 positions in the split.
        labels: float32 values of the primary target, (B,) or (B, K).
        text: None, as every modality, where the split lacks it.
        audio: likewise.
        vision: likewise.
        unimodal_labels: (B,) float32 labels of single modalities; empty in most data sets.
        further_targets: (B,) or (B, K) float32 values of targets beside the primary one.
        whole: rows and labels of the whole batch where this is one process's share of it.
    """

    rows: Tensor
    labels: Tensor
    text: Sequence | TokenSequence | None = None
    audio: Sequence | None = None
    vision: Sequence | None = None
    unimodal_labels: Mapping[ModalityName, Tensor] = field(default_factory=dict)
    further_targets: Mapping[str, Tensor] = field(default_factory=dict)
    whole: Batch | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def targets(self) -> Targets:
        """What objectives see: the targets of the whole batch, also in a process that has a share of it."""
        whole = self.whole or self
        return Targets(whole.labels, whole.rows, whole.unimodal_labels, whole.further_targets)

    def only(self, modality: ModalityName) -> Batch:
        """The same rows with a single modality."""
        others: dict[str, Any] = {name: None for name in MODALITIES if name != modality}
        return replace(self, **others)

    def lacking(self, lost: Mapping[ModalityName, Tensor]) -> Batch:
        """The same, with rows that lose a modality; ``lost`` (B,) bool by modality."""
        parts: dict[str, Any] = {name: _less(getattr(self, name), lost[name]) for name in lost}
        return replace(self, **parts)

    def to(self, device: torch.device) -> Batch:
        """The same on ``device``."""
        return Batch(
            _moved(self.rows, device),
            _moved(self.labels, device),
            self.text and self.text.to(device),
            self.audio and self.audio.to(device),
            self.vision and self.vision.to(device),
            {name: _moved(y_B, device) for name, y_B in self.unimodal_labels.items()},
            {name: _moved(y_B, device) for name, y_B in self.further_targets.items()},
            self.whole and self.whole.to(device),
        )


def _less(part: Sequence | TokenSequence, lost_B: Tensor) -> Sequence | TokenSequence:
    lengths_B = part.lengths.masked_fill(lost_B, 0)
    if isinstance(part, TokenSequence):
        return TokenSequence(part.ids.masked_fill(lost_B[:, None], 0), lengths_B)
    return Sequence(part.values.masked_fill(lost_B[:, None, None], 0.0), lengths_B)


def without_some(batch: Batch, probability: float, seed: int, share: slice = _ALL) -> Batch:
    """The batch with each modality of each row dropped with ``probability``; a row keeps at least one.

    Args:
        batch: on the CPU.
        probability: of dropping.
        seed: decides which.
        share: this process's part of the whole batch, so that all processes drop alike.
    """
    present = {name: part for name in MODALITIES if (part := getattr(batch, name)) is not None}
    generator = np.random.default_rng(seed)
    draws_BM = generator.random((len(batch.whole or batch), len(MODALITIES)))[share, : len(present)]
    there_BM = np.stack([(part.lengths > 0).numpy() for part in present.values()], axis=1)
    # The largest draw of what is there is kept, so that no row is left with nothing.
    largest_B1 = np.where(there_BM, draws_BM, -1.0).max(axis=1, keepdims=True)
    lost_BM = there_BM & (draws_BM < probability) & (draws_BM < largest_B1)
    return batch.lacking(
        {name: torch.from_numpy(lost_BM[:, column].copy()) for column, name in enumerate(present)}
    )


def collate(split: Split, rows: NDArray[np.int64]) -> Batch:
    """Batch of the rows at positions ``rows``, padded to the longest of them (at least one step).

    Every tensor owns its memory, since the arrays of a split may be shared by many processes.

    Raises:
        DataError: for text that is still strings.
    """
    if isinstance(split.text, Strings):
        raise DataError("text is still strings; encode it first (mmsa.models.encode_text)")
    return replace(
        labels_of(split, rows),
        text=_padded_tokens(split.text, rows)
        if isinstance(split.text, Tokens)
        else _padded(split.text, rows),
        audio=_padded(split.audio, rows),
        vision=_padded(split.vision, rows),
    )


def labels_of(split: Split, rows: NDArray[np.int64]) -> Batch:
    """Batch of the rows at positions ``rows`` with their labels and no modality."""
    return Batch(
        rows=torch.tensor(rows, dtype=torch.int64),
        labels=torch.tensor(split.labels[rows], dtype=torch.float32),
        unimodal_labels={
            name: torch.tensor(labels[rows], dtype=torch.float32)
            for name, labels in split.unimodal_labels.items()
        },
        further_targets={
            name: torch.tensor(values[rows], dtype=torch.float32)
            for name, values in split.further_targets.items()
        },
    )


def _padded(features: Features | None, rows: NDArray[np.int64]) -> Sequence | None:
    if features is None:
        return None
    values_BTD, lengths_B = _pad(features.values, features.offsets, rows)
    return Sequence(torch.from_numpy(values_BTD), torch.from_numpy(lengths_B))


def _padded_tokens(tokens: Tokens, rows: NDArray[np.int64]) -> TokenSequence:
    ids_BT, lengths_B = _pad(tokens.ids, tokens.offsets, rows)
    return TokenSequence(torch.from_numpy(ids_BT), torch.from_numpy(lengths_B))


def _pad(
    values_L: NDArray[Any], offsets: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """A new (B, T, ...) array of the ragged rows, zero beyond each length, and the (B,) lengths."""
    # One gather with a (B, T) mask: a loop over rows takes longer than a small model's step.
    starts_B: NDArray[np.int64] = offsets[rows]
    lengths_B: NDArray[np.int64] = offsets[rows + 1] - starts_B
    steps_T = np.arange(max(1, int(lengths_B.max())))
    real_BT = steps_T < lengths_B[:, None]
    padded = np.zeros((*real_BT.shape, *values_L.shape[1:]), values_L.dtype)
    padded[real_BT] = values_L[(starts_B[:, None] + steps_T)[real_BT]]
    return padded, lengths_B


class Batches:
    """The batches of a split, epoch after epoch.

    The order is a pure function of ``seed`` and the epoch, so that training resumes from a position alone.
    Rows of similar length share a batch, which saves padding: shuffled rows are sorted by total frames within
    pools of 16 batches, and the batches are shuffled again. Batch sizes differ by at most one.

    Args:
        split: whose rows are batched.
        batch_size: the largest batch.
        seed: of the order.
        shuffle: without it rows are ordered by length; ``Batch.rows`` says which they are.
        share: the part of each batch that this process is given.
    """

    def __init__(
        self, split: Split, batch_size: int, seed: int = 0, shuffle: bool = True, share: slice = _ALL
    ):
        self.split, self.seed, self.shuffle, self.share = split, seed, shuffle, share
        self._count = -(-len(split) // batch_size)
        lengths = [modality.lengths() for modality in split.modalities().values()]
        self._frames_N: NDArray[np.int64] = np.stack(lengths).sum(axis=0)

    def __len__(self) -> int:
        return self._count

    def plan(self, epoch: int) -> list[NDArray[np.int64]]:
        """Positions of the rows of each batch of ``epoch`` (counted from 0); each row occurs once."""
        if not self.shuffle:
            return np.array_split(np.argsort(self._frames_N, kind="stable"), len(self))
        generator = np.random.default_rng(derive_seed("batches", self.seed, epoch))
        # Sorting all rows by length would give every epoch the same batches; within a pool of shuffled rows
        # the batches differ, at nearly the same padding.
        batches = np.array_split(generator.permutation(len(self.split)), len(self))
        planned: list[NDArray[np.int64]] = []
        for start in range(0, len(batches), _POOL):
            pool = batches[start : start + _POOL]
            rows = np.concatenate(pool)
            rows = rows[np.argsort(self._frames_N[rows], kind="stable")]
            planned += np.split(rows, np.cumsum([len(batch) for batch in pool])[:-1])
        return [planned[position] for position in generator.permutation(len(planned))]

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches of ``epoch``, beginning with batch number ``start``."""
        for rows in self.plan(epoch)[start:]:
            batch = collate(self.split, rows[self.share])
            yield batch if self.share == _ALL else replace(batch, whole=labels_of(self.split, rows))

    def turns(self, epoch: int, modalities: tuple[ModalityName, ...], start: int = 0) -> Iterator[Batch]:
        """Each batch of ``epoch`` once per modality, with that modality alone, from turn ``start`` on."""
        first, skipped = divmod(start, len(modalities))
        batches = self.epoch(epoch, first)
        alone = (batch.only(modality) for batch in batches for modality in modalities)
        yield from islice(alone, skipped, None)
