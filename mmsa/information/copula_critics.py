"""The critics of ``mmsa.information.residual``: a Gaussian copula in closed form, and what networks add.

All of them take the inputs of ``Side`` and give log density ratios. Shapes: N rows, D features, F inputs of a
network, K canonical pairs, R rows and C columns of a score matrix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mmsa.information.copula import LARGEST_SQUARED_CORRELATION, Array, excess_over_products, normal_scores
from mmsa.information.critics import Critic, MLPConfig, SeparableCritic, mlp
from mmsa.information.groups import Rows

_MOST_PAIRS, _LEAST_PAIRS = 32, 4
_MOST_COLUMNS, _FEW_COLUMNS = 1000, 250
_LEADING_PAIRS = (1, 2, 3, 4, 6, 8)


@dataclass(frozen=True)
class Side:
    """One variable: normal scores (N, D), and all inputs of the networks (N, F), scores first."""

    scores: Array
    inputs: Tensor

    @classmethod
    def of(cls, values_ND: Array) -> Side:
        """Normal scores, robustly scaled values, and normal scores of the norms of both.

        Computed on all rows: without the other variable they leak nothing about dependence.
        """
        scores_ND = normal_scores(values_ND)
        low_D, middle_D, high_D = np.quantile(values_ND, (0.25, 0.5, 0.75), axis=0)
        spread_D = (high_D - low_D) / 1.349  # of a normal variable, its standard deviation
        scaled_ND = (values_ND - middle_D) / np.where(spread_D > 0, spread_D, 1.0)
        norms = [normal_scores(np.linalg.norm(part, axis=1)[:, None]) for part in (scaled_ND, scores_ND)]
        inputs_NF = np.hstack([scores_ND, scaled_ND.clip(-5, 5), *norms])
        return cls(scores_ND, torch.from_numpy(inputs_NF).float())


@dataclass(frozen=True)
class CopulaRatio:
    """log c_Gauss along canonical directions: weights (D_x, K) and (D_y, K), correlations (K,)."""

    x_weights: Array
    y_weights: Array
    correlations: Array

    @classmethod
    def fit(cls, x_ND: Array, y_ND: Array, seed: int) -> CopulaRatio:
        """Directions from all rows; correlations as directions from 3/4 of the rows keep them on the rest.

        One standard error is taken off them: the in-sample correlations of many noisy features are large.
        """
        held_N = np.random.default_rng(seed).permutation(len(x_ND)) < len(x_ND) // 4
        trial_x, trial_y = canonical_weights(x_ND[~held_N], y_ND[~held_N])
        held_K = _correlations(x_ND[held_N] @ trial_x, y_ND[held_N] @ trial_y)
        kept_K = held_K - (1 - held_K**2) / math.sqrt(held_N.sum())
        x_weights, y_weights = canonical_weights(x_ND, y_ND)
        pairs = np.flatnonzero(kept_K[: x_weights.shape[1]] > 0)[:_MOST_PAIRS]
        return cls(x_weights[:, pairs], y_weights[:, pairs], kept_K[pairs].clip(max=1 - 1e-6))


def copula_terms(x_ND: Array, y_ND: Array) -> Array:
    """Log density ratio (N,) of the Gaussian fitted to all of these rows, less its mean.

    It is the influence of each row on the information of a Gaussian, so its spread is that of the estimate;
    with many features, also of what chance correlations add to the estimate.
    """
    x_weights, y_weights = canonical_weights(x_ND, y_ND)
    x_NK, y_NK = (x_ND - x_ND.mean(0)) @ x_weights, (y_ND - y_ND.mean(0)) @ y_weights
    squared_K = np.minimum((x_NK * y_NK).mean(0) ** 2, LARGEST_SQUARED_CORRELATION)
    correlation_K = np.sqrt(squared_K)
    exponent_NK = squared_K * (x_NK**2 + y_NK**2) - 2 * correlation_K * x_NK * y_NK
    terms_N = -0.5 * (exponent_NK / (1 - squared_K)).sum(1)
    centred_N: Array = terms_N - terms_N.mean()
    return centred_N


def copula_excess(x_ND: Array, y_ND: Array) -> float:
    """``excess_over_products`` of normal scores, along the canonical variates that the closed form counts."""
    x_weights, y_weights = canonical_weights(x_ND, y_ND)
    x_NK, y_NK = (x_ND - x_ND.mean(0)) @ x_weights, (y_ND - y_ND.mean(0)) @ y_weights
    return excess_over_products(x_NK, y_NK, (x_NK * y_NK).mean(0), most_columns=_MOST_COLUMNS)


def leading_copula_terms(x_ND: Array, y_ND: Array, half_N: Rows) -> Array:
    """Log ratios (N,) of leading canonical pairs, less their excess, of directions from the other half.

    A reading for features that are curves of few latents, where the closed form of all directions is refuted
    by its excess: the variates that correlate most are nearest to the latents. Every number of leading pairs
    gives a bound of Donsker and Varadhan; the largest is taken. Correlations are those that held-out rows
    show, so they need no correction.
    """
    most = min(x_ND.shape[1], y_ND.shape[1])
    counts = [count for count in _LEADING_PAIRS if count <= most] or [most]
    terms = {count: np.empty(len(x_ND)) for count in counts}
    for half in (0, 1):
        held_N = half_N == half
        x_weights, y_weights = canonical_weights(x_ND[~held_N], y_ND[~held_N])
        x_NK, y_NK = (
            _standardised(part[held_N] @ weights) for part, weights in ((x_ND, x_weights), (y_ND, y_weights))
        )
        correlation_K = np.minimum((x_NK * y_NK).mean(0).clip(0), 1 - 1e-6)
        square_K = correlation_K**2
        exponent_NK = (square_K * (x_NK**2 + y_NK**2) - 2 * correlation_K * x_NK * y_NK) / (1 - square_K)
        ratio_NK = -0.5 * (np.log1p(-square_K) + exponent_NK)
        for count in counts:
            leading = x_NK[:, :count], y_NK[:, :count], correlation_K[:count]
            excess = excess_over_products(*leading, most_columns=_FEW_COLUMNS)
            terms[count][held_N] = ratio_NK[:, :count].sum(1) - excess
    return max(terms.values(), key=lambda terms_N: float(terms_N.mean()))


def canonical_weights(x_ND: Array, y_ND: Array) -> tuple[Array, Array]:
    """Weights (D_x, K) and (D_y, K) of canonical variates of unit variance, most correlated first."""
    x_basis, x_factor = _whitened(x_ND)
    y_basis, y_factor = _whitened(y_ND)
    left, _, right = np.linalg.svd(x_basis.T @ y_basis, full_matrices=False)
    return x_factor @ left, y_factor @ right.T


def _whitened(values_ND: Array) -> tuple[Array, Array]:
    """Orthonormal basis (N, R) of the centred features, and weights (D, R) of unit-variance combinations."""
    centred_ND = values_ND - values_ND.mean(0)
    basis_NR, size_R, right = np.linalg.svd(centred_ND, full_matrices=False)
    kept_R = size_R > max(size_R.max(initial=0.0), 1.0) * max(centred_ND.shape) * np.finfo(np.float64).eps
    return basis_NR[:, kept_R], math.sqrt(len(values_ND)) * right[kept_R].T / size_R[kept_R]


def whitening(values_ND: Array) -> Array:
    """Weights (D, R) of uncorrelated combinations of unit variance."""
    return _whitened(values_ND)[1]


def _correlations(x_NK: Array, y_NK: Array) -> Array:
    correlations: Array = (_standardised(x_NK) * _standardised(y_NK)).mean(0)
    return correlations


def _standardised(values_NK: Array) -> Array:
    standardised_NK: Array = (values_NK - values_NK.mean(0)) / np.maximum(values_NK.std(0), 1e-12)
    return standardised_NK


class Copula(Critic):
    """log c_Gauss: sum_k of -1/2 ln(1 - r^2) - (r^2 a^2 - 2 r a b + r^2 b^2) / 2 (1 - r^2)."""

    x_weights: Tensor
    y_weights: Tensor

    def __init__(self, ratio: CopulaRatio):
        super().__init__()
        self.register_buffer("x_weights", torch.from_numpy(ratio.x_weights).float())
        self.register_buffer("y_weights", torch.from_numpy(ratio.y_weights).float())
        correlation_K = torch.from_numpy(ratio.correlations)
        unexplained_K = 1 - correlation_K**2
        self.cross = nn.Parameter((correlation_K / unexplained_K).float())
        self.x_square = nn.Parameter((correlation_K**2 / unexplained_K).float())
        self.y_square = nn.Parameter((correlation_K**2 / unexplained_K).float())
        self.constant = nn.Parameter(-0.5 * unexplained_K.log().sum().float())

    def embed_x(self, x_RD: Tensor) -> Tensor:
        """Variates (K) times the cross weights, and their own term (1)."""
        variates = x_RD[:, : len(self.x_weights)] @ self.x_weights
        return torch.cat([variates * self.cross, -0.5 * (variates**2 @ self.x_square)[:, None]], 1)

    def embed_y(self, y_CD: Tensor) -> Tensor:
        """Variates (K) and their own term (1)."""
        variates = y_CD[:, : len(self.y_weights)] @ self.y_weights
        return torch.cat([variates, -0.5 * (variates**2 @ self.y_square)[:, None]], 1)

    def score(self, x_RE: Tensor, y_CE: Tensor) -> Tensor:
        """Log ratios (R, C)."""
        return self.constant + x_RE[:, :-1] @ y_CE[:, :-1].T + x_RE[:, -1:] + y_CE[:, -1:].T


class Warped(Copula):
    """A copula whose variates are bent by networks, plus a separable term; at first the copula itself."""

    embedding = 16

    def __init__(self, ratio: CopulaRatio, x_inputs: int, y_inputs: int):
        found = len(ratio.correlations)
        least = min(_LEAST_PAIRS, len(ratio.x_weights), len(ratio.y_weights))
        self.pairs = max(found, least)
        empty = ((0, 0), (0, self.pairs - found))
        weights = np.pad(ratio.x_weights, empty), np.pad(ratio.y_weights, empty)
        # A variate of zero has no slope unless its partner's weight is not zero.
        super().__init__(CopulaRatio(*weights, np.pad(ratio.correlations, empty[1], constant_values=0.2)))
        with torch.no_grad():
            self.constant.fill_(-0.5 * float(np.log1p(-(ratio.correlations**2)).sum()))
        outputs = self.pairs + self.embedding + 1
        self.x_network = mlp(MLPConfig(hidden=128), x_inputs, outputs)
        self.y_network = mlp(MLPConfig(hidden=128), y_inputs, outputs)
        separable = slice(self.pairs, self.pairs + self.embedding)
        _start_at_zero(self.x_network, spared=separable)
        _start_at_zero(self.y_network)

    def embed_x(self, x_RD: Tensor) -> Tensor:
        """Bent variates (K) times the cross weights, separable term (E), own term (1)."""
        return self._embed(x_RD, self.x_weights, self.x_network, self.x_square, self.cross)

    def embed_y(self, y_CD: Tensor) -> Tensor:
        """Bent variates (K), separable term (E), own term (1)."""
        return self._embed(y_CD, self.y_weights, self.y_network, self.y_square, torch.ones_like(self.cross))

    def _embed(
        self, inputs: Tensor, weights: Tensor, network: nn.Module, square_K: Tensor, cross_K: Tensor
    ) -> Tensor:
        bend, separable, own = network(inputs).split([self.pairs, self.embedding, 1], 1)
        variates = inputs[:, : len(weights)] @ weights + bend
        return torch.cat([variates * cross_K, separable, own - 0.5 * (variates**2 @ square_K)[:, None]], 1)


class Radial(SeparableCritic):
    """A separable critic of the norms alone, which are the last two inputs; at first zero."""

    def __init__(self) -> None:
        super().__init__(SeparableCritic.Config(hidden=32, embedding=8), 2, 2)
        _start_at_zero(self.y_tower)

    def embed_x(self, x_RD: Tensor) -> Tensor:
        """Embedding (8) of the norms."""
        return super().embed_x(x_RD[:, -2:])

    def embed_y(self, y_CD: Tensor) -> Tensor:
        """Embedding (8) of the norms."""
        return super().embed_y(y_CD[:, -2:])


def _start_at_zero(network: nn.Sequential, spared: slice = slice(0, 0)) -> None:
    """Zero the outputs of a network, all but those spared."""
    last = network[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        kept = last.weight[spared].clone()
        last.weight.zero_()
        last.bias.zero_()
        last.weight[spared] = kept
