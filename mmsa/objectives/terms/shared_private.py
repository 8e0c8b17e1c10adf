"""Losses on the private and shared vectors that the fusion ``misa`` offers.

``cmd``, ``orthogonality`` and ``reconstruction`` are those of MISA (Hazarika et al., ACM MM 2020), whose
total is MSE + 0.3 difference + 1.0 CMD + 1.0 reconstruction. ``similarity`` and ``hsic`` are consistency and
disparity as in FDMER (Yang et al., ACM MM 2022), after its abstract: no code of it is public, and nothing
here claims to reproduce it; its adversarial part is left out. Shapes: B rows, D features.
"""

from __future__ import annotations

from itertools import combinations
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import mse_loss, normalize

from mmsa.data.targets import Targets
from mmsa.information.surrogates import CMD, gaussian_kernel
from mmsa.models.base import RepresentationDims, Representations
from mmsa.objectives.base import TERMS, Term, TermConfig, TermValue
from mmsa.objectives.terms.vectors import modality_pairs, nothing, offered, offered_width

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


@TERMS.register("similarity")
class Similarity(Term):
    """Shared vectors of all modalities should say alike which clips are alike.

    The mean squared difference of two modalities' matrices of cosines between the clips of a batch, averaged
    over the pairs, so that a weight means the same at every batch size. Features are centred over the batch
    before: the vectors of ``misa`` are positive, and all their cosines near 1.
    """

    class Config(TermConfig):
        """No further settings."""

    never_negative = True

    def __init__(self, config: Config, dims: RepresentationDims):
        super().__init__()
        offered_width("similarity", "shared", dims)
        self.pairs = modality_pairs("similarity", dims)

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """The mean squared difference."""
        cosines = {name: _cosines(x_BD) for name, x_BD in offered("shared", representations).items()}
        parts = [(cosines[x] - cosines[y]).square().mean() for x, y in self.pairs]
        return TermValue(torch.stack(parts).mean())


@TERMS.register("hsic")
class Independence(Term):
    """Private and shared vector of a modality should be independent: the mean of their biased HSIC.

    tr(K H L H) / (B - 1)^2 with H = I - 1/B (Gretton et al. 2005) is never below 0, unlike the unbiased
    estimate, which a term would drive there.
    """

    class Config(TermConfig):
        """Which kernel."""

        kernel: Literal["linear", "gaussian"] = "linear"
        """``linear`` sees correlation only; ``gaussian``, as wide as the median distance, all dependence."""

    never_negative = True

    def __init__(self, config: Config, dims: RepresentationDims):
        super().__init__()
        offered_width("hsic", "private", dims)
        self.kernel = _linear_kernel if config.kernel == "linear" else gaussian_kernel

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """The mean HSIC; 0 for a single row."""
        private, shared = offered("private", representations), offered("shared", representations)
        if len(targets) < 2:
            return TermValue(nothing(private.values()))
        parts = [biased_hsic(self.kernel(private[name]), self.kernel(shared[name])) for name in private]
        return TermValue(torch.stack(parts).mean())


def biased_hsic(kernel_BB: Tensor, other_BB: Tensor) -> Tensor:
    """tr(K H L H) / (B - 1)^2 of two symmetric kernel matrices, scalar >= 0."""
    centred_BB = kernel_BB - kernel_BB.mean(0) - kernel_BB.mean(1, keepdim=True) + kernel_BB.mean()
    return (centred_BB * other_BB).sum() / (len(kernel_BB) - 1) ** 2


def _cosines(x_BD: Tensor) -> Tensor:
    unit_BD = normalize(x_BD - x_BD.mean(0), dim=1, eps=_SMALLEST_NORM)
    return unit_BD @ unit_BD.T


def _linear_kernel(x_BD: Tensor) -> Tensor:
    return x_BD @ x_BD.T
