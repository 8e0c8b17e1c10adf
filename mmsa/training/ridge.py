"""Ridge regression on pooled features: the linear model that a network has to beat.

Closed form, seconds where a training takes minutes. It sees each row as the mean of its frames, so whatever
beats it surely has found something in their order, or something that is not linear.

Shapes: N rows of train, M rows of another split, D pooled features, K numbers a row, P penalties.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Features
from mmsa.data.target_spec import TargetSpec
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
    """(M,) or (M, K) predictions for the rows of another split, with the penalty that train's folds choose.

    Features are standardised by train; a row that lacks a modality counts as its mean. Folds keep groups
    together, and the least squared error on held-out rows decides.

    Args:
        train: pooled features of each modality, (N, D) each.
        labels_N: of train; or (N, K), K of each row, which share a penalty.
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
    labels_NK = labels_N.astype(np.float64).reshape(len(labels_N), -1)
    penalty = _chosen_penalty(train_ND, labels_NK, groups_N)
    found = _fitted(train_ND, labels_NK, others_MD, np.array([penalty]))[..., 0]
    return found[:, 0] if labels_N.ndim == 1 else found


def ridge_outputs(
    target: TargetSpec,
    train: Sequence[Floats],
    labels: NDArray[np.floating[Any]],
    groups_N: NDArray[np.str_],
    others: Sequence[Floats],
) -> NDArray[np.float32]:
    """Predictions of a ridge as those of a model are: (M,) numbers, or (M,) or (M, K) probabilities.

    Of classes it is fitted to one column for each, 0 or 1, whose predictions are cut off there.

    Args:
        target: what is predicted.
        train: see ``ridge_predictions``, as all others.
        labels: (N,) or (N, K).
        groups_N: likewise.
        others: likewise.
    """
    if target.kind == "multiclass":
        labels = np.eye(len(target.classes))[labels.astype(np.int64)]
    found = ridge_predictions(train, labels, groups_N, others)
    return (found if target.is_scale else found.clip(0.0, 1.0)).astype(np.float32)


def _standardised(train_ND: Floats, others_MD: Floats) -> tuple[Floats, Floats]:
    known_ND = train_ND[~np.isnan(train_ND).any(axis=1)]
    if not len(known_ND):
        return np.zeros_like(train_ND), np.zeros_like(others_MD)
    mean_D, scale_D = known_ND.mean(axis=0), known_ND.std(axis=0)
    scale_D = np.where(scale_D > 0, scale_D, 1.0)
    standard_ND, standard_MD = (np.nan_to_num((part - mean_D) / scale_D) for part in (train_ND, others_MD))
    return standard_ND, standard_MD


def _chosen_penalty(train_ND: Floats, labels_NK: Floats, groups_N: NDArray[np.str_]) -> float:
    group_N = group_codes(groups_N, len(labels_NK))
    if group_N.max() == 0:  # as for standard errors: one group cannot be divided
        group_N = np.arange(len(labels_NK))
    fold_N = group_folds(group_N, min(_FOLDS, int(group_N.max()) + 1), seed=0)
    errors_P = np.zeros(len(PENALTIES))
    for fold in np.unique(fold_N):
        held_N = fold_N == fold
        predictions_MKP = _fitted(train_ND[~held_N], labels_NK[~held_N], train_ND[held_N], PENALTIES)
        errors_P += ((predictions_MKP - labels_NK[held_N, :, None]) ** 2).sum(axis=(0, 1))
    return float(PENALTIES[errors_P.argmin()])


def _fitted(train_ND: Floats, labels_NK: Floats, others_MD: Floats, penalties_P: Floats) -> Floats:
    """(M, K, P) predictions with each penalty; the intercept is not penalised.

    One eigendecomposition serves all penalties.
    """
    mean_D, mean_K = train_ND.mean(axis=0), labels_NK.mean(axis=0)
    centred_ND = train_ND - mean_D
    values_D, axes_DD = np.linalg.eigh(centred_ND.T @ centred_ND)
    projected_DK = axes_DD.T @ (centred_ND.T @ (labels_NK - mean_K))
    # Rounding makes eigenvalues of 0 slightly negative.
    shrunk_DP = 1.0 / (np.maximum(values_D, 0.0)[:, None] + penalties_P[None, :])
    rotated_MD = (others_MD - mean_D) @ axes_DD
    predictions_MKP: Floats = mean_K[:, None] + np.einsum(
        "md,dk,dp->mkp", rotated_MD, projected_DK, shrunk_DP, optimize=True
    )
    return predictions_MKP
