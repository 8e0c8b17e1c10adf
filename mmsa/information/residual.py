"""The log density ratio as a Gaussian copula plus what networks add to it, cross-fitted.

f(x, y) = log c_Gauss + radial part + warped part. The copula comes in closed form; the radial part sees only
the norms of x and y (the dependence of heavy tails); the warped part bends the canonical variates and adds a
separable term. Both start at zero and are trained as classifiers of joint against product pairs (GAN-DIME).
Each is kept only if it raises the held-out objective by several standard errors, else the copula stands.

Last, the best of the critics of ``mmsa.information.stacking`` takes the place of the sum where it raises the
objective further.

No fold is scored by a network that saw it. What scores is the average of a network over its last steps, which
is worth as much as a second network (Polyak and Juditsky 1992). When to stop is one number for all folds
together, chosen on the pooled held-out scores, so that no rows are lost to validation. Shrinking a part by
the factor that is best for the objective was tried and left out: the objective hardly notices the factor, but
the information does.

Shapes: N rows, D features, F inputs of a network, S seeds, B rows of a block.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mmsa.eager import AdamW
from mmsa.information import bounds
from mmsa.information.calibration import Blocks, calibrated, calibrated_pairs, products
from mmsa.information.copula import Array
from mmsa.information.copula_critics import Copula, CopulaRatio, Radial, Side, Warped
from mmsa.information.critics import Critic
from mmsa.information.groups import Rows
from mmsa.information.stacking import HeldOut, other_ratios
from mmsa.seeding import derive_seed

_BATCH, _BLOCK = 256, 500
_LEARNING_RATE, _WEIGHT_DECAY = 3e-3, 1e-2
_CHECKPOINTS, _PATIENCE = 20, 3
_PAIRS = 25_000
"""About how many pairs trees learn from: two to eight products of each row."""
_STANDARD_ERRORS = 4.0
"""By how many standard errors a part must raise the held-out objective to be kept."""
_STANDARD_ERRORS_OF_OTHERS = 3.0
"""The same of the critics beside the networks, which are not stopped where they look best."""


class _Member:
    """One critic in training on all folds but one, on top of critics that no longer change.

    steps: between two checkpoints. average: of the critic over about as many; this is what scores.
    """

    def __init__(self, critic: Critic, frozen: Critic | None, x: Tensor, y: Tensor, fold: _Fold, seed: int):
        self.critic, self.frozen, self.x, self.y, self.fold = critic, frozen, x, y, fold
        self.steps = max(10, min(100, len(fold.train) // 60))
        self.average = AveragedModel(critic, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / self.steps))  # type: ignore[no-untyped-call]
        self.noise: float = 0.8 * len(fold.train) ** -0.2  # shrinks as a kernel's bandwidth does
        self.optimiser = AdamW(
            critic.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY, foreach=True
        )
        self.generator = torch.Generator().manual_seed(seed)
        self.waiting = torch.empty(0, dtype=torch.int64)

    def advance(self) -> None:
        """Take the gradient steps to the next checkpoint, on batches with noise on the inputs."""
        for _ in range(self.steps):
            rows_B = self._next_rows()
            x_BF, y_BF = self._noisy(self.x[rows_B]), self._noisy(self.y[rows_B])
            loss = -bounds.jsd(self._scores(self.critic, x_BF, y_BF))
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
            self.average.update_parameters(self.critic)

    @torch.no_grad()
    def heldout(self) -> Blocks:
        """Scores of the fold left out."""
        return [self._scores(self.average, self.x[rows_B], self.y[rows_B]) for rows_B in self.fold.blocks]

    def _scores(self, critic: nn.Module, x_BF: Tensor, y_BF: Tensor) -> Tensor:
        scores_BB: Tensor = critic(x_BF, y_BF)
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

    def __init__(self, critics: Sequence[nn.Module]):
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
    calibrated: (N,) of ``total`` after calibration, see ``mmsa.information.calibration``.
    unproven: calibrated reading of a critic that raised the objective, but not by enough to be kept.
    """

    copula: Array
    total: Array
    calibrated: Array
    parts: tuple[str, ...]
    unproven: float | None = None

    @property
    def gain(self) -> float:
        """What the networks add to the information of the copula."""
        return float((self.total - self.copula).mean())


