"""What an encoder gives to a fusion. Shapes: B rows, T time steps, W the encoder's output width."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mmsa.data.batches import Sequence

States = Callable[[], Tensor]
"""Computes states (B, T, W); beyond the length of a row they may be anything."""


@dataclass(frozen=True)
class Encoded:
    """One modality of a batch, encoded: a vector a row, and the sequence of states behind it.

    vector: (B, W), zero where a row lacks the modality.
    """

    vector: Tensor
    lengths: Tensor
    compute_states: States | None

    @classmethod
    def of(cls, vector_BW: Tensor, lengths_B: Tensor, states: States | None) -> Encoded:
        """Zeroes rows of length 0; without ``states`` the vector is the only state of its row."""
        present_B1 = (lengths_B > 0)[:, None]
        return cls(vector_BW.masked_fill(~present_B1, 0.0), lengths_B, states)

    @classmethod
    def absent(cls, rows: int, width: int, device: torch.device) -> Encoded:
        """Of ``rows`` rows that all lack the modality."""
        lengths_B = torch.zeros(rows, dtype=torch.int64, device=device)
        return cls(torch.zeros(rows, width, device=device), lengths_B, None)

    def take(self, rows_R: Tensor) -> Encoded:
        """The rows at these positions."""
        states = None if self.compute_states is None else lambda: self.states.values[rows_R]
        return Encoded(self.vector[rows_R], self.lengths[rows_R], states)

    @cached_property
    def states(self) -> Sequence:
        """(B, T, W), zero beyond each length; computed when first asked for, as many fusions never do."""
        if self.compute_states is None:
            return Sequence(self.vector[:, None], self.lengths.clamp(max=1))
        states = Sequence(self.compute_states(), self.lengths)
        return Sequence(states.values.masked_fill(~states.mask()[..., None], 0.0), self.lengths)
