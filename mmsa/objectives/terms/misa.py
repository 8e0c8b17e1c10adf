"""The losses of MISA (Hazarika et al., ACM MM 2020) on the vectors that the fusion ``misa`` offers.

MISA's own total is MSE + 0.3 difference + 1.0 CMD + 1.0 reconstruction. Shapes: B rows, D features.
"""

from __future__ import annotations

from itertools import combinations
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from mmsa.data.targets import Targets
from mmsa.information.surrogates import CMD
from mmsa.models.base import RepresentationDims, Representations
from mmsa.objectives.base import TERMS, Term, TermConfig, TermValue
from mmsa.objectives.terms.vectors import modality_pairs, offered, offered_width

_SMALLEST_NORM = 1e-6


@TERMS.register("cmd")
class CentralMomentDiscrepancy(Term):
    """Brings the shared vectors of all modalities to one distribution; the mean of the pairs, as in MISA."""

    class Config(TermConfig):
        """How many moments."""

        moments: Annotated[int, Field(ge=1, le=10)] = 5

    never_negative = True

    def __init__(self, config: Config, dims: RepresentationDims):
        super().__init__()
        width = offered_width("cmd", "shared", dims)
        self.pairs = modality_pairs("cmd", dims)
        self.discrepancy = CMD(CMD.Config(moments=config.moments), width, width)

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """The mean discrepancy."""
        shared = offered("shared", representations)
        parts = [self.discrepancy.statistic(shared[x], shared[y]) for x, y in self.pairs]
        return TermValue(torch.stack(parts).mean())


@TERMS.register("orthogonality")
class Orthogonality(Term):
    """Keeps private vectors apart from the shared one of their modality, and from each other.

    The mean over these pairs of the mean squared entry of X'Y, with features centred over the batch and rows
    of length 1. MISA sums over its six pairs: its coefficient is a sixth of the weight here.
    """

    class Config(TermConfig):
        """No further settings."""

    never_negative = True

    def __init__(self, config: Config, dims: RepresentationDims):
        super().__init__()
        offered_width("orthogonality", "private", dims)

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """The mean squared product."""
        private = {name: _unit_rows(x_BD) for name, x_BD in offered("private", representations).items()}
        shared = {name: _unit_rows(x_BD) for name, x_BD in offered("shared", representations).items()}
        pairs = [*combinations(private.values(), 2), *((private[name], shared[name]) for name in private)]
        return TermValue(torch.stack([(x_BD.T @ y_BD).square().mean() for x_BD, y_BD in pairs]).mean())


@TERMS.register("reconstruction")
class Reconstruction(Term):
    """Private and shared vector together have to give back what they were made of.

    The mean over the modalities of the mean squared error of a linear decoder, as in MISA.
    """

    class Config(TermConfig):
        """No further settings."""

    never_negative = True

    def __init__(self, config: Config, dims: RepresentationDims):
        super().__init__()
        width = offered_width("reconstruction", "projected", dims)
        self.decoders = nn.ModuleDict({name: nn.Linear(width, width) for name in dims.unimodal})

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """The mean squared error."""
        private, shared = offered("private", representations), offered("shared", representations)
        errors = [
            mse_loss(self.decoders[name](private[name] + shared[name]), projected_BD)
            for name, projected_BD in offered("projected", representations).items()
        ]
        return TermValue(torch.stack(errors).mean())


def _unit_rows(x_BD: Tensor) -> Tensor:
    """Features centred over the batch, then rows of length 1, whose lengths are taken as given."""
    centred_BD = x_BD - x_BD.mean(0)
    norm_B1: Tensor = torch.linalg.vector_norm(centred_BD.detach(), dim=1, keepdim=True)
    return centred_BD / norm_B1.clamp(min=_SMALLEST_NORM)
