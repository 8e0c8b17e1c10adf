"""Ridge regression on pooled features: the linear model that a network has to beat.

Closed form, seconds where a training takes minutes. It sees each row as the mean of its frames, so whatever
beats it surely has found something in their order, or something that is not linear.

Shapes: N rows of train, M rows of another split, D pooled features, P penalties.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Features
from mmsa.information.groups import group_codes, group_folds

Floats = NDArray[np.float64]

PENALTIES: Floats = np.logspace(-2.0, 6.0, 17)
"""Penalties that are tried, as scikit-learn's ``alpha``: against the sum of squared errors."""
_FOLDS = 5


def pooled(features: Features) -> Floats:
    """(N, D) mean over the frames of each row; NaN for a row without any.

    Args:
        features: of a split.
    """
    lengths_N = features.lengths()
    with_frames_N = lengths_N > 0
    means_ND = np.full((len(features), features.dim), np.nan)
    if with_frames_N.any():
        # Rows without frames begin where the next one does, so the sums of the others do not notice them.
        starts = features.offsets[:-1][with_frames_N]
        sums = np.add.reduceat(features.values, starts, axis=0, dtype=np.float64)
        means_ND[with_frames_N] = sums / lengths_N[with_frames_N, None]
    return means_ND


def ridge_predictions(
    train: Sequence[Floats],
    labels_N: NDArray[np.floating[Any]],
    groups_N: NDArray[np.str_],
    others: Sequence[Floats],
) -> Floats:
    """(M,) predictions for the rows of another split, with the penalty that train's folds choose.

    Features are standardised by train; a row that lacks a modality counts as its mean. Folds keep groups
    together, and the least squared error on held-out rows decides.

    Args:
        train: pooled features of each modality, (N, D) each.
        labels_N: of train.
        groups_N: video or speaker of each row of train.
        others: pooled features of the other split, of the same modalities.
    """
    train_ND, others_MD = (
        np.hstack(parts)
        for parts in zip(*map(_standardised, train, others), strict=True)  # one modality after the other
    )
    if train_ND.shape[1] > len(train_ND):
        # A ridge does not depend on the axes, and N rows span N of them: no matrix of D x D is needed.
        _, _, axes_ND = np.linalg.svd(train_ND, full_matrices=False)
        train_ND, others_MD = train_ND @ axes_ND.T, others_MD @ axes_ND.T
    labels = labels_N.astype(np.float64)
    penalty = _chosen_penalty(train_ND, labels, groups_N)
    return _fitted(train_ND, labels, others_MD, np.array([penalty]))[:, 0]


def _standardised(train_ND: Floats, others_MD: Floats) -> tuple[Floats, Floats]:
    known_ND = train_ND[~np.isnan(train_ND).any(axis=1)]
    if not len(known_ND):
        return np.zeros_like(train_ND), np.zeros_like(others_MD)
    mean_D, scale_D = known_ND.mean(axis=0), known_ND.std(axis=0)
    scale_D = np.where(scale_D > 0, scale_D, 1.0)
    standard_ND, standard_MD = (np.nan_to_num((part - mean_D) / scale_D) for part in (train_ND, others_MD))
    return standard_ND, standard_MD


def _chosen_penalty(train_ND: Floats, labels_N: Floats, groups_N: NDArray[np.str_]) -> float:
    group_N = group_codes(groups_N, len(labels_N))
    if group_N.max() == 0:  # as for standard errors: one group cannot be divided
        group_N = np.arange(len(labels_N))
    fold_N = group_folds(group_N, min(_FOLDS, int(group_N.max()) + 1), seed=0)
    errors_P = np.zeros(len(PENALTIES))
    for fold in np.unique(fold_N):
        held_N = fold_N == fold
        predictions_MP = _fitted(train_ND[~held_N], labels_N[~held_N], train_ND[held_N], PENALTIES)
        errors_P += ((predictions_MP - labels_N[held_N, None]) ** 2).sum(axis=0)
    return float(PENALTIES[errors_P.argmin()])


def _fitted(train_ND: Floats, labels_N: Floats, others_MD: Floats, penalties_P: Floats) -> Floats:
    """(M, P) predictions with each penalty; the intercept is not penalised.

    One eigendecomposition serves all penalties.
    """
    mean_D, mean = train_ND.mean(axis=0), labels_N.mean()
    centred_ND = train_ND - mean_D
    values_D, axes_DD = np.linalg.eigh(centred_ND.T @ centred_ND)
    projected_D = axes_DD.T @ (centred_ND.T @ (labels_N - mean))
    # Rounding makes eigenvalues of 0 slightly negative.
    weights_DP = axes_DD @ (
        projected_D[:, None] / (np.maximum(values_D, 0.0)[:, None] + penalties_P[None, :])
    )
    predictions_MP: Floats = mean + (others_MD - mean_D) @ weights_DP
    return predictions_MP
