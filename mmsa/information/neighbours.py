"""Product batches for conditional information: y and z of an anchor, with the x of its neighbours in z.

Everything stays on the device of the bank: distances are one matrix product, and no index visits the host.
Shapes: N samples of the bank, M anchors, K neighbours.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmsa.errors import DataError
from mmsa.seeding import derive_seed

_BLOCK = 64
_TIE_NOISE = 1e-3
_ANCHORS_AT_ONCE = 256


class Triples(NamedTuple):
    """Samples of (x, y, z), one row each; a feature bank when detached and of the whole split."""

    x: Tensor
    y: Tensor
    z: Tensor


def nearest_neighbours(points_ND: Tensor, anchors_M: Tensor, k: int) -> Tensor:
    """Indices (M, K) of the K points nearest to each anchor, itself excluded, in Euclidean distance.

    ``anchors_M`` are indices of ``points_ND``. Among equally distant points any may be chosen.
    """
    centred_ND = points_ND - points_ND.mean(0)
    width = max(1, min(_BLOCK, len(points_ND) // k))
    padding = -len(points_ND) % width
    squares_L = F.pad(centred_ND.square().sum(1), (0, padding), value=torch.inf)
    points_LD = F.pad(centred_ND, (0, 0, 0, padding))
    nearest = []
    for part_M in torch.split(anchors_M, _ANCHORS_AT_ONCE):
        distance_ML = torch.addmm(squares_L, points_LD[part_M], points_LD.T, alpha=-2)
        nearest.append(_smallest(distance_ML.scatter_(1, part_M[:, None], torch.inf), k, width))
    return torch.cat(nearest)


def _smallest(values_ML: Tensor, k: int, width: int) -> Tensor:
    """Indices (M, K) of the K smallest values of each row, whose length is a multiple of ``width``.

    They lie in the K blocks of ``width`` columns with the smallest minima; a minimum is much cheaper than a
    selection.
    """
    blocks_MBW = values_ML.reshape(len(values_ML), -1, width)
    chosen_MK = blocks_MBW.amin(2).topk(k, largest=False).indices
    candidates_MKW = blocks_MBW.gather(1, chosen_MK[:, :, None].expand(-1, -1, width))
    within_MK = candidates_MKW.flatten(1).topk(k, largest=False).indices
    return chosen_MK.gather(1, within_MK // width) * width + within_MK % width


def standardise(features_ND: Tensor) -> Tensor:
    """Each feature divided by its standard deviation; constant features count as 0."""
    deviation_D = features_ND.std(0, correction=0)
    return torch.where(deviation_D > 0, features_ND / deviation_D, 0.0)


def search_points(features_ND: Tensor, seed: int) -> Tensor:
    """Features as a search for neighbours sees them: standardised, and without ties if there is only one.

    Equal labels have random neighbours among themselves: without noise of a thousandth of the deviation, all
    anchors with one label would be given the same few x.
    """
    points_ND = standardise(features_ND)
    if features_ND.shape[1] > 1:
        return points_ND
    noise_ND = torch.randn(points_ND.shape, generator=torch.Generator().manual_seed(seed))
    return points_ND + _TIE_NOISE * noise_ND.to(points_ND)


def product_batch(bank: Triples, size: int, k: int, generator: torch.Generator) -> Triples:
    """About ``size`` samples of p(x|z) p(y, z) by nearest neighbours (CMINE, Molavipour et al. 2020).

    Draws ``size`` // k anchors (y, z) without replacement; each is paired with the x of its k nearest
    neighbours in standardised z. Neighbours stop being local beyond some ten dimensions of z: the batch then
    drifts from p(x|z) p(y, z) towards p(x) p(y, z), and the conditional information is overestimated.

    Raises:
        DataError: for a bank too small for the anchors or the neighbours.
    """
    anchors_M = draw_anchors(len(bank.z), size, k, generator)
    points_ND = search_points(bank.z, derive_seed("ties", generator.initial_seed()))
    neighbours_MK = nearest_neighbours(points_ND, anchors_M, k)
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
