"""The ridge on pooled features is scikit-learn's, with the penalty that a search over folds would choose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.preprocessing import StandardScaler

from mmsa.data.corpus import Features
from mmsa.data.target_spec import TargetSpec
from mmsa.information.groups import group_codes, group_folds
from mmsa.training.metrics import evaluate
from mmsa.training.ridge import PENALTIES, pooled, ridge_outputs, ridge_predictions


@pytest.mark.parametrize("dim", [5, 90], ids=["more rows", "more features"])
def test_it_is_that_of_scikit_learn(dim: int):
    random = np.random.default_rng(0)
    train_ND, others_MD = (random.standard_normal((rows, dim)) * 3 + 1 for rows in (60, 20))
    labels_N = train_ND @ random.standard_normal(dim) + 2 * random.standard_normal(60)
    groups_N = np.repeat(np.arange(15), 4).astype(str)

    fold_N = group_folds(group_codes(groups_N, 60), 5, seed=0)
    scaler = StandardScaler().fit(train_ND)
    search = GridSearchCV(
        Ridge(solver="svd"),
        {"alpha": PENALTIES},
        cv=PredefinedSplit(fold_N),
        scoring="neg_mean_squared_error",
    ).fit(scaler.transform(train_ND), labels_N)
    expected_M = search.predict(scaler.transform(others_MD))

    two = dim // 2  # as if the features were of two modalities
    found_M = ridge_predictions(
        [train_ND[:, :two], train_ND[:, two:]], labels_N, groups_N, [others_MD[:, :two], others_MD[:, two:]]
    )
    np.testing.assert_allclose(found_M, expected_M, rtol=1e-6)


def test_frames_are_averaged_and_a_row_without_any_counts_as_the_mean_of_train():
    frames = [np.array([[1.0, 2.0], [3.0, 6.0]]), np.empty((0, 2)), np.array([[5.0, 8.0]]), np.empty((0, 2))]
    means_ND = pooled(Features.from_rows([rows.astype(np.float32) for rows in frames], dim=2))
    np.testing.assert_array_equal(means_ND, [[2.0, 4.0], [np.nan] * 2, [5.0, 8.0], [np.nan] * 2])

    random = np.random.default_rng(1)
    train_ND, labels_N = random.standard_normal((30, 2)), random.standard_normal(30)
    lacking, mean = np.full((1, 2), np.nan), train_ND.mean(axis=0, keepdims=True)
    groups_N = np.arange(30).astype(str)
    found = (ridge_predictions([train_ND], labels_N, groups_N, [other])[0] for other in (lacking, mean))
    assert next(found) == pytest.approx(next(found))


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass", "multilabel"])
def test_a_ridge_predicts_every_kind_in_its_form(kind: Any) -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(120, 6))
    ids = features[:, :3].argmax(axis=1)
    values = {
        "regression": features[:, 0],
        "binary": (features[:, 0] > 0).astype(float),
        "multiclass": ids.astype(float),
        "multilabel": (features[:, :2] > 0).astype(float),
    }[kind]
    classes = {"multiclass": ("a", "b", "c"), "multilabel": ("a", "b")}.get(kind, ())
    target = TargetSpec("y", kind, classes=classes)
    train, other = slice(0, 80), slice(80, None)
    output = ridge_outputs(
        target, [features[train]], values[train], np.arange(80).astype(str), [features[other]]
    )
    metric = {"regression": "pearson", "multilabel": "label_accuracy"}.get(kind, "accuracy")
    assert evaluate(values[other], output, target)[metric] > 0.8
    assert output.dtype == np.float32
