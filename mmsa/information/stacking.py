"""What other kinds of critic say of held-out pairs, alone and stacked on the score of the networks.

Networks blur sharp edges, need many rows for what two features say of one another, and separable ones cannot
see that one random sign decides over all products. So there are further critics, none of which has seen the
rows of its fold: a mixture of normal distributions (clusters, hidden classes), a sum over pairs of features
(``mmsa.information.pairwise``: spread, tails) and linear regression with independent noise in both directions
(``mmsa.information.additive_noise``: edges and peaks, however turned). Each is a candidate by itself.

What they say is put together in two ways, learnt on the other folds (Wolpert 1992), with the bilinear form
x' M y of the largest variance (a hidden sign): as a weighted sum, by logistic regression; and by boosted
trees, which also see the features and the residuals of linear regressions.

Shapes: N rows, D features, F rows of a fold, S products of each row, P = (1 + S) F pairs with the joint ones
first, Q features of a pair, R features of the space of a mixture.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from threadpoolctl import threadpool_limits

from mmsa.information.additive_noise import additive_noise_ratios
from mmsa.information.copula import Array, normal_scores
from mmsa.information.copula_critics import whitening
from mmsa.information.groups import Rows
from mmsa.information.pairwise import Pairs, pairwise_ratios
from mmsa.seeding import derive_seed

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

Mask = NDArray[np.bool_]

_MOST_FEATURES = 24
"""Of x and y together: beyond, trees get no features of their own, and other critics see leading variates."""
_OWN_SHAPES, _ONE_SHAPE = (1, 2, 3, 4, 6), (4, 8)
"""How many components are tried, each of a covariance of its own, or all of one."""
_RIDGE = 1e-3
_LEADING, _VARIATE_RIDGE = 6, 0.05
_PAIRS_TO_LEARN = 15_000
"""About how many pairs the sum over pairs of features learns from: eight to two products of each row."""
_PENALTIES = (0.03, 0.3)
"""Inverse ridge penalties of its weights, which are of functions of unit variance."""
_POWER_STEPS = 40
_MOST = 12.0
"""Log ratios beyond count as this in the weighted sum: no density is known so well."""


@dataclass(frozen=True)
class HeldOut:
    """Pairs of one fold: rows of x (P,) and of y (P,), and the log ratios (P,) that networks gave them.

    joint: how many are joint pairs, each row once.
    """

    x_rows: Rows
    y_rows: Rows
    scores: Array
    joint: int

    def known_of(self, num_rows: int) -> Mask:
        """(N,) which rows are not of this fold."""
        return ~np.isin(np.arange(num_rows), self.x_rows)


def other_ratios(x_ND: Array, y_ND: Array, folds: Sequence[HeldOut], seed: int) -> dict[str, list[Array]]:
    """Log ratios (P,) of the pairs of each fold, by name of the critic; none has seen the fold."""
    with threadpool_limits(1):  # the last bits of a sum depend on the number of threads
        return _other_ratios(x_ND, y_ND, folds, seed)


def _other_ratios(x_ND: Array, y_ND: Array, folds: Sequence[HeldOut], seed: int) -> dict[str, list[Array]]:
    from sklearn.preprocessing import RobustScaler

    x_scores, y_scores = normal_scores(x_ND), normal_scores(y_ND)
    few = x_ND.shape[1] + y_ND.shape[1] <= _MOST_FEATURES
    parts = [(x_scores, y_scores)] * len(folds)
    if not few:
        parts = [_leading_variates(x_scores, y_scores, fold.known_of(len(x_ND))) for fold in folds]
    mixtures = _mixture_ratios(parts, folds, seed)
    pairwise = _pairwise_ratios(parts, folds)
    critics = {"mixture": mixtures, "pairwise": pairwise}
    scaled = [RobustScaler().fit_transform(part) for part in (x_ND, y_ND)]
    if few:
        critics["noise_of_y"] = _noise_ratios(scaled[0], scaled[1], folds, seed)
        critics["noise_of_x"] = _noise_ratios(scaled[1], scaled[0], folds, seed, swapped=True)
    features, scores = [], []
    for number, fold in enumerate(folds):
        i, j, known_N = fold.x_rows, fold.y_rows, fold.known_of(len(x_ND))
        bilinear_seed = derive_seed("bilinear", seed, number)
        ratios = [fold.scores, *(critic[number] for critic in critics.values())]
        bilinear_P = np.abs(_bilinear(x_scores, y_scores, fold, known_N, bilinear_seed))
        x_norm_P, y_norm_P = np.linalg.norm(x_scores, axis=1)[i], np.linalg.norm(y_scores, axis=1)[j]
        # With a hidden sign of normal pairs the log ratio is nearly a sum of these three.
        hidden_sign = [bilinear_P, x_norm_P**2 / x_scores.shape[1], y_norm_P**2 / y_scores.shape[1]]
        scores.append(np.stack([*ratios, *hidden_sign], 1))
        columns = [*ratios, bilinear_P, x_norm_P, y_norm_P]
        if few:
            columns += [*x_scores[i].T, *y_scores[j].T]
            for x_part, y_part in ((x_scores, y_scores), scaled):
                columns += [*(y_part[j] - _predicted(x_part, y_part, known_N)[i]).T]
                columns += [*(x_part[i] - _predicted(y_part, x_part, known_N)[j]).T]
        features.append(np.stack(columns, 1))
    critics["sum"] = [_weighted_sum(scores, folds, fold) for fold in range(len(folds))]
    trees = [_tree_ratios(features, folds, fold, seed) for fold in range(len(folds))]
    return {**critics, "trees": trees}


def _tree_ratios(features: Sequence[Array], folds: Sequence[HeldOut], fold: int, seed: int) -> Array:
    """Log ratios (P,) of one fold from features (P, Q) of all."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    others = [k for k in range(len(folds)) if k != fold]
    is_joint = np.concatenate([np.arange(len(folds[k].scores)) < folds[k].joint for k in others])
    trees = HistGradientBoostingClassifier(
        max_iter=100,
        max_leaf_nodes=8,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=derive_seed("trees", seed, fold) % 2**32,
    ).fit(np.concatenate([features[k] for k in others]), is_joint)
    prior = math.log(is_joint.sum() / (~is_joint).sum())
    ratios_P: Array = trees.decision_function(features[fold]) - prior
    return ratios_P


