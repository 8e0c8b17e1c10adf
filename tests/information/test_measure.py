import json
import math
from functools import cache

import numpy as np
import pytest
import torch

from mmsa.errors import DataError
from mmsa.information import measure
from mmsa.information.distributions import BENCHMARK_40, correlated_gaussians, independent, model_f
from mmsa.information.distributions.families import family_truth, random_sign
from mmsa.measurement import Measurement

pytestmark = pytest.mark.long

FAST = {"permutations": 0, "extrapolate": False}


@cache
def small(rows):
    """All that a measurement consists of, with as few critics as it can have."""
    pairs = BENCHMARK_40["student-identity-2-2-1"].sample(rows)
    return measure(*pairs, folds=2, permutations=1, seed=3)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("name", "estimator", "error"),
    [
        ("1v1-additive-0.1", "ksg", 0.12),
        ("swissroll_x-normal_cdf-1v1-normal-0.75", "ksg", 0.1),
        pytest.param("multinormal-sparse-5-5-2-2.0", "copula", 0.12, marks=pytest.mark.slow),
        pytest.param("student-identity-2-2-1", "calibrated", 0.12, marks=pytest.mark.slow),
    ],
)
def test_information_of_benchmark_tasks(name, estimator, error):
    truth = BENCHMARK_40[name]
    measurement = measure(*truth.sample(1000), **FAST)
    assert measurement.estimator == estimator
    assert measurement.value == pytest.approx(truth.information, abs=error)
    assert measurement.low < measurement.value < measurement.high
    assert measurement.status == "untested"


def test_the_copula_is_taken_where_it_is_right():
    truth = BENCHMARK_40["multinormal-sparse-5-5-2-2.0"]
    measurement = measure(*truth.sample(300), folds=2, **FAST)
    assert measurement.estimator == "copula"
    assert measurement.value == pytest.approx(truth.information, abs=0.2)
    assert measurement.low < measurement.value < measurement.high


@pytest.mark.slow
def test_networks_find_what_the_copula_misses():
    truth = BENCHMARK_40["spiral-multinormal-sparse-3-3-2-2.0"]
    measurement = measure(*truth.sample(1000), **FAST)
    assert "warped" in measurement.parts
    assert measurement.witnesses["copula"] + 0.2 < measurement.value < truth.information + 0.1


@pytest.mark.slow
def test_one_random_sign_of_ten_pairs_is_seen():
    """No separable critic sees it: .09 to .14 of 2.68 nats were read, with the status ok."""
    truth = random_sign(10, 0.7)
    measurement = measure(*truth.sample(1000), permutations=0)
    assert truth.information == pytest.approx(2.68, abs=0.02)
    assert measurement.value == pytest.approx(truth.information, abs=0.4)
    assert measurement.low < truth.information < measurement.high < truth.information + 1.5


def test_independent_variables_stay_below_the_null():
    measurement = measure(*independent(1, 1).sample(300), extrapolate=False)
    assert measurement.status == "below_null"
    assert abs(measurement.value) < 0.05
    assert measurement.value <= measurement.null_bound
    assert 0.05 < measurement.p_value <= 1


def test_what_speakers_have_in_common_is_not_taken_for_information():
    for seed in range(3):
        generator = np.random.default_rng(seed)
        groups = np.repeat(np.arange(20), generator.integers(3, 20, 20))
        x, y = generator.standard_normal((2, 20))[:, groups] + generator.standard_normal((2, len(groups)))
        measurement = measure(x, y, groups=groups, extrapolate=False)
        assert (measurement.status, measurement.scope) == ("below_null", "within_groups")
        assert abs(measurement.value) < 0.1


def test_negative_values_are_not_clipped():
    measurement = measure(*independent(4, 4).sample(100, seed=1), folds=2, **FAST)
    assert measurement.value < 0
    assert measurement.clipped == 0.0


def test_dependence_exceeds_the_null():
    measurement = measure(*correlated_gaussians(0.5, 1).sample(300), extrapolate=False)
    assert measurement.status == "ok"
    assert measurement.value > measurement.null_bound
    assert measurement.p_value == 0.05


@pytest.mark.slow
def test_condition():
    truth = model_f(4)
    measurement = measure(*truth.sample(1000), **FAST)
    assert measurement.estimator == "difference"
    assert measurement.value == pytest.approx(truth.information, abs=0.1)
    assert measurement.dims == (1, 1, 4)


@pytest.mark.slow
def test_condition_that_explains_everything():
    z, first, second = np.random.default_rng(0).standard_normal((3, 800, 2))
    measurement = measure(z + first, z + second, z, **FAST)
    assert measurement.value == pytest.approx(0.0, abs=0.05)
    assert measure(z + first, z + second, **FAST).value > 0.2


@pytest.mark.parametrize("copy", [np.float32, np.float64])
def test_what_the_condition_says_already_is_not_read_again_in_what_rounding_leaves(copy):
    x = np.random.default_rng(0).standard_normal(100)
    measurement = measure(x, x, (2 * x + 1).astype(copy))
    assert (measurement.value, measurement.status) == (pytest.approx(0.0, abs=1e-9), "below_null")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["1v1-additive-0.1", "student-identity-2-2-1"])
