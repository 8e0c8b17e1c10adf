import pytest
import torch

from mmsa.information import GradientNormaliser
from mmsa.information.gradients import frozen


def test_frozen_lets_gradients_through_and_keeps_them_from_parameters():
    layer = torch.nn.Linear(2, 1)
    layer.bias.requires_grad_(False)
    x = torch.randn(3, 2, requires_grad=True)
    with frozen(layer):
        layer(x).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is None
    assert (layer.weight.requires_grad, layer.bias.requires_grad) == (True, False)


def per_sample_gradient(scale, samples, normaliser):
    x = torch.randn(samples, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    normaliser(scale * x.square().sum(1).mean(), (x,)).backward()
    return (x.grad * samples).square().sum(1).mean().sqrt().item()


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e4])
@pytest.mark.parametrize("samples", [8, 256])
def test_gradient_has_unit_size_whatever_the_scale_and_the_batch(scale, samples):
    assert per_sample_gradient(scale, samples, GradientNormaliser()) == pytest.approx(1.0, rel=1e-4)


def test_a_sudden_spike_is_bounded_by_the_running_average():
    normaliser = GradientNormaliser(rate=0.01)
    for _ in range(500):
        per_sample_gradient(1.0, 8, normaliser)
    assert per_sample_gradient(1e8, 8, normaliser) == pytest.approx(10.0, rel=0.02)


def test_a_vanishing_gradient_is_not_raised():
    assert per_sample_gradient(1e-9, 8, GradientNormaliser()) < 1e-3


def test_evaluation_uses_the_average_and_leaves_it():
    normaliser = GradientNormaliser()
    per_sample_gradient(2.0, 8, normaliser)
    normaliser.eval()
    before = normaliser.mean_square.clone()
    with torch.no_grad():
        assert normaliser(torch.tensor(1.0), (torch.ones(4, 3),)) < 1
    assert torch.equal(before, normaliser.mean_square)


def test_state_is_restored():
    first, second = GradientNormaliser(), GradientNormaliser()
    per_sample_gradient(3.0, 8, first)
    second.load_state_dict(first.state_dict())
    assert per_sample_gradient(1.0, 8, first) == per_sample_gradient(1.0, 8, second)