def _weighted_sum(scores: Sequence[Array], folds: Sequence[HeldOut], fold: int) -> Array:
    """Log ratios (P,) of one fold: a sum of scores (P, Q), weighted as suits the other folds."""
    from sklearn.linear_model import LogisticRegression

    others = [k for k in range(len(folds)) if k != fold]
    is_joint = np.concatenate([np.arange(len(folds[k].scores)) < folds[k].joint for k in others])
    weights = np.where(is_joint, 1.0, is_joint.sum() / (~is_joint).sum())
    model = LogisticRegression(C=1.0, solver="newton-cholesky")
    model.fit(np.concatenate([scores[k].clip(-_MOST, _MOST) for k in others]), is_joint, weights)
    ratios_P: Array = model.decision_function(scores[fold].clip(-_MOST, _MOST))
    return ratios_P


def _predicted(given_ND: Array, sought_ND: Array, known_N: Mask) -> Array:
    """Linear regression on the known rows, for all rows."""
    design = np.hstack([np.ones((len(given_ND), 1)), given_ND])
    predicted_ND: Array = design @ np.linalg.lstsq(design[known_N], sought_ND[known_N], rcond=None)[0]
    return predicted_ND


def _bilinear(x_ND: Array, y_ND: Array, fold: HeldOut, known_N: Mask, seed: int) -> Array:
    """(P,) x' M y of whitened x and y, |M| = 1, whose variance over the known joint pairs is largest.

    Without dependence, or with correlation alone, that variance is below 2 for every M; a sign that D pairs
    share gives about D. Power iteration, without building the covariance of all products.
    """
    x_ND, y_ND = ((part - part[known_N].mean(0)) @ whitening(part[known_N]) for part in (x_ND, y_ND))
    x_KD, y_KD = x_ND[known_N], y_ND[known_N]
    weights = np.random.default_rng(seed).standard_normal((x_ND.shape[1], y_ND.shape[1]))
    for _ in range(_POWER_STEPS):
        values_K = ((x_KD @ weights) * y_KD).sum(1)
        weights = (x_KD * (values_K - values_K.mean())[:, None]).T @ y_KD
        weights /= max(float(np.linalg.norm(weights)), 1e-12)
    values_P: Array = ((x_ND @ weights)[fold.x_rows] * y_ND[fold.y_rows]).sum(1)
    return values_P


def _leading_variates(x_ND: Array, y_ND: Array, known_N: Mask) -> tuple[Array, Array]:
    """Leading canonical variates of many features, standardised, found on the known rows.

    With a ridge: of features that are curves of few latents, those directions lead that have next to no
    variance and correlate by chance.
    """
    x_KD, y_KD = x_ND[known_N] - x_ND[known_N].mean(0), y_ND[known_N] - y_ND[known_N].mean(0)
    x_root, y_root = _ridge_whitening(x_KD), _ridge_whitening(y_KD)
    left, _, right = np.linalg.svd(x_root.T @ x_KD.T @ y_KD @ y_root, full_matrices=False)
    x_ND, y_ND = x_ND @ x_root @ left[:, :_LEADING], y_ND @ y_root @ right[:_LEADING].T
    return normal_scores(x_ND), normal_scores(y_ND)


