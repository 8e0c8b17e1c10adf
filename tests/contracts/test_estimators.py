"""What every registered information estimator promises."""

import math

import pytest
import torch
from estimator_cases import CASES, build, correlated, fit_step, fitted, reading

from mmsa.errors import DataError
from mmsa.information import ESTIMATORS, GradientNormaliser
from mmsa.information.score_estimators import ScoreEstimator

EVERY = pytest.mark.parametrize("case", CASES)


def cases(*roles, unit=None, scores=None):
    chosen = []
    for case, config in CASES.items():
        entry = ESTIMATORS[config["name"]]
        fits = entry.spec.role in roles and (unit is None or entry.spec.unit == unit)
        if fits and (scores is None or issubclass(entry, ScoreEstimator) is scores):
            chosen.append(case)
    return pytest.mark.parametrize("case", chosen)


LEARNED = cases("loss", "penalty")
IN_NATS = cases("loss", "penalty", "measure", unit="nat")
ON_SCORES = cases("loss", scores=True)


def pairs(rho=0.5, count=16, seed=0):
    return correlated(rho, count, torch.Generator().manual_seed(seed))


def test_every_registered_estimator_has_a_case():
    assert {config["name"] for config in CASES.values()} == set(ESTIMATORS)


@EVERY
def test_value_does_not_depend_on_the_order_of_the_batch(case):
    estimator = build(case).eval()
    x, y = pairs()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(3))
    assert estimator(x[order], y[order]).monitor.item() == pytest.approx(
        estimator(x, y).monitor.item(), abs=1e-5
    )


@LEARNED
def test_half_precision_gives_the_value_of_single_precision(case):
    estimator = build(case).eval()
    for autocast in (False, True):
        x, y = (value.bfloat16().requires_grad_() for value in pairs())
        expected = estimator(x.float(), y.float())
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            value = estimator(x, y)
        value.loss.backward()
        assert torch.isfinite(torch.cat([x.grad, y.grad])).all()
        assert value.loss.dtype == torch.float32
        assert value.monitor.item() == pytest.approx(expected.monitor.item(), rel=0.05, abs=0.05)


@LEARNED
def test_the_smallest_batch_gives_finite_values_and_gradients(case):
    x, y = (value.requires_grad_() for value in pairs(count=2))
    estimator = build(case)
    value = estimator(x, y)
    value.loss.backward()
    assert torch.isfinite(torch.stack([value.loss, value.monitor])).all()
    assert torch.isfinite(torch.cat([x.grad, y.grad])).all()
    assert value.monitor.item() <= value.ceiling + 1e-6


@EVERY
def test_one_pair_is_refused(case):
    with pytest.raises(DataError, match="at least"):
        build(case)(*pairs(count=1))


@EVERY
def test_mismatched_inputs_are_refused(case):
    x, y = pairs()
    with pytest.raises(DataError, match="one row per sample"):
        build(case)(x, y[:-1])


@IN_NATS
def test_a_constant_gives_no_information(case):
    estimator = fitted(case, 0.0)
    _, y = pairs(count=256)
    assert estimator(torch.full_like(y, 0.3), y).monitor.item() == pytest.approx(0.0, abs=0.15)


@LEARNED
def test_constants_on_both_sides_give_finite_values_and_gradients(case):
    x, y = torch.full((16, 2), 0.3, requires_grad=True), torch.full((16, 2), -0.7, requires_grad=True)
    value = build(case)(x, y)
    value.loss.backward()
    assert torch.isfinite(torch.stack([value.loss, value.monitor])).all()
    assert torch.isfinite(torch.cat([x.grad, y.grad])).all()


@IN_NATS
def test_independent_inputs_give_no_information(case):
    assert reading(fitted(case, 0.0), 0.0) == pytest.approx(0.0, abs=0.1)


TRUTH = -math.log(1 - 0.9**2)
TOO_SMALL = {
    "infonce/bilinear": 1.2,  # no critic of one product is the log ratio of two correlated pairs
    "jsd_lb": 0.4,  # what it gives up for its direction
    "flo": 0.35,  # of the same training, with a second head
    "ksg": 0.4,  # neighbours in 64 rows
}
"""By how much a reading may lie below the truth, where that is more than a tenth of a nat."""
BEYOND = {"lower": TRUTH + 0.1, "plugin": TRUTH + 0.3, "surrogate": math.log(2), "upper": math.inf}
# CLUB's own limit is not the information but half of the Jeffreys divergence on top of it.
UPPER = {"club": 2 * 0.9**2 / (1 - 0.9**2), "l1out": TRUTH + 0.15}


@IN_NATS
def test_reading_grows_with_the_correlation_and_respects_its_kind(case):
    readings = {rho: reading(fitted(case, rho), rho) for rho in (0.0, 0.6, 0.9)}
    assert readings[0.0] < readings[0.6] < readings[0.9]
    kind = fitted(case, 0.9).spec.kind
    least = 0.3 if kind == "surrogate" else TRUTH - TOO_SMALL.get(case, 0.1)
    assert least <= readings[0.9] <= BEYOND[kind]
    assert (kind != "upper") or readings[0.9] == pytest.approx(UPPER[case], rel=0.15)


