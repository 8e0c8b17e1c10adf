"""Relations between clips that modalities should share (relational distillation, Park et al., CVPR 2019).

Shapes: B rows, D_m the width of modality m, P pairs of rows.
"""

from __future__ import annotations

import torch
from torch import Tensor, pdist
from torch.nn.functional import normalize, smooth_l1_loss

from mmsa.data.targets import Targets
from mmsa.models.base import RepresentationDims, Representations
from mmsa.objectives.base import TERMS, Term, TermConfig, TermValue
from mmsa.objectives.terms.vectors import modality_pairs, nothing

_SMALLEST_MEAN = 1e-6


@TERMS.register("relational")
class RelationalDistance(Term):
    """Clips that are far apart in one modality should be so in the others.

    Distances between the clips of a batch, of vectors of length 1 and in units of their mean, follow those of
    each other modality by a smooth L1 loss with a gradient into the follower only; averaged over the ordered
    pairs of modalities. It was published with a weight of 0.25 on a pair's two directions together.
    """

    class Config(TermConfig):
        """No further settings."""

    never_negative = True

    def __init__(self, config: Config, dims: RepresentationDims):
        super().__init__()
        self.pairs = modality_pairs("relational", dims)

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """The mean loss; 0 for a single row."""
        if len(targets) < 2:
            return TermValue(nothing(representations.unimodal.values()))
        distances = {name: _relative_distances(x_BD) for name, x_BD in representations.unimodal.items()}
        losses = [
            smooth_l1_loss(distances[follower], distances[leader].detach())
            for pair in self.pairs
            for follower, leader in (pair, pair[::-1])
        ]
        return TermValue(torch.stack(losses).mean())


def _relative_distances(x_BD: Tensor) -> Tensor:
    """(P,) distances of all pairs of rows, whose mean is 1."""
    distances_P = pdist(normalize(x_BD, dim=1))
    return distances_P / distances_P.mean().clamp(min=_SMALLEST_MEAN)
