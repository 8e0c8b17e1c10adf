"""The entropy of a modality's vector, from one Gaussian for each polarity of the label (MMIM section 3.3).

Shapes: B rows of a batch, D the width of the vector, P the width of its projection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmsa.information.densities import class_gaussian_entropy
from mmsa.models.layers import initialise_xavier

Projection = Literal["frozen", "trained", "none"]
_REDUCTION = 4


class PolarityEntropy(nn.Module):
    """Projects a vector, and estimates the projection's entropy on this batch and the ``memory`` before it.

    Rows with a label above 0 are one class, below 0 the other, and rows at 0 do not count: on a scale that
    lies on one side of 0 there is one class only. Remembered rows are detached, with one buffer for each
    batch, newest first; they are (B, P + 1), the sign of the label in the last column.

    Attributes:
        width: P. The projection is linear to D / 4 and tanh as in MMIM's code, or nothing.
    """

    def __init__(self, dim: int, projection: Projection, memory: int):
        super().__init__()
        self.memory = memory
        self.width = dim if projection == "none" else max(1, dim // _REDUCTION)
        self.projection = (
            nn.Identity() if projection == "none" else nn.Sequential(nn.Linear(dim, self.width), nn.Tanh())
        )
        initialise_xavier(self.projection.parameters())
        self.projection.requires_grad_(projection == "trained")
        for age in range(memory):
            self.register_buffer(f"batch_{age}", torch.empty(0, self.width + 1))

    def project(self, vector_BD: Tensor) -> Tensor:
        """(B, P)."""
        projected_BP: Tensor = self.projection(vector_BD)
        return projected_BP

    def forward(self, projected_BP: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """Entropy in nats, and how many of the two classes had too few rows to count; remembers the batch.

        The memory changes in training mode only.
        """
        batch_BP1 = torch.cat([projected_BP, labels_B.sign()[:, None]], dim=1)
        remembered = [self.get_buffer(f"batch_{age}") for age in range(self.memory)]
        rows_NP1 = torch.cat([batch_BP1, *remembered])
        if self.training:
            self._remember([batch_BP1.detach(), *remembered[:-1]])
        return class_gaussian_entropy(rows_NP1[:, :-1], rows_NP1[:, -1] > 0, rows_NP1[:, -1] < 0)

    def forget(self) -> None:
        """Empty the memory."""
        self._remember([self.get_buffer(f"batch_{age}")[:0] for age in range(self.memory)])

    def _remember(self, batches: list[Tensor]) -> None:
        for age in range(self.memory):
            setattr(self, f"batch_{age}", batches[age])

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """Take over the number of remembered rows from the state, which changes from batch to batch."""
        for age in range(self.memory):
            buffer = self.get_buffer(f"batch_{age}")
            saved = state_dict.get(f"{prefix}batch_{age}")
            if isinstance(saved, Tensor) and saved.shape[1:] == buffer.shape[1:]:
                setattr(self, f"batch_{age}", buffer.new_empty(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)