def test_extrapolation_widens_the_interval(name):
    x, y = BENCHMARK_40[name].sample(150)
    without, led = (measure(x, y, folds=2, permutations=0, extrapolate=choice) for choice in (False, True))
    assert led.value == without.value
    drift = led.extrapolated - led.value
    assert drift != 0
    assert led.high - without.high == pytest.approx(abs(drift) if led.parts else max(0.0, drift))
    assert without.low - led.low == pytest.approx(max(0.0, -drift))


def test_interval_holds_both_readings_of_the_networks():
    truth = BENCHMARK_40["student-identity-2-2-1"]
    measurement = measure(*truth.sample(300), folds=2, **FAST)
    assert measurement.value == pytest.approx(truth.information, abs=0.2)
    plain, calibrated = (measurement.witnesses[name] for name in ("residual", "calibrated"))
    assert measurement.value == max(plain, calibrated)
    assert plain != calibrated
    assert "radial" in measurement.parts
    error = abs(plain - calibrated)
    assert measurement.low + error < measurement.value < measurement.high - error


@pytest.mark.slow
def test_groups_keep_critics_from_recognising_rows():
    """Six nearly equal rows of each of 60 pairs: without groups, the copies give the pairing away."""
    x, y = correlated_gaussians(0.5, 4).sample(60)
    copies = np.repeat(np.arange(60), 6)
    x = x[copies] + 0.01 * np.random.default_rng(1).standard_normal((360, 4))
    grouped, single = (measure(x, y[copies], groups=groups, **FAST) for groups in (copies, None))
    assert grouped.num_groups == 60
    assert grouped.low < 0.5 < grouped.high
    assert single.low > 3


def test_discrete_target():
    generator = np.random.default_rng(0)
    y = generator.integers(0, 2, 1000)
    flipped = np.where(generator.random(1000) < 0.1, 1 - y, y)
    truth = math.log(2) + 0.1 * math.log(0.1) + 0.9 * math.log(0.9)
    assert measure(flipped, y, **FAST).value == pytest.approx(truth, abs=0.08)


def test_too_few_rows_are_a_result():
    measurement = measure(np.arange(20.0), np.arange(20.0))
    assert (measurement.status, measurement.value, measurement.clipped) == ("too_few", None, None)
    few_groups = measure(*independent(1, 1).sample(200), groups=np.arange(200) % 5)
    assert few_groups.status == "too_few_groups"
    assert few_groups.num_groups == 5


def test_saturated():
    x = np.random.default_rng(0).standard_normal((300, 6))
    assert measure(x, x + 1e-3 * x[:, ::-1] ** 2, folds=2, **FAST).status == "saturated"


@pytest.mark.slow
def test_same_seed_same_measurement():
    assert small(100) == small.__wrapped__(100)


@pytest.mark.parametrize("rows", [100, 20])
def test_record_survives_json(rows):
    measurement = small(rows)
    content = json.loads(json.dumps(measurement.to_dict(), allow_nan=False))
    assert Measurement.from_dict(content) == measurement


def test_bits():
    measurement = small(100)
    bits = measurement.bits()
    assert bits.unit == "bit"
    assert bits.value == pytest.approx(measurement.value / math.log(2))
    assert bits.witnesses["copula"] == pytest.approx(measurement.witnesses["copula"] / math.log(2))
    assert bits.p_value == measurement.p_value
    assert bits.bits() is bits


@pytest.mark.parametrize(
    ("x", "y", "rule"),
    [
        (np.zeros(60), np.zeros(61), "one row per sample"),
        (np.array(["a"] * 60), np.zeros(60), "give numbers"),
        (np.zeros((60, 2, 2)), np.zeros(60), "3 axes"),
        (np.array([math.nan] * 60), np.zeros(60), "not finite in 60 rows"),
    ],
)
def test_arrays_that_cannot_be_measured_are_refused(x, y, rule):
    with pytest.raises(DataError, match=rule):
        measure(x, y)


@pytest.mark.slow  # the copula by itself is tried on such curves in test_copula_panel.py
def test_curves_of_two_latents_are_not_read_higher_than_they_are():
    """The copula took squares and products of latents for directions: 1.26 of .55 nats, status ok."""
    truth = family_truth("manifold", 0)
    measurement = measure(*truth.sample(600), **FAST)
    assert measurement.witnesses["copula_closed_form"] > truth.information + 0.3
    assert measurement.witnesses["copula"] < truth.information + 0.1
    assert 0.5 * truth.information < measurement.value < truth.information + 0.1
    assert measurement.low < truth.information


@pytest.mark.slow
@pytest.mark.parametrize(("family", "error"), [("heteroscedastic", 0.09), ("clayton", 0.15)])
def test_what_pairs_of_features_say_of_one_another_is_read(family, error):
    """A spread that x decides, and tails in one corner: .11 and .24 too little were read."""
    truth = family_truth(family, 0)
    measurement = measure(*truth.sample(800), **FAST)
    assert measurement.value == pytest.approx(truth.information, abs=error)
    assert measurement.low < truth.information < measurement.high
