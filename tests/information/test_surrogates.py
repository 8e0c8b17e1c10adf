"""Surrogates against their definitions, written with loops."""

import itertools

import pytest
import torch

from mmsa.information import surrogates

N = 7
GENERATOR = torch.Generator().manual_seed(0)
X = torch.rand(N, 3, generator=GENERATOR, dtype=torch.float64)
Y = X + 0.3 * torch.rand(N, 3, generator=GENERATOR, dtype=torch.float64)


def statistic(name):
    entry = surrogates.SURROGATES[name]
    return entry(entry.Config(), 3, 3).statistic(X, Y).item()


def test_hsic_is_the_mean_over_distinct_quadruples():
    k, other = surrogates.gaussian_kernel(X), surrogates.gaussian_kernel(Y)
    total, count = 0.0, 0
    for i, j, q, r in itertools.permutations(range(N), 4):
        total += (k[i, j] * (other[i, j] + other[q, r] - 2 * other[i, q])).item()
        count += 1
    assert statistic("hsic") == pytest.approx(total / count, abs=1e-12)


def test_gaussian_kernel_has_the_median_width():
    squared = sorted((X[i] - X[j]).square().sum().item() for i in range(N) for j in range(N) if i != j)
    median = squared[(len(squared) - 1) // 2]
    expected = torch.exp(-(X[0] - X[1]).square().sum() / median)
    assert surrogates.gaussian_kernel(X)[0, 1].item() == pytest.approx(expected.item())


def test_mmd_is_its_definition():
    kernel = surrogates.gaussian_kernel(torch.cat([X, Y]))
    within_x = sum(kernel[i, j] for i in range(N) for j in range(N) if i != j) / (N * (N - 1))
    within_y = sum(kernel[N + i, N + j] for i in range(N) for j in range(N) if i != j) / (N * (N - 1))
    between = sum(kernel[i, N + j] for i in range(N) for j in range(N)) / N**2
    assert statistic("mmd") == pytest.approx((within_x + within_y - 2 * between).item(), abs=1e-12)


def test_cmd_sums_five_moment_distances():
    expected = (X.mean(0) - Y.mean(0)).norm()
    for order in range(2, 6):
        moments = [((v - v.mean(0)) ** order).mean(0) for v in (X, Y)]
        expected = expected + (moments[0] - moments[1]).norm()
    assert statistic("cmd") == pytest.approx(expected.item(), abs=1e-12)


def test_cmd_is_in_units_of_the_interval():
    wide = surrogates.CMD(surrogates.CMD.Config(width=2.0), 3, 3)
    assert wide.statistic(2 * X, 2 * Y).item() == pytest.approx(statistic("cmd"))


def test_coral_is_the_distance_of_covariances():
    covariances = [torch.cov(v.T) for v in (X, Y)]
    expected = ((covariances[0] - covariances[1]) ** 2).sum() / 36
    assert statistic("coral") == pytest.approx(expected.item(), abs=1e-12)


def test_cka_is_the_normalised_inner_product_of_centred_gram_matrices():
    centring = torch.eye(N, dtype=torch.float64) - 1 / N
    first, second = (centring @ v @ v.T @ centring for v in (X, Y))
    expected = (first * second).sum() / (first.norm() * second.norm())
    assert statistic("cka") == pytest.approx(expected.item(), abs=1e-12)
    rotation = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=GENERATOR)).Q
    cka = surrogates.CKA(surrogates.CKA.Config(), 3, 3)
    assert cka.statistic(X, 5 * X @ rotation + 1).item() == pytest.approx(1.0)