@cases("loss", "penalty", unit="nat")
def test_loss_wants_dependence_and_penalty_wants_independence(case):
    estimator = fitted(case, 0.9)
    x, y = pairs(rho=0.9, count=64)
    apart, together = estimator(x, y.roll(1, 0)).loss, estimator(x, y).loss
    assert (together < apart).item() is (estimator.spec.role == "loss")


@cases("measure")
def test_a_measure_has_no_gradient(case):
    x, y = (value.requires_grad_() for value in pairs(count=64))
    assert not build(case)(x, y).loss.requires_grad


SCORES = {
    "separated": 200 * torch.eye(6) - 100,
    "inverted": 100 - 200 * torch.eye(6),
    "high": torch.full((6, 6), 100.0),
    "low": torch.full((6, 6), -100.0),
    "mixed": 200 * torch.randint(2, (6, 6), generator=torch.Generator().manual_seed(0)) - 100.0,
}


@ON_SCORES
def test_extreme_scores_give_finite_gradients_below_the_ceiling(case, monkeypatch):
    estimator = build(case)
    for pattern, extreme in SCORES.items():
        scores = extreme.clone().requires_grad_()
        monkeypatch.setattr(estimator, "scores", lambda x, y, scores=scores: scores)
        value = estimator(*pairs(count=6))
        value.loss.backward()
        assert torch.isfinite(torch.stack([value.loss, value.monitor])).all(), pattern
        assert torch.isfinite(scores.grad).all(), pattern
        assert value.monitor.item() <= estimator.spec.ceiling(6) + 1e-4, pattern


@ON_SCORES
def test_blocks_of_rows_reduce_as_declared(case, monkeypatch):
    estimator = build(case).double().eval()
    x, y = (value.double() for value in pairs(count=6))
    first, second = 3 * torch.randn(2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    upper = (torch.arange(6) < 3)[:, None]

    def loss(scores):
        monkeypatch.setattr(estimator, "scores", lambda x, y: scores)
        return estimator(x, y).loss.item()

    mixed = loss(torch.where(upper, first, second)) + loss(torch.where(upper, second, first))
    is_mean = mixed == pytest.approx(loss(first) + loss(second), abs=1e-9)
    declared = estimator.spec.reducible
    assert is_mean or declared != "mean"
    assert not is_mean or declared != "logmeanexp"


@LEARNED
def test_a_normalised_loss_has_gradients_of_unit_size_whatever_the_batch(case):
    for count in (16, 64):
        estimator, normaliser = fitted(case, 0.6).train(), GradientNormaliser()
        squares = []
        for seed in range(5):
            x, y = (value.requires_grad_() for value in pairs(0.6, count, seed))
            normaliser(estimator(x, y).loss, (x, y)).backward()
            squares.append(count * (x.grad.square().sum() + y.grad.square().sum()).item())
        fitted(case, 0.6).eval()
        assert 0.25 < sum(squares) / len(squares) < 4


@cases("loss", "penalty", scores=False)
def test_extreme_inputs_give_finite_gradients(case):
    x, y = (100 * value for value in pairs())
    x, y = x.requires_grad_(), y.requires_grad_()
    value = build(case)(x, y)
    value.loss.backward()
    assert torch.isfinite(torch.stack([value.loss, value.monitor])).all()
    assert torch.isfinite(torch.cat([x.grad, y.grad])).all()


@EVERY
def test_reading_stays_below_the_ceiling_of_identical_inputs(case):
    x, _ = pairs(count=32)
    value = fitted(case, 0.9)(x, x.clone())
    assert value.monitor.item() <= value.ceiling + 1e-5
    assert value.ceiling <= ESTIMATORS[CASES[case]["name"]].spec.ceiling(32) + 1e-9


@LEARNED
def test_state_is_restored(case):
    estimator, restored = build(case), build(case)
    optimiser = torch.optim.SGD(estimator.parameters(), lr=0.1)
    for seed in range(3):
        fit_step(estimator, optimiser, *pairs(seed=seed))
    restored.load_state_dict(estimator.state_dict())
    for seed in (10, 11):
        values = []
        for one in (estimator, restored):
            x, y = (value.requires_grad_() for value in pairs(seed=seed))
            value = one(x, y)
            value.loss.backward()
            values.append((value.monitor, x.grad, y.grad))
        for first, second in zip(*values, strict=True):
            torch.testing.assert_close(first, second, rtol=0, atol=0)


@LEARNED
def test_loss_never_moves_inner_parameters_and_inner_loss_moves_no_other(case):
    estimator = build(case)
    x, y = pairs()
    loss = estimator(x.requires_grad_(), y.requires_grad_()).loss
    loss.backward()
    assert all(parameter.grad is None for parameter in estimator.inner_parameters())
    assert all(parameter.grad is not None for parameter in estimator.critic_parameters())
    estimator.zero_grad()
    inner = estimator.inner_loss(x.detach(), y.detach())
    assert (inner is not None) is bool(estimator.inner_parameters())
    if inner is not None:
        inner.backward()
        assert all(parameter.grad is not None for parameter in estimator.inner_parameters())
        assert all(parameter.grad is None for parameter in estimator.critic_parameters())
