"""What every registered surrogate promises."""

import pytest
import torch
from surrogate_cases import CASES, build

from mmsa.errors import DataError
from mmsa.information import ESTIMATORS
from mmsa.information.surrogates import SURROGATES
from mmsa.testing.estimators import correlated

EVERY = pytest.mark.parametrize("case", CASES)


def pairs(rho=0.5, count=16, seed=0):
    return correlated(rho, count, torch.Generator().manual_seed(seed))


def test_every_registered_surrogate_has_a_case_and_none_is_an_estimator():
    assert set(CASES) == set(SURROGATES)
    assert not set(SURROGATES) & set(ESTIMATORS)
    assert all(SURROGATES[name].spec.unit is None for name in SURROGATES)


@EVERY
def test_value_does_not_depend_on_the_order_of_the_batch(case):
    x, y = pairs()
    order = torch.randperm(16, generator=torch.Generator().manual_seed(3))
    shuffled, straight = build(case)(x[order], y[order]), build(case)(x, y)
    assert shuffled.monitor.item() == pytest.approx(straight.monitor.item(), abs=1e-6)


@EVERY
@pytest.mark.parametrize(
    "change",
    [lambda v: v, lambda v: 0 * v, lambda v: 100 * v, lambda v: v.bfloat16()],
    ids=["plain", "constant", "large", "bf16"],
)
@pytest.mark.parametrize("count", [4, 16])
def test_value_and_gradient_are_finite(case, change, count):
    inputs = [value.requires_grad_() for value in pairs(count=count)]
    value = build(case)(*(change(one) for one in inputs))
    value.loss.backward()
    assert value.loss.dtype == torch.float32
    assert torch.isfinite(value.loss)
    assert value.monitor.item() <= value.ceiling + 1e-6
    assert torch.isfinite(torch.cat([one.grad for one in inputs])).all()


@EVERY
def test_too_small_a_batch_is_refused(case):
    with pytest.raises(DataError, match="at least"):
        build(case)(*pairs(count=1))


@pytest.mark.parametrize("case", ["mmd", "cmd", "coral"])
def test_distances_need_one_space_and_ignore_the_pairing(case):
    with pytest.raises(DataError, match="one space"):
        build(case, 2, 3)
    x, y = pairs()
    paired, unpaired = build(case)(x, y).monitor.item(), build(case)(x, y.flip(0)).monitor.item()
    assert unpaired == pytest.approx(paired, rel=1e-5, abs=1e-6)
    moved = [build(case)(x, x * scale).monitor.item() for scale in (1.0, 1.5, 3.0)]
    assert moved[0] < moved[1] < moved[2]
    assert build(case)(x, y).loss > 0 or case == "mmd"


@pytest.mark.parametrize("case", ["hsic", "cka"])
def test_dependence_grows_with_correlation_and_vanishes_without(case):
    readings = [build(case)(*pairs(rho, 2000)).monitor.item() for rho in (0.0, 0.5, 0.9)]
    assert readings == sorted(readings)
    assert readings[0] == pytest.approx(0.0, abs=2e-3)


def test_hsic_has_no_bias():
    values = torch.stack([build("hsic")(*pairs(0.0, 10, seed)).monitor for seed in range(300)])
    assert values.mean().item() == pytest.approx(0.0, abs=3 * values.std().item() / 300**0.5)
    assert values.min() < 0


def test_roles_sign_the_loss():
    x, y = pairs(0.9, 200)
    for case in CASES:
        value = build(case)(x, y)
        sign = 1 if SURROGATES[case].spec.role == "penalty" else -1
        assert value.loss.item() == sign * value.monitor.item()
