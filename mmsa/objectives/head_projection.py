"""Keeps one modality's training of the common head from undoing another's (MLA, Zhang et al., CVPR 2024).

Shapes: B rows of a batch, D the width of the fused vector.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class HeadProjection(nn.Module):
    """The matrix P that the gradient of the head is multiplied by; it shrinks along directions already used.

    With r the mean input of the head in a batch and k = P r: P <- P - k k' / (alpha + r'k), divided by its
    Frobenius norm. The denominator is the scalar of recursive least squares; the released code divides by an
    outer product. A batch counts from the next one on: its own direction is what it has to be trained along.
    """

    projection: Tensor

    def __init__(self, width: int, alpha: float):
        super().__init__()
        self.alpha = alpha
        self.register_buffer("projection", torch.eye(width))

    @torch.no_grad()
    def forward(self, gradient: Tensor, input_BD: Tensor) -> None:
        """Project the head's gradient (1, D) in place, and take the directions of this batch into account."""
        gradient.copy_(gradient @ self.projection)
        mean_D = input_BD.mean(0)
        used_D = self.projection @ mean_D
        self.projection -= used_D.outer(used_D) / (self.alpha + mean_D @ used_D)
        self.projection /= torch.linalg.matrix_norm(self.projection)
