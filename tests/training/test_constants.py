from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmsa.data.target_spec import TargetSpec
from mmsa.training.constants import Constant, best_constants, constant_metrics
from mmsa.training.metrics import evaluate

MOSI = TargetSpec("label", suite="mosi")


def test_each_constant_is_what_that_prediction_scores():
    train = np.array([-2.0, -1.5, -1.0, 0.6, 0.9, 1.0, 1.1, 3.0], np.float32)
    valid = np.array([-3.0, 0.0, 1.0, 1.2, 2.0], np.float32)
    found = constant_metrics(train, valid, MOSI)
    for name, constant in (("median", 0.75), ("mean", train.mean())):
        assert found[name] == evaluate(valid, np.full(5, constant), MOSI)
    # four of eight train labels are rounded to 1; five of the eight are positive
    assert found["majority"]["acc7"] == 2 / 5
    assert found["majority"]["acc2_negative_positive"] == 3 / 4
    assert found["majority"]["f1_negative_positive"] == pytest.approx(3 / 4 * 6 / 7)


def test_the_best_constant_is_the_lowest_error_and_the_highest_of_the_rest():
    constants = {"median": {"mae": 0.5, "acc2_x": 0.5}, "mean": {"mae": 0.6}, "majority": {"acc2_x": 0.7}}
    assert best_constants(constants) == {"mae": Constant("median", 0.5), "acc2_x": Constant("majority", 0.7)}


def test_a_scale_without_classes_has_no_majority():
    assert set(constant_metrics(np.arange(5.0), np.arange(3.0), TargetSpec("label"))) == {"median", "mean"}


def test_who_calls_everybody_depressed_has_an_f1() -> None:
    target = TargetSpec("score", low=0.0, high=24.0, threshold=10.0, suite="phq8")
    train = np.array([0, 2, 3, 5, 9, 11, 14], np.float32)
    valid = np.array([1, 4, 9, 10, 20], np.float32)
    found = constant_metrics(train, valid, target)
    assert found["positive"]["f1_positive"] == pytest.approx(2 * 2 / (2 * 2 + 3))
    assert found["median"]["f1_positive"] == 0.0
    assert all(metrics["ccc"] == 0.0 for metrics in found.values() if "ccc" in metrics)
    assert best_constants(found)["f1_positive"].name == "positive"


@pytest.mark.parametrize(
    ("target", "train", "expected"),
    [
        (
            TargetSpec("y", "binary"),
            [0, 0, 1],
            {"majority": ("accuracy", 0.25), "positive": ("accuracy", 0.75)},
        ),
        (TargetSpec("y", "multiclass", classes=("a", "b")), [0, 0, 1], {"majority": ("accuracy", 0.25)}),
        (
            TargetSpec("y", "multilabel", classes=("a", "b")),
            [[0, 1], [0, 1], [1, 0]],
            {"majority": ("label_accuracy", 0.25), "positive": ("f1_macro", (6 / 7 + 2 / 5) / 2)},
        ),
    ],
)
def test_constants_of_classes(target: TargetSpec, train: list[int], expected: dict[str, Any]) -> None:
    labels = [[1, 0], [1, 0], [1, 1], [0, 0]] if target.kind == "multilabel" else [1, 1, 1, 0]
    found = constant_metrics(np.array(train, np.float32), np.array(labels, np.float32), target)
    assert found.keys() == expected.keys()
    for name, (metric, value) in expected.items():
        assert found[name][metric] == pytest.approx(value), name
