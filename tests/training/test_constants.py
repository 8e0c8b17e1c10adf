from __future__ import annotations

import numpy as np
import pytest

from mmsa.training.constants import Constant, best_constants, constant_metrics
from mmsa.training.metrics import evaluate


def test_each_constant_is_what_that_prediction_scores():
    train = np.array([-2.0, -1.5, -1.0, 0.6, 0.9, 1.0, 1.1, 3.0], np.float32)
    valid = np.array([-3.0, 0.0, 1.0, 1.2, 2.0], np.float32)
    found = constant_metrics(train, valid, "mosi")
    for name, constant in (("median", 0.75), ("mean", train.mean())):
        assert found[name] == evaluate(valid, np.full(5, constant), "mosi")
    # four of eight train labels are rounded to 1; five of the eight are positive
    assert found["majority"]["acc7"] == 2 / 5
    assert found["majority"]["acc2_negative_positive"] == 3 / 4
    assert found["majority"]["f1_negative_positive"] == pytest.approx(3 / 4 * 6 / 7)


def test_the_best_constant_is_the_lowest_error_and_the_highest_of_the_rest():
    constants = {"median": {"mae": 0.5, "acc2_x": 0.5}, "mean": {"mae": 0.6}, "majority": {"acc2_x": 0.7}}
    assert best_constants(constants) == {"mae": Constant("median", 0.5), "acc2_x": Constant("majority", 0.7)}


def test_a_scale_without_classes_has_no_majority():
    assert set(constant_metrics(np.arange(5.0), np.arange(3.0), "regression")) == {"median", "mean"}
