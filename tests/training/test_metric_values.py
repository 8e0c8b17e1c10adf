"""All metrics against scikit-learn and published formulas, and their weights against repeated rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from mmsa.data.target_spec import SUITES, TargetSpec
from mmsa.training.metrics import evaluate, metric_names, metrics_of, weighted_metrics
from mmsa.training.row_weights import RowWeights

TARGETS = {
    target.suite: target
    for target in (
        TargetSpec("y", low=-3.0, high=3.0, suite="mosi"),
        TargetSpec("y", low=-1.0, high=1.0, suite="sims"),
        TargetSpec("y", low=0.0, high=7.0),
        TargetSpec("y", low=0.0, high=24.0, threshold=10.0, suite="phq8"),
        TargetSpec("y", "ordinal", low=1.0, high=4.0),
        TargetSpec("y", "binary"),
        TargetSpec("y", "multiclass", classes=("a", "b", "c", "d")),
        TargetSpec("y", "multilabel", classes=("a", "b", "c")),
    )
}


def draw(target: TargetSpec, rng: np.random.Generator, num_rows: int) -> tuple[Any, Any]:
    """Truth and output with ties and, in small splits, absent classes."""
    if target.kind == "multiclass":
        output = rng.dirichlet(np.ones(4), num_rows)
        return rng.integers(0, 4, num_rows).astype(np.float32), output.astype(np.float32)
    if target.kind == "multilabel":
        truth = rng.random((num_rows, 3)) < (0.1, 0.5, 0.9)
        return truth.astype(np.float32), rng.random((num_rows, 3)).round(1).astype(np.float32)
    if target.kind == "binary":
        truth = rng.random(num_rows) < 0.3
        return truth.astype(np.float32), rng.random(num_rows).round(1).astype(np.float32)
    low, high = target.scale
    labels = rng.uniform(low, high, num_rows)
    labels = labels.round(0 if target.kind == "ordinal" or rng.random() < 0.5 else 1)
    output = labels * rng.uniform(-0.5, 1.5) + rng.normal(0, (high - low) / 6, num_rows)
    return labels.astype(np.float32), output.round(1).astype(np.float32)


def ccc_of_avec(truth: Any, output: Any) -> float:
    """As the baseline of AVEC 2019 writes it: population variances, and the squared gap of the means."""
    x, y = truth.astype(np.float64), output.astype(np.float64)
    below = x.var() + y.var() + (x.mean() - y.mean()) ** 2
    return float(2 * ((x - x.mean()) * (y - y.mean())).mean() / below) if below else 0.0


def classes_of(target: TargetSpec, truth: Any, output: Any) -> tuple[Any, Any]:
    if target.kind == "ordinal":
        return truth, np.rint(np.clip(output, target.low, target.high))
    if target.kind == "multiclass":
        return truth, output.argmax(axis=1)
    edge = 0.5 if target.threshold is None else target.threshold
    return truth >= edge, output >= edge


def f1(average: str) -> Callable[[Any, Any], float]:
    return lambda truth, told: sk.f1_score(truth, told, average=average, zero_division=0.0)


def auc(truth: Any, output: Any) -> float:
    return sk.roc_auc_score(truth, output) if len(np.unique(truth)) == 2 else 0.5


def mosei_accuracy(truth: Any, told: Any) -> float:
    """(TP N / P + TN) / 2N of every label that has positives and negatives, averaged."""
    parts = []
    for y, z in zip(truth.T, told.T, strict=True):
        positives, negatives = y.sum(), (~y).sum()
        if positives and negatives:
            hits = (y & z).sum() * negatives / positives + (~y & ~z).sum()
            parts.append(hits / (2 * negatives))
    return float(np.mean(parts)) if parts else 0.0


def by_label(measure: Callable[[Any, Any], float]) -> Callable[[Any, Any], float]:
    return lambda truth, told: float(np.mean([measure(*pair) for pair in zip(truth.T, told.T, strict=True)]))


def expected(name: str, target: TargetSpec, truth: Any, output: Any) -> float:
    if name in ("mae", "rmse", "ccc", "pearson"):
        if target.suite == "sims":
            truth, output = truth.clip(-1, 1), output.clip(-1, 1)
        if name == "pearson":
            flat = np.ptp(truth) == 0 or np.ptp(output) == 0
            return 0.0 if flat else float(np.corrcoef(truth.astype(float), output.astype(float))[0, 1])
        return {
            "mae": sk.mean_absolute_error,
            "rmse": sk.root_mean_squared_error,
            "ccc": ccc_of_avec,
        }[name](truth.astype(float), output.astype(float))
    if target.kind == "multilabel":
        y, z = truth >= 0.5, output >= 0.5
        measures = {
            "weighted_accuracy": lambda: mosei_accuracy(y, z),
            "label_accuracy": lambda: 1 - sk.hamming_loss(y, z),
            "f1_macro": lambda: f1("macro")(y, z),
            "f1_weighted": lambda: by_label(f1("weighted"))(y, z),
            "auc": lambda: by_label(auc)(y, output),
        }
        return measures[name]()
    y, z = classes_of(target, truth, output)
    if name == "auc":
        return auc(y, output)
    return {
        "accuracy": sk.accuracy_score,
        "uar": lambda truth, told: sk.recall_score(truth, told, average="macro", labels=np.unique(truth)),
        "f1_macro": f1("macro"),
        "f1_weighted": f1("weighted"),
        "f1_positive": f1("binary"),
    }[name](y, z)


def compare(suite: str, cases: int) -> None:
    target, rng = TARGETS[suite], np.random.default_rng(1)
    # What no library has, acc7 and its like, is worked out by hand in test_metrics.py.
    by_hand = ("acc", "f1") if suite in ("mosi", "sims") else ()
    names = [name for name in metric_names(suite) if not name.startswith(by_hand)]
    for _ in range(cases):
        truth, output = draw(target, rng, int(rng.integers(2, 40)))
        found = evaluate(truth, output, target)
        for name in names:
            wanted = expected(name, target, truth, output)
            assert found[name] == pytest.approx(wanted, abs=2e-6), (name, truth, output)


@pytest.mark.filterwarnings("ignore")  # of scikit-learn on absent classes
@pytest.mark.parametrize("suite", SUITES)
def test_every_metric_equals_the_reference(suite: str) -> None:
    compare(suite, 30)


@pytest.mark.shipped
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suite", SUITES)
def test_every_metric_equals_the_reference_in_a_thousand_cases(suite: str) -> None:
    compare(suite, 1000)


@pytest.mark.parametrize("suite", SUITES)
def test_weights_equal_repeated_rows(suite: str) -> None:
    target, rng = TARGETS[suite], np.random.default_rng(2)
    for case in range(9):
        num_rows = int(rng.integers(8, 60))
        truth, output = draw(target, rng, num_rows)
        if case % 3 == 0:
            truth[0] = np.nan
        groups = np.r_[np.arange(7), rng.integers(0, 7, num_rows - 7)]
        weights = rng.multinomial(7, [1 / 7] * 7, 25)
        fast = weighted_metrics(truth, output, RowWeights(groups, weights.astype(float)), target)
        for resample, weight in enumerate(weights):
            rows = np.concatenate([np.repeat(np.flatnonzero(groups == g), n) for g, n in enumerate(weight)])
            slow = evaluate(truth[rows], output[rows], target)
            assert fast.keys() == slow.keys()
            for name, value in slow.items():
                assert fast[name][resample] == pytest.approx(value, abs=1e-9), name


@pytest.mark.parametrize("suite", SUITES)
def test_all_rows_missing_is_defined(suite: str) -> None:
    truth, output = draw(TARGETS[suite], np.random.default_rng(3), 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = evaluate(np.full_like(truth, np.nan), output, TARGETS[suite])
    assert set(metrics.values()) <= {0.0, 0.5}


def test_the_direction_is_the_metrics() -> None:
    directions = {name: metric.direction for suite in SUITES for name, metric in metrics_of(suite).items()}
    assert {name for name, direction in directions.items() if direction == "minimize"} == {"mae", "rmse"}
