import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.covariance import ledoit_wolf
from torch.distributions import MultivariateNormal, Normal

from mmsa.information.densities import (
    class_gaussian_entropy,
    gaussian_entropy,
    gaussian_log_density,
    gaussian_log_density_mmim_code,
    ledoit_wolf_shrinkage,
)


def test_gaussian_log_density_is_the_full_density():
    y, mean, log_variance = torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(0)).unbind()
    expected = Normal(mean, (0.5 * log_variance).exp()).log_prob(y).sum(1)
    torch.testing.assert_close(gaussian_log_density(y, mean, log_variance), expected)


def test_mmim_code_form_rewards_a_large_variance():
    y, mean = torch.ones(1, 2), torch.zeros(1, 2)
    values = [
        gaussian_log_density_mmim_code(y, mean, torch.full((1, 2), v)).item() for v in (0.0, 10.0, 50.0)
    ]
    assert values[0] == pytest.approx(-1.0)
    assert values == sorted(values)
    assert values[-1] == pytest.approx(0.0, abs=1e-6)


def test_ledoit_wolf_agrees_with_sklearn():
    features = np.random.default_rng(0).normal(size=(20, 6)) * np.arange(1, 7)
    centred = torch.from_numpy(features - features.mean(0))
    assert ledoit_wolf_shrinkage(centred, torch.tensor(20.0)).item() == pytest.approx(
        ledoit_wolf(features)[1], rel=1e-9
    )


def test_gaussian_entropy_approaches_the_truth():
    covariance = torch.tensor([[2.0, 0.8], [0.8, 1.0]])
    truth = MultivariateNormal(torch.zeros(2), covariance)
    torch.manual_seed(0)
    assert gaussian_entropy(truth.sample((20_000,))).item() == pytest.approx(truth.entropy().item(), abs=0.02)


def test_entropy_without_shrinkage_is_the_population_log_determinant():
    features = torch.randn(40, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    covariance = torch.cov(features.T, correction=0)
    expected = 0.5 * torch.logdet(2 * math.pi * math.e * covariance)
    assert gaussian_entropy(features, shrinkage=0.0).item() == pytest.approx(expected.item(), abs=1e-6)


def test_class_entropy_halves_each_class_and_ignores_the_rest():
    features = torch.randn(30, 3, generator=torch.Generator().manual_seed(2))
    positive, negative = torch.zeros(2, 30, dtype=torch.bool).unbind()
    positive[:12], negative[12:25] = True, True
    entropy, skipped = class_gaussian_entropy(features, positive, negative)
    expected = 0.5 * (gaussian_entropy(features[:12]) + gaussian_entropy(features[12:25]))
    assert entropy.item() == pytest.approx(expected.item(), abs=1e-6)
    assert skipped.item() == 0


@pytest.mark.parametrize(("positives", "skipped"), [(3, 1), (4, 0), (0, 1)])
def test_a_class_needs_more_samples_than_features(positives, skipped):
    features = torch.randn(20, 3, generator=torch.Generator().manual_seed(3), requires_grad=True)
    positive = torch.arange(20) < positives
    entropy, count = class_gaussian_entropy(features, positive, ~positive)
    entropy.backward()
    assert count.item() == skipped
    assert bool(features.grad[positive].abs().sum() > 0) is (positives == 4)


def test_both_classes_skipped_give_zero_and_zero_gradient():
    features = torch.randn(6, 3, requires_grad=True)
    positive = torch.arange(6) < 3
    entropy, skipped = class_gaussian_entropy(features, positive, ~positive)
    entropy.backward()
    assert (entropy.item(), skipped.item()) == (0.0, 2.0)
    assert not features.grad.any()


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float32, (9, 3), elements=st.floats(-(2.0**100), 2.0**100, width=32)),
    st.sampled_from(["ledoit_wolf", 0.0, 0.1]),
)
def test_entropy_and_gradient_are_finite_for_any_finite_input(array, shrinkage):
    features = torch.tensor(array, requires_grad=True)
    positive = torch.arange(9) % 2 == 0
    entropy, _ = class_gaussian_entropy(features, positive, ~positive, shrinkage=shrinkage)
    entropy.backward()
    assert torch.isfinite(entropy)
    assert torch.isfinite(features.grad).all()


def test_a_constant_column_has_a_finite_entropy():
    features = torch.randn(10, 3)
    features[:, 1] = 5.0
    assert torch.isfinite(gaussian_entropy(features, shrinkage=0.0))
