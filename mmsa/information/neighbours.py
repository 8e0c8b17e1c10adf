"""Product batches for conditional information: y and z of an anchor, with the x of its neighbours in z.

Everything stays on the device of the bank: distances are one matrix product, and no index visits the host.
Shapes: N samples of the bank, M anchors, K neighbours.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mmsa.errors import DataError


class Triples(NamedTuple):
    """Samples of (x, y, z), one row each; a feature bank when detached and of the whole split."""

    x: Tensor
    y: Tensor
    z: Tensor


class Neighbourhood:
    """Points prepared for any number of searches among them."""

    def __init__(self, points_ND: Tensor):
        self.points_ND = points_ND - points_ND.mean(0)
        self.squares_N = self.points_ND.square().sum(1)

    def nearest(self, anchors_M: Tensor, k: int) -> Tensor:
        """Indices (M, K) of the K points nearest to each anchor, itself excluded, in Euclidean distance.

        ``anchors_M`` are indices of the points. Among equally distant points any may be chosen.
        """
        distance_MN = torch.addmm(self.squares_N, self.points_ND[anchors_M], self.points_ND.T, alpha=-2)
        return distance_MN.scatter_(1, anchors_M[:, None], torch.inf).topk(k, largest=False).indices


def standardise(features_ND: Tensor) -> Tensor:
    """Each feature divided by its standard deviation; constant features count as 0."""
    deviation_D = features_ND.std(0, correction=0)
    return torch.where(deviation_D > 0, features_ND / deviation_D, 0.0)


def product_batch(bank: Triples, size: int, k: int, generator: torch.Generator) -> Triples:
    """About ``size`` samples of p(x|z) p(y, z) by nearest neighbours (CMINE, Molavipour et al. 2020).

    Draws ``size`` // k anchors (y, z) without replacement; each is paired with the x of its k nearest
    neighbours in standardised z. Neighbours stop being local beyond some ten dimensions of z: the batch then
    drifts from p(x|z) p(y, z) towards p(x) p(y, z), and the conditional information is overestimated.

    Raises:
        DataError: for a bank too small for the anchors or the neighbours.
    """
    anchors_M = draw_anchors(len(bank.z), size, k, generator)
    neighbours_MK = Neighbourhood(standardise(bank.z)).nearest(anchors_M, k)
    repeated_P = anchors_M.repeat_interleave(k)
    return Triples(bank.x[neighbours_MK.flatten()], bank.y[repeated_P], bank.z[repeated_P])


def draw_anchors(count: int, size: int, k: int, generator: torch.Generator) -> Tensor:
    """Indices of ``size`` // k different samples out of ``count``, at least one, on the generator's device.

    Raises:
        DataError: for too few samples for the anchors, or for k neighbours.
    """
    anchors = max(1, size // k)
    if count < max(anchors, k + 1):
        raise DataError(
            f"a bank of {count} samples cannot give {anchors} anchors with {k} neighbours each; "
            "fill it with more batches, or lower k or the batch size"
        )
    return torch.randperm(count, generator=generator, device=generator.device)[:anchors]
