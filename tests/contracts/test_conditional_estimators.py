"""What every registered estimator of conditional information promises."""

import itertools

import pytest
import torch
from conditional_cases import CASES, READINGS_OF_ONE, TRUTH, build, chain, fit_step, fitted, reading

from mmsa.errors import DataError
from mmsa.information import CONDITIONAL_ESTIMATORS, Triples

pytestmark = pytest.mark.long

EVERY = pytest.mark.parametrize("case", CASES)
IN_NATS = pytest.mark.parametrize(
    "case", [case for case in CASES if CONDITIONAL_ESTIMATORS[CASES[case]["name"]].spec.unit]
)
BANK = chain(50, 1)


def with_gradient(triples):
    return Triples(*(value.clone().requires_grad_() for value in triples))


def gradients(triples):
    return torch.cat([value.grad for value in triples])


def test_every_registered_conditional_estimator_has_a_case():
    assert {config["name"] for config in CASES.values()} == set(CONDITIONAL_ESTIMATORS)


@IN_NATS
def test_reading_finds_the_information_of_the_chain(case):
    assert reading(fitted(case)) == pytest.approx(TRUTH, abs=0.2)


@IN_NATS
def test_no_information_is_left_given_the_middle_of_the_chain(case):
    assert reading(fitted(case, markov=True), markov=True) == pytest.approx(0.0, abs=0.1)


def test_mimrl_code_is_no_information():
    """Its formula tends to 1 + half the Jeffreys divergence, hence to 1 without dependence."""
    assert reading(fitted("cmi_knn_mimrl_code", markov=True), markov=True) == pytest.approx(1.0, abs=0.1)
    assert reading(fitted("cmi_knn_mimrl_code")) > 2 * TRUTH


@pytest.mark.parametrize("case", READINGS_OF_ONE)
def test_readings_of_the_neighbour_classifier_are_trained_as_it_is(case):
    """Three steps lead to the very same weights and draws."""
    trained = []
    for name in ("cmi_knn", case):
        estimator = build(name)
        optimiser = torch.optim.SGD(estimator.parameters(), lr=0.05)
        for seed in range(3):
            optimiser.zero_grad()
            triples = chain(16, seed)
            inner = estimator.inner_loss(triples, BANK)
            (estimator(triples, BANK).loss if inner is None else inner).backward()
            optimiser.step()
        trained.append(estimator.state_dict())
    torch.testing.assert_close(*trained, rtol=0, atol=0)


@EVERY
def test_value_does_not_depend_on_the_order_of_the_batch(case):
    estimator, triples = build(case).eval(), chain(16, 2)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(3))
    shuffled = Triples(*(value[order] for value in triples))
    expected = estimator(triples, BANK).monitor.item()
    assert estimator(shuffled, BANK).monitor.item() == pytest.approx(expected, abs=1e-5)


@EVERY
def test_half_precision_gives_the_value_of_single_precision(case):
    estimator = build(case).eval()
    half = Triples(*(value.bfloat16() for value in chain(16, 2)))
    single = Triples(*(value.float() for value in half))
    value = estimator(half, Triples(*(part.bfloat16() for part in BANK)))
    expected = estimator(single, Triples(*(part.bfloat16().float() for part in BANK)))
    assert value.monitor.item() == pytest.approx(expected.monitor.item(), abs=1e-6)


@EVERY
def test_any_batch_gives_finite_values_and_gradients(case):
    for scale, count in itertools.product((0.0, 1.0, 100.0), (2, 9)):
        triples = with_gradient(Triples(*(scale * value for value in chain(count, 2))))
        bank = Triples(*(scale * value for value in BANK))
        value = build(case)(triples, bank)
        value.loss.backward()
        assert torch.isfinite(torch.stack([value.loss, value.monitor])).all(), (scale, count)
        assert torch.isfinite(gradients(triples)).all(), (scale, count)
        assert value.monitor.item() <= value.ceiling, (scale, count)


@EVERY
def test_one_sample_and_mismatched_inputs_are_refused(case):
    with pytest.raises(DataError, match="at least 2"):
        build(case)(chain(1, 2), BANK)
    x, y, z = chain(8, 2)
    with pytest.raises(DataError, match="one row per sample"):
        build(case)(Triples(x, y[:-1], z), BANK)


def test_a_small_bank_is_refused():
    with pytest.raises(DataError, match="a bank of 4 samples"):
        build("cmi_knn")(chain(16, 2), chain(4, 1))


@EVERY
def test_state_is_restored(case):
    estimator, restored = build(case), build(case)
    optimiser = torch.optim.SGD(estimator.parameters(), lr=0.05)
    for seed in range(3):
        fit_step(estimator, optimiser, chain(16, seed), BANK)
    restored.load_state_dict(estimator.state_dict())
    for seed in (10, 11):
        values = []
        for one in (estimator, restored):
            triples = with_gradient(chain(16, seed))
            one(triples, BANK).loss.backward()
            values.append(gradients(triples))
        torch.testing.assert_close(*values, rtol=0, atol=0)


@EVERY
def test_loss_and_inner_loss_move_their_own_parameters(case):
    estimator, triples = build(case), with_gradient(chain(16, 2))
    estimator(triples, BANK).loss.backward()
    assert all(parameter.grad is None for parameter in estimator.inner_parameters())
    assert all(parameter.grad is not None for parameter in estimator.critic_parameters())
    estimator.zero_grad()
    inner = estimator.inner_loss(chain(16, 2), BANK)
    assert (inner is not None) is bool(estimator.inner_parameters())
    if inner is not None:
        inner.backward()
        assert all(parameter.grad is not None for parameter in estimator.inner_parameters())
        assert all(parameter.grad is None for parameter in estimator.critic_parameters())
