"""Information by counting neighbours (Kraskov, Stoegbauer and Grassberger 2004; Frenzel and Pompe 2007).

Accurate in few dimensions (x and y up to about three each, five in all with a condition); collapses towards 0
in many. Shapes: N samples, D features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import digamma
from torch import Tensor

from mmsa.config import Named
from mmsa.errors import DataError
from mmsa.information.estimators import ESTIMATORS, Estimator, Spec, Value, refuse_fewer_than_two
from mmsa.seeding import derive_seed

Array = NDArray[np.float64]

NEIGHBOURS = 3
_REACHES = (NEIGHBOURS, 5, 8, 12, 20)
DITHER = 1e-10
"""Noise that separates equal samples, in standard deviations (or units, for a constant)."""


def ksg_information(x_ND: Array, y_ND: Array, z_ND: Array | None = None, k: int = NEIGHBOURS) -> float:
    """Return I(X; Y), or I(X; Y | Z), from the k nearest neighbours in the maximum norm, in nats.

    It may come out negative.

    Raises:
        DataError: If there are only k samples or fewer.

    Examples:
        >>> x_ND, noise_ND = np.random.default_rng(0).standard_normal((2, 5000, 1))
        >>> round(ksg_information(x_ND, 0.6 * x_ND + 0.8 * noise_ND), 1)  # 0.2231 nats
        0.2
    """
    return float(_terms(x_ND, y_ND, z_ND, (k,)).mean())


@dataclass(frozen=True)
class NeighbourLine:
    """A line through the readings of several k, over the distance to the k-th neighbour.

    Edges and peaks of a density are smeared over that distance, which goes as (k / n)^(1 / features), and the
    bias goes with it (Gao, Oh and Viswanath 2018). The reading of few neighbours has the least bias and the
    largest deviation; what the line says of them has the bias of few and nearly the deviation of many.

    terms: (N,), whose mean is what the line says of 3 neighbours. limit: where it leads at a distance of 0,
    which is also where n leads.
    """

    terms: Array
    limit: float

    @classmethod
    def of(cls, x_ND: Array, y_ND: Array, z_ND: Array | None = None) -> Self:
        """The line of a sample; of 20 or fewer rows, through the k that they have.

        Raises:
            DataError: for 3 or fewer samples.
        """
        reaches = [k for k in _REACHES if k < len(x_ND)] or [NEIGHBOURS]
        terms_KN = _terms(x_ND, y_ND, z_ND, reaches)
        if len(reaches) == 1:
            return cls(terms_KN[0], float(terms_KN[0].mean()))
        dims = sum(part.shape[1] for part in (x_ND, y_ND, z_ND) if part is not None)
        distance_K = np.array(reaches) ** (1 / dims)
        to_line_2K = np.linalg.pinv(np.stack([np.ones_like(distance_K), distance_K], 1))
        nearest_K = np.array([1.0, distance_K[0]]) @ to_line_2K
        return cls(nearest_K @ terms_KN, float(to_line_2K[0] @ terms_KN.mean(1)))


def _terms(x_ND: Array, y_ND: Array, z_ND: Array | None, reaches: Sequence[int]) -> Array:
    """Terms (K, N) for each number of neighbours."""
    from scipy.spatial import KDTree

    if len(x_ND) <= max(reaches):
        raise DataError(
            f"{len(x_ND)} samples have no {max(reaches)} neighbours each; lower k or bring more samples"
        )
    x_ND, y_ND = _without_ties(x_ND, "x"), _without_ties(y_ND, "y")
    z_ND = np.empty((len(x_ND), 0)) if z_ND is None else _without_ties(z_ND, "z")
    joint_ND = np.hstack([x_ND, y_ND, z_ND])
    radius_NK = KDTree(joint_ND).query(joint_ND, k=[k + 1 for k in reaches], p=np.inf)[0]
    in_x, in_y = (_digamma_of_counts(np.hstack([part, z_ND]), radius_NK) for part in (x_ND, y_ND))
    in_z = _digamma_of_counts(z_ND, radius_NK) if z_ND.shape[1] else digamma(len(x_ND))
    terms_KN: Array = digamma(reaches)[:, None] + in_z - in_x - in_y
    return terms_KN


def _without_ties(values_ND: Array, name: str) -> Array:
    scale_D = values_ND.std(0)
    noise_ND = np.random.default_rng(derive_seed("ksg", name)).standard_normal(values_ND.shape)
    dithered: Array = values_ND + DITHER * np.where(scale_D > 0, scale_D, 1.0) * noise_ND
    return dithered


def _digamma_of_counts(points_ND: Array, radius_NK: Array) -> Array:
    """Digamma (K, N) of the number of points nearer than each radius, the point itself included."""
    from scipy.spatial import KDTree

    tree, inside = KDTree(points_ND), np.nextafter(radius_NK, 0).T
    counts = [tree.query_ball_point(points_ND, radius_N, p=np.inf, return_length=True) for radius_N in inside]
    terms_KN: Array = digamma(np.stack(counts))
    return terms_KN


@ESTIMATORS.register("ksg")
class KSG(Estimator):
    """``ksg_information`` behind the interface of all estimators."""

    class Config(Named):
        """How many neighbours."""

        name: Literal["ksg"] = "ksg"
        k: Annotated[int, Field(ge=1, le=100)] = NEIGHBOURS

    spec = Spec("measure", "plugin", "gather", ceiling=lambda n: float(digamma(n) - digamma(1)))

    def __init__(self, config: Config, x_dim: int, y_dim: int):
        super().__init__()
        self.k = config.k

    def estimate(self, x_ND: Tensor, y_ND: Tensor) -> Value:
        """The measured value; its loss carries no gradient."""
        refuse_fewer_than_two(len(x_ND))
        x_array, y_array = (value.detach().double().cpu().numpy() for value in (x_ND, y_ND))
        value = x_ND.new_tensor(ksg_information(x_array, y_array, k=self.k))
        return Value(-value, value, self.ceiling(len(x_ND)))

    def ceiling(self, n: int) -> float:
        """digamma(n) - digamma(k): every neighbour in the plane is one in x and y alone."""
        return float(digamma(n) - digamma(self.k)) if n > self.k else math.inf
