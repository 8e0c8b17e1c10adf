"""Better predictions from a subset of sources, made of the predictions from its parts.

A network that sees more sources has more to learn and may come out worse than one that sees fewer, which
would turn informations upside down. So a subset may also use the predictions from a smaller one, or the
product of two parts, p(y|a) p(y|b) / p(y), which is exact where a and b are independent given y, or the
geometric mean of its own and such a product, or what a second network makes of the predictions from all its
parts, which are few numbers where the sources are many (stacking; Wolpert 1992), or the frequencies alone. A
fusion is a part of what it is computed from. Each fold takes what serves the *other* folds best: no row has a
say in the choice about itself.

Shapes: N rows, C classes, A candidates, K folds.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from mmsa.information.groups import Rows
from mmsa.information.target.posterior import Posterior, cross_fit
from mmsa.information.target.quantities import Subset, closure
from mmsa.seeding import derive_seed

Floats = NDArray[np.float64]
_PRICE = 2.0
"""Nats in all that predictions of a subset must gain on those of its parts on the other folds. Chance gains
one or two, and where they are chosen by chance a subset reads less than its part."""


def combined(
    own: Mapping[Subset, Posterior],
    class_N: Rows,
    fold_N: Rows,
    *,
    num_seeds: int,
    seed: int,
    fusion_of: Collection[str] = (),
    known: Mapping[Subset, Posterior] | None = None,
) -> dict[Subset, Posterior]:
    """The best predictions from every subset, smaller subsets first; seeds as in ``cross_fit``.

    Subsets that know the same, with and without a fusion computed from them, get the same.

    Args:
        own: predictions of networks and others that saw the features of the subset.
        fusion_of: the sources that the fusion is computed from; none where it knows more than they do.
        known: the best predictions from other subsets, which are their parts.
    """
    best = {closure(subset, fusion_of): posterior for subset, posterior in (known or {}).items()}
    for whole in sorted({closure(subset, fusion_of) for subset in own}, key=len):
        same = [subset for subset in own if closure(subset, fusion_of) == whole]
        alone = [own[subset] for subset in same]
        parts = [part for part in sorted(best, key=sorted) if part < whole]
        of_parts = [Posterior.ignorant(alone[0].marginal), *(best[part] for part in parts)]
        candidates = [*alone, *_products(parts, best, {*same, whole}, alone[0])]
        if len(parts) > 1:
            odds_NF = np.hstack([best[part].conditional - best[part].marginal for part in parts])
            stacked = derive_seed("stacked", seed, sorted(whole))
            candidates.append(cross_fit(odds_NF, class_N, fold_N, num_seeds=num_seeds, seed=stacked))
        best[whole] = best_of(candidates, class_N, fold_N, of_parts)
    return {subset: best[closure(subset, fusion_of)] for subset in own}


def _products(
    parts: Collection[Subset], best: Mapping[Subset, Posterior], wholes: Collection[Subset], own: Posterior
) -> Iterator[Posterior]:
    for part, rest in itertools.combinations(parts, 2):
        if not part & rest and part | rest in wholes:
            odds_NC = best[part].conditional + best[rest].conditional - 2 * own.marginal
            yield _posterior(odds_NC, own)
            yield _posterior((odds_NC + own.conditional - own.marginal) / 2, own)


def _posterior(odds_NC: Floats, like: Posterior) -> Posterior:
    return Posterior.mixed(log_softmax(like.marginal + odds_NC, axis=1), like.marginal)


def best_of(
    candidates: Sequence[Posterior], class_N: Rows, fold_N: Rows, of_parts: Sequence[Posterior] = ()
) -> Posterior:
    """For each fold the candidate that serves the other folds best; more than ``of_parts`` has its price."""
    every = [*of_parts, *candidates]
    terms_AN = np.stack([candidate.terms(class_N) for candidate in every])
    by_fold_AK = np.stack([np.bincount(fold_N, terms_N) for terms_N in terms_AN])
    others_AK = by_fold_AK.sum(1, keepdims=True) - by_fold_AK
    if of_parts:
        others_AK[len(of_parts) :] -= _PRICE
    choice_N = others_AK.argmax(0)[fold_N]
    conditional_ANC = np.stack([candidate.conditional for candidate in every])
    return Posterior(conditional_ANC[choice_N, np.arange(len(fold_N))], every[0].marginal)
