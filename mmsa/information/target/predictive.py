"""Cross-fitted predictive distributions of a target: p(y | x) of every row, by networks that did not see it.

The networks of all folds and seeds train in step, as one stack. They start at the frequencies of the training
rows and bend away from them. How long to train and how far to trust what was learnt (the factor on the
log-odds against the frequencies, 0 where nothing was learnt) is chosen for each fold on the held-out rows of
the *other* folds, so that no rows are lost to validation and no row takes part in a choice about itself.

A network that sees more sources has more to learn and may come out worse than one that sees fewer, which
would turn informations upside down. So a subset may also use the predictions from a smaller one, or the
product of two parts, p(y|a) p(y|b) / p(y), which is exact where a and b are independent given y, or the
geometric mean of its own and such a product, or what a second network makes of the predictions from all its
parts, which are few numbers where the sources are many (stacking; Wolpert 1992), or the frequencies alone. A
fusion is a part of what it is computed from. Again each fold takes what serves the other folds best.

Shapes: N rows, D features, C classes, M networks, B rows of a batch, H held-out rows, T rounds, A candidates,
K folds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor, nn

from mmsa.eager import AdamW
from mmsa.information.critics import MLPConfig, mlp
from mmsa.information.groups import Rows
from mmsa.information.target.quantities import Subset, closure
from mmsa.seeding import derive_seed

Floats = NDArray[np.float64]
_HIDDEN, _BATCH, _LEARNING_RATE, _WEIGHT_DECAY = 64, 256, 5e-3, 2.0
_STEPS_OF_ROUND, _ROUNDS, _PATIENCE = 15, 150, 12
_RATE = 0.2
_LARGEST_INPUT = 10.0
_TRUST = torch.linspace(0.0, 1.5, 16)
_PRICE = 2.0
"""Nats in all that predictions of a subset must gain on those of its parts on the other folds. Chance gains
one or two, and where they are chosen by chance a subset reads less than its part."""


@dataclass(frozen=True)
class PredictiveDistribution:
    """Held-out predictions of a target, of which both parts come from the same training rows.

    Attributes:
        conditional: (N, C) log p(y | x) in nats.
        marginal: (N, C) log p(y) in nats.
    """

    conditional: Floats
    marginal: Floats

    @classmethod
    def mixed(cls, conditional: Floats, marginal: Floats) -> Self:
        """Mix one part in N of the frequencies into predictions: no row then loses more than log N nats."""
        # One row that is predicted with certainty, and wrongly, could otherwise outweigh all others. It costs
        # those 1 / N nats.
        num_rows = len(conditional)
        kept = math.log1p(-1 / num_rows) if num_rows > 1 else -math.inf
        return cls(np.logaddexp(kept + conditional, marginal - math.log(num_rows)), marginal)

    @classmethod
    def ignorant(cls, marginal: Floats) -> Self:
        """Return predictions that know only the frequencies."""
        return cls(marginal, marginal)

    def terms(self, class_N: Rows) -> Floats:
        """Return (N,) pointwise information log p(y|x) - log p(y) in nats, whose mean estimates I(X; Y)."""
        rows = np.arange(len(class_N))
        terms_N: Floats = self.conditional[rows, class_N] - self.marginal[rows, class_N]
        return terms_N


def cross_fit(
    x_ND: Floats, class_N: Rows, fold_N: Rows, *, num_seeds: int, seed: int
) -> PredictiveDistribution:
    """Predict the class of every row by networks that were fitted on the other folds.

    Args:
        x_ND: Features. They are standardised here over all rows, which says nothing about the target.
        class_N: The target as 0 .. C - 1.
        fold_N: Fold of each row.
        num_seeds: Networks per fold, whose log-odds are averaged.
        seed: Decides initial weights and the order of rows.
    """
    x, classes = standardised(x_ND), torch.from_numpy(class_N)
    folds = torch.from_numpy(fold_N)
    num_classes, num_folds = int(class_N.max()) + 1, int(fold_N.max()) + 1
    marginal_KC = torch.stack(
        [log_frequencies(classes[folds != fold], num_classes) for fold in range(num_folds)]
    )
    marginal_NC = marginal_KC[folds]
    rounds = _Training(x, classes, folds, marginal_KC, num_seeds, seed).rounds()
    odds_TNC = torch.stack(list(_until_stale(rounds, marginal_NC, classes)))
    conditional_NC = _chosen(odds_TNC, marginal_NC, classes, folds)
    return PredictiveDistribution.mixed(conditional_NC.double().numpy(), marginal_NC.double().numpy())


class _Bent(nn.Module):
    """Log-odds against the class frequencies, by a perceptron plus a linear map, both zero at first."""

    def __init__(self, inputs: int, num_classes: int):
        super().__init__()
        self.network = mlp(MLPConfig(hidden=_HIDDEN), inputs, num_classes)
        self.linear = nn.Linear(inputs, num_classes)
        last = self.network[-1]
        assert isinstance(last, nn.Linear)
        for layer in (last, self.linear):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x_BD: Tensor) -> Tensor:
        """(B, C)."""
        odds_BC: Tensor = self.network(x_BD) + self.linear(x_BD)
        return odds_BC


class _Layers(nn.Module):
    """Linear layers of as many networks, as one batched product."""

    def __init__(self, layers: Sequence[nn.Linear]):
        super().__init__()
        self.weight_MDE = nn.Parameter(torch.stack([layer.weight.detach().T for layer in layers]))
        self.bias_M1E = nn.Parameter(torch.stack([layer.bias.detach()[None] for layer in layers]))

    def forward(self, x_MBD: Tensor) -> Tensor:
        """(M, B, E)."""
        return torch.baddbmm(self.bias_M1E, x_MBD, self.weight_MDE)


class _Stack(nn.Module):
    """Networks as one. ``critics.Stack`` does so for any module, but takes twice as long with small ones."""

    def __init__(self, members: Sequence[_Bent]):
        super().__init__()
        alike = zip(*(member.network for member in members), strict=True)
        self.network = nn.Sequential(
            *(_Layers(layers) if isinstance(layers[0], nn.Linear) else layers[0] for layers in alike)
        )
        self.linear = _Layers([member.linear for member in members])

    def forward(self, x_MBD: Tensor) -> Tensor:
        """(M, B, C)."""
        odds_MBC: Tensor = self.network(x_MBD) + self.linear(x_MBD)
        return odds_MBC


class _Training:
    """The networks of all folds and seeds, one fold after the other for each seed."""

    def __init__(
        self, x: Tensor, classes: Tensor, folds: Tensor, marginal_KC: Tensor, num_seeds: int, seed: int
    ):
        self.x, self.classes, self.num_seeds = x, classes, num_seeds
        num_folds = len(marginal_KC)
        self.train = [torch.nonzero(folds != fold)[:, 0] for fold in range(num_folds)] * num_seeds
        self.held = [torch.nonzero(folds == fold)[:, 0] for fold in range(num_folds)]
        self.marginal_M1C = marginal_KC.repeat(num_seeds, 1)[:, None]
        self.generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed("networks", seed))
            members = [_Bent(x.shape[1], marginal_KC.shape[1]) for _ in self.train]
        self.stack = _Stack(members)
        self.optimiser = AdamW(
            self.stack.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY, fused=True
        )
        self.rows = min(map(len, self.train))

    def rounds(self) -> Iterator[Tensor]:
        """Yield held-out log-odds (N, C), averaged over seeds, before training and after each round of it.

        They are also averaged over recent rounds, at ``_RATE``, against the noise of gradient steps.
        """
        average_NC = self._held_out()
        yield average_NC
        batch = min(_BATCH, self.rows)
        passes = math.ceil(_STEPS_OF_ROUND / (self.rows // batch))
        for _ in range(_ROUNDS):
            for _ in range(passes):
                self._pass(batch)
            average_NC = average_NC.lerp(self._held_out(), _RATE)
            yield average_NC

    def _pass(self, batch: int) -> None:
        orders = [rows[torch.randperm(len(rows), generator=self.generator)] for rows in self.train]
        order_MR = torch.stack([order[: self.rows] for order in orders])
        for start in range(0, self.rows - batch + 1, batch):
            rows_MB = order_MR[:, start : start + batch]
            logits_MBC = self.stack(self.x[rows_MB]) + self.marginal_M1C
            loss = F.cross_entropy(logits_MBC.flatten(0, 1), self.classes[rows_MB].flatten())
            self.optimiser.zero_grad()
            torch.autograd.backward(loss * len(rows_MB))  # each network by its own mean
            self.optimiser.step()

    @torch.no_grad()
    def _held_out(self) -> Tensor:
        rows_KH = nn.utils.rnn.pad_sequence(self.held, batch_first=True)
        odds = self.stack(self.x[rows_KH].repeat(self.num_seeds, 1, 1))
        odds_KHC = odds.unflatten(0, (self.num_seeds, len(self.held))).mean(0)
        odds_NC = torch.empty(len(self.x), odds_KHC.shape[-1])
        for rows, odds_HC in zip(self.held, odds_KHC, strict=True):
            odds_NC[rows] = odds_HC[: len(rows)]
        return odds_NC


def _until_stale(rounds: Iterator[Tensor], marginal_NC: Tensor, classes: Tensor) -> Iterator[Tensor]:
    """Yield the rounds until the pooled held-out cross-entropy no longer falls."""
    best, waited = math.inf, 0
    for odds_NC in rounds:
        yield odds_NC
        loss = float(_losses(odds_NC, marginal_NC, classes).mean(1).min())
        best, waited = (loss, 0) if loss < best else (best, waited + 1)
        if waited >= _PATIENCE:
            return


def _losses(odds_NC: Tensor, marginal_NC: Tensor, classes: Tensor) -> Tensor:
    """Return -log p(y | x) for each trust, (trusts, N)."""
    logits = marginal_NC + _TRUST[:, None, None] * odds_NC
    return F.cross_entropy(logits.flatten(0, 1), classes.repeat(len(_TRUST)), reduction="none").view(
        len(_TRUST), -1
    )


def _chosen(odds_TNC: Tensor, marginal_NC: Tensor, classes: Tensor, folds: Tensor) -> Tensor:
    """Return log p(y | x), (N, C), at the round and trust that serve the other folds best."""
    num_folds = int(folds.max()) + 1
    loss_TAK = torch.stack(
        [
            torch.stack([losses[:, folds == fold].sum(1) for fold in range(num_folds)], 1)
            for losses in (_losses(odds_NC, marginal_NC, classes) for odds_NC in odds_TNC)
        ]
    )
    others_TAK = loss_TAK.sum(-1, keepdim=True) - loss_TAK
    conditional_NC = torch.empty_like(marginal_NC)
    for fold in range(num_folds):
        best_round, best_trust = divmod(int(others_TAK[..., fold].argmin()), len(_TRUST))
        held = folds == fold
        logits = marginal_NC[held] + _TRUST[best_trust] * odds_TNC[best_round, held]
        conditional_NC[held] = F.log_softmax(logits, -1)
    return conditional_NC


def standardised(x_ND: Floats) -> Tensor:
    """Return (N, D) features of mean 0 and variance 1, with outliers moved to 10 deviations."""
    spread_D = x_ND.std(0)
    scaled_ND = (x_ND - x_ND.mean(0)) / np.where(spread_D > 0, spread_D, 1.0)
    return torch.from_numpy(scaled_ND.clip(-_LARGEST_INPUT, _LARGEST_INPUT)).float()


def log_frequencies(classes: Tensor, num_classes: int) -> Tensor:
    """Return (C,) log frequencies with half a count more of each class (Krichevsky & Trofimov)."""
    counts_C = torch.bincount(classes, minlength=num_classes) + 0.5
    return (counts_C / counts_C.sum()).log()


def combined(
    own: Mapping[Subset, PredictiveDistribution],
    class_N: Rows,
    fold_N: Rows,
    *,
    num_seeds: int,
    seed: int,
    fusion_of: Collection[str] = (),
    known: Mapping[Subset, PredictiveDistribution] | None = None,
) -> dict[Subset, PredictiveDistribution]:
    """Find the best predictions from every subset, smaller subsets first; seeds as in ``cross_fit``.

    Subsets that know the same, with and without a fusion that is computed from them, get the same.

    Args:
        own: Predictions of networks and others that saw the features of the subset.
        class_N: The target as 0 .. C - 1.
        fold_N: Fold of each row.
        num_seeds: Networks per fold.
        seed: Decides initial weights and the order of rows.
        fusion_of: The sources that the fusion is computed from; none if it knows more than they do.
        known: The best predictions from other subsets, which are their parts.
    """
    best = {closure(subset, fusion_of): predicted for subset, predicted in (known or {}).items()}
    for whole in sorted({closure(subset, fusion_of) for subset in own}, key=len):
        same = [subset for subset in own if closure(subset, fusion_of) == whole]
        alone = [own[subset] for subset in same]
        parts = [part for part in sorted(best, key=sorted) if part < whole]
        of_parts = [PredictiveDistribution.ignorant(alone[0].marginal), *(best[part] for part in parts)]
        candidates = [*alone, *_products(parts, best, {*same, whole}, alone[0])]
        if len(parts) > 1:
            odds_NF = np.hstack([best[part].conditional - best[part].marginal for part in parts])
            stacked = derive_seed("stacked", seed, sorted(whole))
            candidates.append(cross_fit(odds_NF, class_N, fold_N, num_seeds=num_seeds, seed=stacked))
        best[whole] = best_of(candidates, class_N, fold_N, of_parts)
    return {subset: best[closure(subset, fusion_of)] for subset in own}


def _products(
    parts: Collection[Subset],
    best: Mapping[Subset, PredictiveDistribution],
    wholes: Collection[Subset],
    own: PredictiveDistribution,
) -> Iterator[PredictiveDistribution]:
    for part, rest in itertools.combinations(parts, 2):
        if not part & rest and part | rest in wholes:
            odds_NC = best[part].conditional + best[rest].conditional - 2 * own.marginal
            yield _predicted(odds_NC, own)
            yield _predicted((odds_NC + own.conditional - own.marginal) / 2, own)


def _predicted(odds_NC: Floats, like: PredictiveDistribution) -> PredictiveDistribution:
    return PredictiveDistribution.mixed(log_softmax(like.marginal + odds_NC, axis=1), like.marginal)


def best_of(
    candidates: Sequence[PredictiveDistribution],
    class_N: Rows,
    fold_N: Rows,
    of_parts: Sequence[PredictiveDistribution] = (),
) -> PredictiveDistribution:
    """Take for each fold the candidate that serves the other folds best; ``of_parts`` have an advantage."""
    every = [*of_parts, *candidates]
    terms_AN = np.stack([candidate.terms(class_N) for candidate in every])
    by_fold_AK = np.stack([np.bincount(fold_N, terms_N) for terms_N in terms_AN])
    others_AK = by_fold_AK.sum(1, keepdims=True) - by_fold_AK
    if of_parts:
        others_AK[len(of_parts) :] -= _PRICE
    choice_N = others_AK.argmax(0)[fold_N]
    conditional_ANC = np.stack([candidate.conditional for candidate in every])
    return PredictiveDistribution(conditional_ANC[choice_N, np.arange(len(fold_N))], every[0].marginal)
