"""Consistency and disparity as in FDMER (Yang et al., ACM MM 2022), on the vectors that ``misa`` offers.

After the abstract: no code of FDMER is public, and nothing here claims to reproduce it. Its adversarial part
is left out. Shapes: B rows, D features.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmsa.data.targets import Targets
from mmsa.information.surrogates import gaussian_kernel
from mmsa.models.base import RepresentationDims, Representations
from mmsa.objectives.base import TERMS, Term, TermConfig, TermValue
from mmsa.objectives.terms.vectors import modality_pairs, nothing, offered, offered_width

_SMALLEST_NORM = 1e-6


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
