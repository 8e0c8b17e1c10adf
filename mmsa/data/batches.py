"""Batches: rows of a split, padded to the longest of them, in an order that a seed determines.

Shapes: B rows of a batch, T time steps of its longest row, D features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sequence:
    """Padded frames. ``values``: (B, T, D) float32, zero beyond each row's length. ``lengths``: (B,) int64."""

    values: Tensor
    lengths: Tensor

    def mask(self) -> Tensor:
        """(B, T) bool, True on real frames."""
        return torch.arange(self.values.shape[1], device=self.values.device) < self.lengths[:, None]

    def to(self, device: torch.device) -> Sequence:
        """The same on ``device``."""
        return Sequence(self.values.to(device, non_blocking=True), self.lengths.to(device, non_blocking=True))


@dataclass(frozen=True)
class TokenSequence:
    """Padded token ids. ``ids``: (B, T) int64. ``lengths``: (B,) int64."""

    ids: Tensor
    lengths: Tensor

    def mask(self) -> Tensor:
        """(B, T) bool, True on real tokens."""
        return torch.arange(self.ids.shape[1], device=self.ids.device) < self.lengths[:, None]

    def to(self, device: torch.device) -> TokenSequence:
        """The same on ``device``."""
        return TokenSequence(
            self.ids.to(device, non_blocking=True), self.lengths.to(device, non_blocking=True)
        )


@dataclass(frozen=True)
class Batch:
    """B rows of one split. ``rows``: (B,) int64 positions in the split. ``labels``: (B,) float32."""

    rows: Tensor
    labels: Tensor
    text: Sequence | TokenSequence | None = None
    audio: Sequence | None = None
    vision: Sequence | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> Batch:
        """The same on ``device``."""
        return Batch(
            self.rows.to(device, non_blocking=True),
            self.labels.to(device, non_blocking=True),
            *(part if part is None else part.to(device) for part in (self.text, self.audio, self.vision)),
        )
