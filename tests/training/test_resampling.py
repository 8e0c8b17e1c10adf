"""Metrics of resampled groups are as uncertain as they say; test_measures.py has repeated rows."""

from __future__ import annotations

import numpy as np
import pytest
from scored_rows import SCALES, sample

from mmsa.training.metrics import evaluate
from mmsa.training.resampling import paired_differences, standard_errors


def test_the_standard_error_of_independent_rows_is_that_of_their_mean() -> None:
    labels, predictions, _ = sample(SCALES[2], num_rows=400)
    alone, together = (
        standard_errors(labels, predictions, groups, SCALES[2])["mae"]
        for groups in (np.arange(400).astype(str), np.full(400, "one video"))
    )
    assert alone == pytest.approx(np.abs(predictions - labels).std() / 20, rel=0.15)
    assert together == pytest.approx(alone, rel=0.15)  # of one group nothing can be said but by its rows


def test_rows_that_are_alike_count_once() -> None:
    labels, predictions, _ = sample(SCALES[2], num_rows=50)
    groups = np.arange(50).astype(str)
    once = standard_errors(labels, predictions, groups, SCALES[2])
    tripled = standard_errors(*(np.repeat(values, 3) for values in (labels, predictions, groups)), SCALES[2])
    assert tripled == pytest.approx(once)


def test_a_paired_difference_leaves_out_what_is_hard_for_both() -> None:
    labels, predictions, _ = sample(SCALES[2], num_rows=200)
    groups = np.repeat(np.arange(50), 4).astype(str)
    off = labels + 1.1 * (predictions - labels)  # errors of the same rows, a tenth larger
    found = paired_differences(labels, off, predictions, groups, SCALES[2])
    for name, difference in found.items():
        expected = evaluate(labels, off, SCALES[2])[name] - evaluate(labels, predictions, SCALES[2])[name]
        assert difference.value == pytest.approx(expected, abs=1e-9), name
    mae, unpaired = found["mae"], standard_errors(labels, predictions, groups, SCALES[2])["mae"]
    assert 0 < mae.low < mae.value < mae.high
    assert mae.high - mae.low < unpaired
    same = paired_differences(labels, off, off, groups, SCALES[2])["mae"]
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