def _ridge_whitening(values_ND: Array) -> Array:
    covariance_DD = values_ND.T @ values_ND / len(values_ND)
    size_D, axes_DD = np.linalg.eigh(covariance_DD + _VARIATE_RIDGE * np.eye(len(covariance_DD)))
    weights_DD: Array = axes_DD / np.sqrt(size_D)
    return weights_DD


def _pairwise_ratios(parts: Sequence[tuple[Array, Array]], folds: Sequence[HeldOut]) -> list[Array]:
    """Log ratios (P,) of each fold, with the penalty that suits the first."""
    penalties: tuple[float, ...] = _PENALTIES
    ratios = []
    for number, (fold, (x_ND, y_ND)) in enumerate(zip(folds, parts, strict=True)):
        others = [other for k, other in enumerate(folds) if k != number]
        num_joint = sum(other.joint for other in others)
        products = max(1, _PAIRS_TO_LEARN // num_joint - 1)
        joint = [slice(other.joint) for other in others]
        product = [slice(other.joint, (1 + products) * other.joint) for other in others]
        chosen = [*zip(others, joint, strict=True), *zip(others, product, strict=True)]
        x_rows = np.concatenate([pairs.x_rows[part] for pairs, part in chosen])
        y_rows = np.concatenate([pairs.y_rows[part] for pairs, part in chosen])
        known = Pairs(x_rows, y_rows, num_joint)
        ratios_P, penalty = pairwise_ratios(
            x_ND, y_ND, known, Pairs(fold.x_rows, fold.y_rows, fold.joint), penalties
        )
        penalties = (penalty,)
        ratios.append(ratios_P)
    return ratios


def _noise_ratios(
    given_ND: Array, sought_ND: Array, folds: Sequence[HeldOut], seed: int, *, swapped: bool = False
) -> list[Array]:
    """Log ratios (P,) of each fold by the noise in what is sought."""
    ratios = []
    for fold in folds:
        known_K = np.flatnonzero(fold.known_of(len(given_ND)))
        rows = (fold.y_rows, fold.x_rows) if swapped else (fold.x_rows, fold.y_rows)
        ratios.append(additive_noise_ratios(given_ND, sought_ND, known_K, *rows, derive_seed("noise", seed)))
    return ratios


def _mixture_ratios(parts: Sequence[tuple[Array, Array]], folds: Sequence[HeldOut], seed: int) -> list[Array]:
    """Log ratios (P,) of each fold under mixtures of the kind that is likeliest on the first.

    parts: x (N, D) and y (N, D) for each fold.
    """
    models: list[GaussianMixture] = []
    for fold, pair in zip(folds, parts, strict=True):
        both_NR, known_N = np.hstack(pair), fold.known_of(len(pair[0]))
        if models:
            kinds = [(models[0].covariance_type, models[0].n_components)]
        else:
            kinds = [*(("full", k) for k in _OWN_SHAPES), *(("tied", k) for k in _ONE_SHAPE)]
        fitted = [_mixture(both_NR[known_N], *kind, seed) for kind in kinds]
        models.append(max(fitted, key=lambda model: float(model.score(both_NR[~known_N]))))
    ratios = []
    for fold, model, (x_ND, y_ND) in zip(folds, models, parts, strict=True):
        x_dim = x_ND.shape[1]
        x_N = _log_density(x_ND, model, slice(x_dim))
        y_N = _log_density(y_ND, model, slice(x_dim, None))
        both_PR = np.hstack([x_ND[fold.x_rows], y_ND[fold.y_rows]])
        ratios.append(_log_density(both_PR, model, slice(None)) - x_N[fold.x_rows] - y_N[fold.y_rows])
    return ratios


def _mixture(points_NR: Array, shape: str, components: int, seed: int) -> GaussianMixture:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(
        components,
        covariance_type=shape,
        reg_covar=_RIDGE,
        random_state=derive_seed("mixture", seed, shape, components) % 2**32,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a mixture that is not done is a critic too
        return model.fit(points_NR)


def _log_density(points: Array, model: GaussianMixture, part: slice) -> Array:
    """(N,) of some of the features, up to a constant that each feature adds."""
    from scipy.linalg import solve_triangular

    covariances = model.covariances_
    if model.covariance_type == "tied":
        covariances = [covariances] * model.n_components
    terms = []
    for weight, mean, covariance in zip(model.weights_, model.means_, covariances, strict=True):
        factor = np.linalg.cholesky(covariance[part, part])
        standard = solve_triangular(factor, (points - mean[part]).T, lower=True)
        terms.append(math.log(weight) - np.log(np.diag(factor)).sum() - 0.5 * (standard**2).sum(0))
    density_N: Array = logsumexp(terms, axis=0)
    return density_N
