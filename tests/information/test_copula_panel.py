"""The panel reads what the plain copula reads; its intervals hold the truth and its null is exact."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmsa.errors import DataError
from mmsa.information import gaussian_copula_information
from mmsa.information.copula_panel import CopulaPanel

NUM_GROUPS, ROWS = 60, 240


def correlated(correlation: float, seed: int, dims: int = 3, rows: int = ROWS):
    """Two Gaussians whose ``dims`` features are correlated in pairs, and their information in nats."""
    x, noise = np.random.default_rng(seed).standard_normal((2, rows, dims))
    y = correlation * x + math.sqrt(1 - correlation**2) * noise
    return x, y, -0.5 * dims * math.log1p(-(correlation**2))


def test_values_are_those_of_the_plain_copula():
    x, y, _ = correlated(0.6, seed=0)
    z = x[:, :2] + np.random.default_rng(1).standard_normal((ROWS, 2))
    panel = CopulaPanel({"x": np.exp(x), "y": y, "z": z})
    assert panel.measure("x", "y").value == pytest.approx(gaussian_copula_information(x, y), abs=1e-9)
    conditional = panel.measure("x", "y", "z").value
    assert conditional == pytest.approx(gaussian_copula_information(x, y, z), abs=1e-9)


def test_a_refit_of_the_null_is_the_measurement_of_permuted_rows():
    x, y, _ = correlated(0.6, seed=0)
    z = 0.5 * y[:, :1]
    panel = CopulaPanel({"x": x, "y": y, "z": z}, permutations=3)
    permuted = [
        CopulaPanel({"x": x, "y": y[order], "z": z}).measure("x", "y", "z").value for order in panel._orders
    ]
    assert panel.measure("x", "y", "z").null_mean == pytest.approx(np.mean(permuted), abs=1e-8)


@pytest.mark.parametrize("correlation", [0.3, 0.8])
def test_ninety_per_cent_of_the_intervals_hold_the_truth(correlation):
    held = 0
    for seed in range(60):
        x, y, truth = correlated(correlation, seed)
        measured = CopulaPanel({"x": x, "y": y}, permutations=2).measure("x", "y")
        held += measured.low <= truth <= measured.high
    assert held >= 48  # P < 1e-4 for a coverage of 0.9


def test_independent_groups_are_not_taken_for_information():
    found = 0
    for seed in range(60):
        video_x, video_y, x, y = np.random.default_rng(seed).standard_normal((4, ROWS, 4))
        groups = np.arange(ROWS) // (ROWS // NUM_GROUPS)
        sources = {"x": x + video_x[groups], "y": y + video_y[groups]}
        found += CopulaPanel(sources, groups, resamples=2).measure("x", "y").status == "ok"
    assert found <= 9  # P < 1e-3 at a rate of 0.05


def test_perfect_dependence_is_saturated_and_a_constant_tells_nothing():
    x, y, _ = correlated(0.6, seed=0)
    panel = CopulaPanel({"x": x, "copy": 2 * x, "y": y, "constant": np.ones(ROWS)})
    copied = panel.measure("x", "copy")
    assert copied.status == "saturated"
    assert copied.low <= copied.value <= copied.high
    assert panel.measure("x", "constant").status == "below_null"
    assert panel.measure("x", "y", "copy").status == "below_null"


def test_few_rows_and_few_groups_are_not_measured():
    x, y, _ = correlated(0.6, seed=0, rows=49)
    measured = CopulaPanel({"x": x, "y": y}).measure("x", "y")
    assert (measured.status, measured.value) == ("too_few", None)
    x, y, _ = correlated(0.6, seed=0)
    for groups in (np.arange(ROWS) % 9, np.zeros(ROWS)):
        assert CopulaPanel({"x": x, "y": y}, groups).measure("x", "y").status == "too_few"


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="y: give 240 rows"):
        CopulaPanel({"x": np.ones(ROWS), "y": np.ones(ROWS - 1)})
    with pytest.raises(DataError, match="finite"):
        CopulaPanel({"x": np.full(ROWS, np.nan)})
