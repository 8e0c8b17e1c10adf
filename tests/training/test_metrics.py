from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsa.data.target_spec import TargetSpec
from mmsa.training.metrics import evaluate, largest_classes, lopsided, metric_names

MOSI = TargetSpec("label", suite="mosi")
SIMS = TargetSpec("label", suite="sims")
PLAIN = TargetSpec("label")


def test_mosi_values_worked_out_by_hand():
    labels = np.array([-3.0, -1.4, 0.0, 0.5, 2.6])
    predictions = np.array([-4.0, 0.2, -0.1, 1.5, 2.4])
    metrics = evaluate(labels, predictions, MOSI)
    assert metrics["mae"] == pytest.approx((1.0 + 1.6 + 0.1 + 1.0 + 0.2) / 5)
    assert metrics["pearson"] == pytest.approx(np.corrcoef(labels, predictions)[0, 1], abs=1e-6)
    # Rounded half to even: labels -3 -1 0 0 3, predictions -3 0 0 2 2.
    # Within [-2, 2]: labels -2 -1 0 0 2, predictions -2 0 0 2 2.
    assert metrics["acc7"] == pytest.approx(2 / 5)
    assert metrics["acc5"] == pytest.approx(3 / 5)
    # has0: labels - - + + +, predictions - + - + +; non0 drops the third row.
    assert metrics["acc2_negative_nonnegative"] == pytest.approx(3 / 5)
    assert metrics["acc2_negative_positive"] == pytest.approx(3 / 4)
    # non0: F1 of negatives 2/3 (2 rows), of positives 4/5 (2 rows); has0: 1/2 (2 rows) and 2/3 (3 rows).
    assert metrics["f1_negative_positive"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert metrics["f1_negative_nonnegative"] == pytest.approx((2 * 1 / 2 + 3 * 2 / 3) / 5)


def test_weighted_f1_weighs_by_the_labels_and_not_by_the_predictions():
    metrics = evaluate(np.array([-1.0, 1.0, 1.0, 1.0]), np.array([-1.0, -1.0, -1.0, 1.0]), MOSI)
    # Negatives: precision 1/3, recall 1, F1 1/2. Positives: precision 1, recall 1/3, F1 1/2.
    assert metrics["f1_negative_positive"] == pytest.approx(0.5)
    swapped = evaluate(np.array([-1.0, -1.0, -1.0, 1.0]), np.array([-1.0, -1.0, 1.0, 1.0]), MOSI)
    # Negatives: F1 4/5 over three labels. Positives: F1 2/3 over one.
    assert swapped["f1_negative_positive"] == pytest.approx((3 * 4 / 5 + 2 / 3) / 4)


def test_sims_values_worked_out_by_hand():
    labels = np.array([-1.0, -0.2, 0.0, 0.1, 0.8])
    predictions = np.array([-2.0, -0.8, 0.1, 0.2, 0.7])
    metrics = evaluate(labels, predictions, SIMS)
    assert metrics["mae"] == pytest.approx((0.0 + 0.6 + 0.1 + 0.1 + 0.1) / 5)
    # Bins of three: 0 0 1 1 2 and 0 0 1 2 2. Bins of five: 0 1 2 2 4 and 0 0 2 3 3.
    assert metrics["acc3"] == pytest.approx(4 / 5)
    assert metrics["acc5"] == pytest.approx(2 / 5)
    # Zero counts as negative: 0 0 0 1 1 and 0 0 1 1 1.
    assert metrics["acc2_nonpositive_positive"] == pytest.approx(4 / 5)


def test_the_range_of_the_labels_decides_nothing():
    labels, predictions = np.array([-0.9, 0.0, 0.9]), np.array([-1.5, 0.2, 1.2])
    assert evaluate(labels, predictions, PLAIN)["mae"] == pytest.approx(1.1 / 3)
    assert evaluate(labels, predictions, SIMS)["mae"] == pytest.approx(0.4 / 3)
    assert evaluate(labels, predictions, MOSI)["acc7"] == pytest.approx(2 / 3)
    assert metric_names("regression") == ("mae", "pearson", "rmse", "ccc")


def test_labels_that_hardly_use_the_scale_are_told():
    narrow = np.r_[np.full(97, 0.3), [-0.6, 0.8, 1.2]]
    assert largest_classes(narrow, MOSI) == {
        "acc7": 0.97,
        "acc5": 0.97,
        "acc2_negative_nonnegative": 0.99,
        "acc2_negative_positive": 0.99,
    }
    (line,) = lopsided(narrow, MOSI, "valid")
    assert line.startswith(
        "valid: one class holds nearly all labels (97.0% of acc7, 97.0% of acc5, 99.0% of acc2"
    )
    assert lopsided(narrow, PLAIN, "valid") == []
    assert lopsided(np.linspace(-3, 3, 50), MOSI, "valid") == []
    assert largest_classes(np.zeros(3), MOSI)["acc2_negative_positive"] == 1.0


@pytest.mark.parametrize(("target", "low", "high"), [(MOSI, -3, 3), (SIMS, -1, 1), (PLAIN, 0, 24)])
def test_perfect_predictions_and_names(target, low, high):
    labels = np.linspace(low, high, 9)
    metrics = evaluate(labels, labels, target)
    assert tuple(metrics) == metric_names(target.suite)
    assert metrics.pop("mae") == metrics.pop("rmse", 0.0) == 0.0
    assert list(metrics.values()) == pytest.approx([1.0] * len(metrics))


@pytest.mark.parametrize("constant", [0.0, 0.1, -3.0])
def test_constant_predictions_have_pearson_zero(constant):
    assert evaluate(np.array([-1.0, 0.5, 2.0]), np.full(3, constant), MOSI)["pearson"] == 0.0


def test_no_polar_row_gives_zero_and_not_nan():
    metrics = evaluate(np.zeros(3), np.array([1.0, -1.0, 0.0]), MOSI)
    assert metrics["acc2_negative_positive"] == metrics["f1_negative_positive"] == 0.0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-3, 3, width=32), st.floats(-1e6, 1e6, width=32)), min_size=1, max_size=20),
    st.sampled_from([MOSI, SIMS, PLAIN]),
)
def test_finite_predictions_give_finite_metrics_without_warnings(rows, target):
    labels, predictions = np.array(rows, np.float32).T
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = evaluate(labels, predictions, target)
    assert all(np.isfinite(value) for value in metrics.values())
    accuracies = [value for name, value in metrics.items() if name.startswith(("acc", "f1"))]
    assert all(0.0 <= value <= 1.0 for value in accuracies)