def cross_fitted_ratios(
    x_ND: Array, y_ND: Array, fold_N: Rows, group_N: Rows, *, num_seeds: int, seed: int
) -> LogRatios:
    """Log density ratio of every row under critics that saw neither it nor its fold.

    Args:
        x_ND, y_ND: samples as rows.
        fold_N: fold of each row, 0 and up; whole groups.
        group_N: group of each row, 0 and up, for standard errors.
        num_seeds: critics per fold, averaged.
        seed: decides everything random.
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
    radial = train(lambda k: Radial(), list(copulas), current)
    frozen: list[Critic | None] = [None] * len(folds)
    if radial:
        current, frozen = radial.blocks, list(radial.critics)
        kept.append("radial")
    inputs = x.inputs.shape[1], y.inputs.shape[1]
    warped = train(lambda k: Warped(ratios[k], *inputs), frozen, current)
    if warped:
        current = warped.blocks
        kept.append("warped")
    order_N = rows_N.argsort().numpy()
    copula_N, total_N = (_joint(blocks).double().numpy() for blocks in (start, current))
    of_block = [k for k, fold in enumerate(folds) for _ in fold.blocks]
    calibrated_N = calibrated(current, of_block) if kept else copula_N
    scored = iter(current)
    held_out = [_pairs(list(islice(scored, len(fold.blocks))), fold, len(rows_N)) for fold in folds]
    name, others = _best(other_ratios(x_ND, y_ND, held_out, derive_seed("others", seed)), held_out)
    gain_N = torch.cat([_objective_of_pairs(r, p.joint) for r, p in zip(others, held_out, strict=True)]) - (
        torch.cat([_objective_of_pairs(pairs.scores, pairs.joint) for pairs in held_out])
    )
    unproven = None
    if float(gain_N.mean()) > 0:
        joint = [ratios_P[: pairs.joint] for ratios_P, pairs in zip(others, held_out, strict=True)]
        product = [ratios_P[pairs.joint :] for ratios_P, pairs in zip(others, held_out, strict=True)]
        terms_N = calibrated_pairs(joint, product, range(len(folds)))
        if kept or _standard_errors(gain_N, group_N) >= _STANDARD_ERRORS_OF_OTHERS:
            kept.append(name)
            total_N, calibrated_N = np.concatenate(joint), terms_N
        else:
            unproven = float(terms_N.mean())
    return LogRatios(copula_N[order_N], total_N[order_N], calibrated_N[order_N], tuple(kept), unproven)


def _best(candidates: Mapping[str, list[Array]], folds: list[HeldOut]) -> tuple[str, list[Array]]:
    """The candidate of the largest objective."""

    def objective(name: str) -> float:
        terms = [
            _objective_of_pairs(ratios_P, pairs.joint)
            for ratios_P, pairs in zip(candidates[name], folds, strict=True)
        ]
        return float(torch.cat(terms).mean())

    best = max(candidates, key=objective)
    return best, candidates[best]


def _pairs(own: Blocks, fold: _Fold, num_rows: int) -> HeldOut:
    """The joint pairs of a fold, and each row with the next few of its block."""
    most = min(max(2, min(8, _PAIRS // num_rows)), *(len(block) - 1 for block in own))
    shifts = range(most + 1)
    x_rows = [np.concatenate([rows.numpy() for rows in fold.blocks])] * len(shifts)
    y_rows = [np.concatenate([np.roll(rows.numpy(), -shift) for rows in fold.blocks]) for shift in shifts]
    joint = torch.cat([block.diagonal() for block in own]).double().numpy()
    product_SF = np.concatenate([products(block, most) for block in own], 1)
    scores = np.concatenate([joint, product_SF.ravel()])
    return HeldOut(np.concatenate(x_rows), np.concatenate(y_rows), scores, len(joint))


def _objective_of_pairs(ratios_P: Array, joint: int) -> Tensor:
    """(F,) as ``_objective``, against the products that each row has."""
    ratios = torch.from_numpy(ratios_P)
    product_F = F.softplus(ratios[joint:].view(-1, joint)).mean(0)
    return -0.5 * (F.softplus(-ratios[:joint]) + product_F)


def _seeded(make: Callable[[int], Critic], fold: int, seed: int) -> Critic:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make(fold)


def _improve(current: Blocks, members: list[list[_Member]], group_N: Rows) -> _Part | None:
    """Train all members in step; what they were at the best checkpoint of all, if that gains enough."""
    start_N = _objective(current)
    best, best_value, waited = None, float(start_N.mean()), 0
    for _ in range(_CHECKPOINTS):
        candidate: Blocks = []
        for seeds in members:
            for member in seeds:
                member.advance()
            scores = zip(*(member.heldout() for member in seeds), strict=True)
            candidate += [torch.stack(same).mean(0) for same in scores]
        value, waited = float(_objective(candidate).mean()), waited + 1
        if value > best_value:
            critics = [
                _Ensemble([copy.deepcopy(member.average.module) for member in seeds]) for seeds in members
            ]
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
