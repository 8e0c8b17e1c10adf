"""The log density ratio as a Gaussian copula plus what networks add to it, cross-fitted.

f(x, y) = log c_Gauss + radial part + warped part. The copula comes in closed form; the radial part sees only
the norms of x and y (the dependence of heavy tails); the warped part bends the canonical variates and adds a
separable term. Both start at zero and are trained as classifiers of joint against product pairs (GAN-DIME).
Each is kept only if it raises the held-out objective by several standard errors, else the copula stands.

No fold is scored by a network that saw it. When to stop is one number for all folds together, chosen on the
pooled held-out scores, so that no rows are lost to validation. Shrinking a part by the factor that is best
for the objective was tried and left out: the objective hardly notices the factor, but the information does.

Shapes: N rows, D features, F inputs of a network, K canonical pairs, S seeds, B rows of a block.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsa.information import bounds
from mmsa.information.copula import Array, normal_scores
from mmsa.information.critics import Critic, MLPConfig, Separable, mlp
from mmsa.information.groups import Rows
from mmsa.seeding import derive_seed

_BATCH, _BLOCK = 256, 500
_LEARNING_RATE, _WEIGHT_DECAY = 3e-3, 1e-2
_CHECKPOINTS, _PATIENCE = 20, 3
_MOST_PAIRS, _LEAST_PAIRS = 32, 4
_STANDARD_ERRORS = 4.0
"""By how many standard errors a part must raise the held-out objective to be kept."""

Blocks = list[Tensor]  # held-out score matrices (B, B), for every fold one or more


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


def _correlations(x_NK: Array, y_NK: Array) -> Array:
    x_NK, y_NK = ((part - part.mean(0)) / np.maximum(part.std(0), 1e-12) for part in (x_NK, y_NK))
    correlations: Array = (x_NK * y_NK).mean(0)
    return correlations


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


class Radial(Separable):
    """A separable critic of the norms alone, which are the last two inputs; at first zero."""

    def __init__(self) -> None:
        super().__init__(Separable.Config(hidden=32, embedding=8), 2, 2)
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


class _Member:
    """One critic in training on all folds but one, on top of critics that no longer change."""

    def __init__(self, critic: Critic, frozen: Critic | None, x: Tensor, y: Tensor, fold: _Fold, seed: int):
        self.critic, self.frozen, self.x, self.y, self.fold = critic, frozen, x, y, fold
        self.noise: float = 0.8 * len(fold.train) ** -0.2  # shrinks as a kernel's bandwidth does
        self.optimiser = torch.optim.AdamW(
            critic.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY, foreach=True
        )
        self.generator = torch.Generator().manual_seed(seed)
        self.waiting = torch.empty(0, dtype=torch.int64)

    def advance(self, steps: int) -> None:
        """Take gradient steps on batches with noise on the inputs."""
        for _ in range(steps):
            rows_B = self._next_rows()
            x_BF, y_BF = self._noisy(self.x[rows_B]), self._noisy(self.y[rows_B])
            loss = -bounds.jsd(self._scores(x_BF, y_BF))
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()

    @torch.no_grad()
    def heldout(self) -> Blocks:
        """Scores of the fold left out."""
        return [self._scores(self.x[rows_B], self.y[rows_B]) for rows_B in self.fold.blocks]

    def _scores(self, x_BF: Tensor, y_BF: Tensor) -> Tensor:
        scores_BB: Tensor = self.critic(x_BF, y_BF)
        if self.frozen is None:
            return scores_BB
        with torch.no_grad():
            frozen_BB: Tensor = self.frozen(x_BF, y_BF)
        return scores_BB + frozen_BB

    def _next_rows(self) -> Tensor:
        size = min(_BATCH, len(self.fold.train))
        if len(self.waiting) < size:
            order = torch.randperm(len(self.fold.train), generator=self.generator)
            self.waiting = self.fold.train[order]
        rows_B: Tensor = self.waiting[:size]
        self.waiting = self.waiting[size:]
        return rows_B

    def _noisy(self, inputs_BF: Tensor) -> Tensor:
        noise_BF: Tensor = torch.randn(inputs_BF.shape, generator=self.generator)
        return inputs_BF + self.noise * noise_BF


@dataclass(frozen=True)
class _Fold:
    """Rows to train on, and the held-out rows in blocks."""

    train: Tensor
    blocks: Blocks

    @classmethod
    def of(cls, fold_N: Rows, fold: int, seed: int) -> _Fold:
        held = np.random.default_rng(seed).permutation(np.flatnonzero(fold_N == fold))
        blocks = np.array_split(held, math.ceil(len(held) / _BLOCK))
        return cls(
            torch.from_numpy(np.flatnonzero(fold_N != fold)), [torch.from_numpy(block) for block in blocks]
        )


class _Ensemble(Critic):
    """The mean of critics."""

    def __init__(self, critics: Sequence[Critic]):
        super().__init__()
        self.critics = nn.ModuleList(critics)

    def forward(self, x_RD: Tensor, y_CD: Tensor) -> Tensor:
        """Scores (R, C)."""
        return torch.stack([critic(x_RD, y_CD) for critic in self.critics]).mean(0)


@dataclass(frozen=True)
class _Part:
    """What one round of training came to: held-out scores, and the critics of each fold."""

    blocks: Blocks
    critics: list[_Ensemble]


@dataclass(frozen=True)
class LogRatios:
    """Held-out log density ratios of the joint pairs, in the order of the rows, in nats.

    copula: (N,) of the closed form. total: (N,) with the parts that were kept. parts: their names.
    """

    copula: Array
    total: Array
    parts: tuple[str, ...]

    @property
    def gain(self) -> float:
        """What the networks add to the information of the copula."""
        return float((self.total - self.copula).mean())


def cross_fitted_ratios(
    x_ND: Array, y_ND: Array, fold_N: Rows, group_N: Rows, *, num_seeds: int, seed: int, networks: bool = True
) -> LogRatios:
    """Log density ratio of every row under critics that saw neither it nor its fold.

    Args:
        x_ND, y_ND: samples as rows.
        fold_N: fold of each row, 0 and up; whole groups.
        group_N: group of each row, 0 and up, for standard errors.
        num_seeds: critics per fold, averaged.
        seed: decides everything random.
        networks: whether to try the parts beyond the copula.
    """
    x, y = Side.of(x_ND), Side.of(y_ND)
    folds = [_Fold.of(fold_N, fold, derive_seed("blocks", seed, fold)) for fold in range(fold_N.max() + 1)]
    ratios = [
        CopulaRatio.fit(
            x.scores[fold.train.numpy()], y.scores[fold.train.numpy()], derive_seed("copula", seed, k)
        )
        for k, fold in enumerate(folds)
    ]
    rows_N = torch.cat([block for fold in folds for block in fold.blocks])
    group_N = group_N[rows_N.numpy()]

    def train(make: Callable[[int], Critic], frozen: list[Critic | None], current: Blocks) -> _Part | None:
        members = []
        for k, fold in enumerate(folds):
            seeds = [derive_seed("critic", seed, k, s) for s in range(num_seeds)]
            members.append(
                [_Member(_seeded(make, k, s), frozen[k], x.inputs, y.inputs, fold, s) for s in seeds]
            )
        return _improve(current, members, group_N)

    copulas = [Copula(ratio) for ratio in ratios]
    with torch.no_grad():
        start = [
            copula(x.inputs[block], y.inputs[block])
            for copula, fold in zip(copulas, folds, strict=True)
            for block in fold.blocks
        ]
    current, kept = start, []
    radial = train(lambda k: Radial(), list(copulas), current) if networks else None
    frozen: list[Critic | None] = [None] * len(folds)
    if radial:
        current, frozen = radial.blocks, list(radial.critics)
        kept.append("radial")
    inputs = x.inputs.shape[1], y.inputs.shape[1]
    warped = train(lambda k: Warped(ratios[k], *inputs), frozen, current) if networks else None
    if warped:
        current = warped.blocks
        kept.append("warped")
    order_N = rows_N.argsort()
    copula_N, total_N = (_joint(blocks)[order_N].double().numpy() for blocks in (start, current))
    return LogRatios(copula_N, total_N, tuple(kept))


def _seeded(make: Callable[[int], Critic], fold: int, seed: int) -> Critic:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make(fold)


def _improve(current: Blocks, members: list[list[_Member]], group_N: Rows) -> _Part | None:
    """Train all members in step; what they were at the best checkpoint of all, if that gains enough."""
    steps = max(10, min(100, len(members[0][0].fold.train) // 60))
    start_N = _objective(current)
    best, best_value, waited = None, float(start_N.mean()), 0
    for _ in range(_CHECKPOINTS):
        candidate: Blocks = []
        for seeds in members:
            for member in seeds:
                member.advance(steps)
            scores = zip(*(member.heldout() for member in seeds), strict=True)
            candidate += [torch.stack(same).mean(0) for same in scores]
        value, waited = float(_objective(candidate).mean()), waited + 1
        if value > best_value:
            critics = [_Ensemble([copy.deepcopy(member.critic) for member in seeds]) for seeds in members]
            best, best_value, waited = _Part(candidate, critics), value, 0
        if waited >= _PATIENCE:
            break
    if best is None or _standard_errors(_objective(best.blocks) - start_N, group_N) < _STANDARD_ERRORS:
        return None
    return best


def _objective(blocks: Blocks) -> Tensor:
    """(N,) Jensen-Shannon objective of each held-out row against the other rows of its block."""
    terms = []
    for scores_BB in blocks:
        product_B = bounds.off_diagonal(F.softplus(scores_BB), 0.0).sum(1) / (len(scores_BB) - 1)
        terms.append(-0.5 * (F.softplus(-scores_BB.diagonal()) + product_B))
    return torch.cat(terms)


def _standard_errors(gain_N: Tensor, group_N: Rows) -> float:
    """The mean in units of its standard error, which comes from sums over groups."""
    sums_G = np.bincount(group_N, gain_N.numpy())
    counts_G = np.bincount(group_N)
    sums_G, counts_G = sums_G[counts_G > 0], counts_G[counts_G > 0]
    deviations_G = sums_G - sums_G.sum() / counts_G.sum() * counts_G
    return float(sums_G.sum() / max(math.sqrt((deviations_G**2).sum()), 1e-12))


def _joint(blocks: Blocks) -> Tensor:
    return torch.cat([scores_BB.diagonal() for scores_BB in blocks])
