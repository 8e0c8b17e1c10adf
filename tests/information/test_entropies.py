import math

import pytest
import torch

from mmsa.information.density_estimators import ENTROPIES

BIMODAL_ENTROPY = math.log(2) + 2 * 0.5 * math.log(2 * math.pi * math.e * 0.1**2)


def bimodal(count, seed=0):
    """Two far clusters of deviation 0.1 in the plane: ln 2 more than one cluster has."""
    generator = torch.Generator().manual_seed(seed)
    sign = 2.0 * torch.randint(2, (count, 1), generator=generator) - 1
    return sign + 0.1 * torch.randn(count, 2, generator=generator)


def fitted(name):
    torch.manual_seed(0)
    entropy = ENTROPIES[name](ENTROPIES[name].Config(), 2)
    if entropy.inner_loss(bimodal(8), None) is not None:
        optimiser = torch.optim.Adam(entropy.parameters(), lr=5e-2)
        for step in range(200):
            optimiser.zero_grad()
            entropy.inner_loss(bimodal(256, step), None).backward()
            optimiser.step()
    return entropy


@pytest.mark.parametrize("name", ["gmm", "knife"])
def test_learned_densities_find_two_clusters(name):
    assert fitted(name)(bimodal(2000, 1000), None).item() == pytest.approx(BIMODAL_ENTROPY, abs=0.1)


@pytest.mark.parametrize("name", ["gaussian", "kde"])
def test_one_width_for_all_is_too_much_for_clusters(name):
    assert fitted(name)(bimodal(2000), None).item() > BIMODAL_ENTROPY + 1


@pytest.mark.parametrize("name", ENTROPIES)
def test_every_entropy_of_a_gaussian(name):
    torch.manual_seed(0)
    entropy = ENTROPIES[name](ENTROPIES[name].Config(), 2)
    y = torch.randn(1500, 2, generator=torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam([*entropy.parameters(), torch.zeros(1, requires_grad=True)], lr=5e-2)
    for _ in range(150 if name in ("gmm", "knife") else 0):
        optimiser.zero_grad()
        entropy.inner_loss(y, None).backward()
        optimiser.step()
    assert entropy(y, None).item() == pytest.approx(math.log(2 * math.pi * math.e), abs=0.1)


def test_kde_is_its_definition():
    y = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    width = (4 / 4 / 6) ** (1 / 6) * y.std(0)
    total = 0.0
    for i in range(6):
        density = [
            torch.exp(-0.5 * ((y[i] - y[j]) / width).square()).prod() / (2 * math.pi * width.prod())
            for j in range(6)
            if j != i
        ]
        total -= math.log(sum(density) / 5) / 6
    kde = ENTROPIES["kde"](ENTROPIES["kde"].Config(), 2)
    assert kde(y, None).item() == pytest.approx(total, abs=1e-9)


@pytest.mark.parametrize("name", ENTROPIES)
def test_value_moves_the_representation_and_not_the_density(name):
    entropy = ENTROPIES[name](ENTROPIES[name].Config(), 2)
    y = torch.randn(10, 2, requires_grad=True)
    entropy(y, None).backward()
    assert y.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in entropy.parameters())
