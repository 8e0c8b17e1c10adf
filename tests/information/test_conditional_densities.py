import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from mmsa.information.densities import CONDITIONAL_DENSITIES, SMALLEST_SCALE, positive_scale

X, Y = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0)).unbind()


def build(name):
    torch.manual_seed(0)
    return CONDITIONAL_DENSITIES[name](CONDITIONAL_DENSITIES[name].Config(), 3, 3)


@pytest.mark.parametrize("name", CONDITIONAL_DENSITIES)
def test_matrix_of_densities_holds_every_pair(name):
    density = build(name)
    matrix = density.log_densities(X, Y[:4])
    assert matrix.shape == (6, 4)
    for i, j in ((0, 0), (5, 3), (2, 1)):
        torch.testing.assert_close(matrix[i, j], density.log_density(X[[i]], Y[[j]])[0])


@pytest.mark.parametrize("name", CONDITIONAL_DENSITIES)
def test_density_integrates_to_one(name):
    torch.manual_seed(0)
    density = CONDITIONAL_DENSITIES[name](CONDITIONAL_DENSITIES[name].Config(), 3, 1)
    grid = torch.linspace(-12, 12, 4001)[:, None]
    mass = density.log_densities(X[:2], grid).exp().sum(1) * 24 / 4000
    torch.testing.assert_close(mass, torch.ones(2), atol=1e-3, rtol=0)


def test_diagonal_and_full_gaussians_are_those_of_torch():
    diagonal = build("diagonal")
    mean, scale = diagonal.mean_and_scale(X)
    torch.testing.assert_close(diagonal.log_density(X, Y), Normal(mean, scale).log_prob(Y).sum(1))
    full = build("full").distribution(X)
    assert isinstance(full, MultivariateNormal)
    assert (full.scale_tril.diagonal(dim1=1, dim2=2) > 0).all()
    assert full.covariance_matrix.tril(-1).abs().sum() > 0


def test_scale_is_never_too_small_for_a_density():
    raw = torch.tensor([-1e4, 0.0, 50.0])
    assert positive_scale(raw).tolist() == pytest.approx(
        [SMALLEST_SCALE, math.log(2) + SMALLEST_SCALE, 50 + SMALLEST_SCALE]
    )
