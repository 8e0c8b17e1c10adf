"""Every truth is checked by another route: published values, quadrature, or the samples themselves."""

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from scipy import integrate, special, stats

from mmsa.information.copula import gaussian_copula_information
from mmsa.information.distributions import (
    BENCHMARK_40,
    DEVELOPED,
    FAMILIES,
    UNSEEN,
    ConditionalTruth,
    correlated_gaussians,
    family_truth,
    gaussian_chain,
    independent,
    model_f,
    model_g,
    normal_information,
)
from mmsa.information.distributions.benchmark40 import student_entropy
from mmsa.information.distributions.families import _entropy_on_grid, _log_chi, normal_mixture, random_sign
from mmsa.information.ksg import ksg_information

PUBLISHED = {
    "1v1-normal-0.75": 0.4133,
    "normal_cdf-1v1-normal-0.75": 0.4133,
    "1v1-bimodal-0.75": 0.4133,
    "wiggly-1v1-normal-0.75": 0.4133,
    "half_cube-1v1-normal-0.75": 0.4133,
    "swissroll_x-normal_cdf-1v1-normal-0.75": 0.4133,
    "1v1-additive-0.1": 1.7094,
    "1v1-additive-0.75": 0.3333,
    "student-identity-1-1-1": 0.2242,
    "asinh-student-identity-1-1-1": 0.2242,
    "multinormal-dense-2-2-0.5": 0.2939,
    "multinormal-dense-3-3-0.5": 0.4133,
    "multinormal-dense-5-5-0.5": 0.5928,
    "multinormal-dense-25-25-0.5": 1.2922,
    "multinormal-dense-50-50-0.5": 1.6243,
    "student-identity-2-2-1": 0.4319,
    "student-identity-2-2-2": 0.1931,
    "student-identity-3-3-2": 0.2909,
    "student-identity-3-3-3": 0.1787,
    "student-identity-5-5-2": 0.4482,
    "student-identity-5-5-3": 0.2985,
    "asinh-student-identity-2-2-1": 0.4319,
    "asinh-student-identity-3-3-2": 0.2909,
    "asinh-student-identity-5-5-2": 0.4482,
}
TWO_PAIRS = 1.0217


def test_the_suite_has_the_published_tasks_and_truths() -> None:
    assert len(BENCHMARK_40) == 40
    for name, truth in BENCHMARK_40.items():
        assert name == truth.name
        assert truth.information == pytest.approx(PUBLISHED.get(name, TWO_PAIRS), abs=5e-5)
    assert sum("multinormal-sparse" in name for name in BENCHMARK_40) == 40 - len(PUBLISHED)


def _dims(name: str) -> tuple[int, int]:
    if "1v1" in name:
        return (2 if "swissroll" in name else 1), 1
    found = re.search(r"(?:dense|sparse|identity)-(\d+)-(\d+)-", name)
    assert found
    return int(found[1]), int(found[2])


@pytest.mark.parametrize("name", BENCHMARK_40)
def test_samples_are_reproducible_finite_and_of_the_named_shape(name: str) -> None:
    x_ND, y_ND = BENCHMARK_40[name].sample(50, seed=3)
    assert np.isfinite(x_ND).all()
    assert np.isfinite(y_ND).all()
    assert (x_ND.shape, y_ND.shape) == ((50, _dims(name)[0]), (50, _dims(name)[1]))
    assert np.array_equal(x_ND, BENCHMARK_40[name].sample(50, seed=3)[0])
    assert not np.array_equal(x_ND, BENCHMARK_40[name].sample(50, seed=4)[0])


GAUSSIAN_COPULA = [
    name
    for name in BENCHMARK_40
    if "normal" in name or "bimodal" in name
    if "spiral" not in name and "swissroll" not in name
]


@pytest.mark.parametrize("name", GAUSSIAN_COPULA)
def test_tasks_with_a_gaussian_copula_agree_with_it(name: str) -> None:
    truth = BENCHMARK_40[name]
    x_ND, y_ND = truth.sample(2000)
    assert gaussian_copula_information(x_ND, y_ND) == pytest.approx(truth.information, abs=0.1)


@pytest.mark.parametrize(
    "name",
    [
        "1v1-additive-0.1",
        "1v1-additive-0.75",
        "swissroll_x-normal_cdf-1v1-normal-0.75",
        "asinh-student-identity-1-1-1",
        "asinh-student-identity-2-2-1",
    ],
)
def test_other_tasks_in_few_dimensions_agree_with_neighbour_counts(name: str) -> None:
    truth = BENCHMARK_40[name]
    assert ksg_information(*truth.sample(4000)) == pytest.approx(truth.information, abs=0.08)


@pytest.mark.parametrize("name", [name for name in BENCHMARK_40 if name.startswith("spiral-")])
def test_spirals_turn_by_the_mean_square_in_one_plane(name: str) -> None:
    straight, turned = BENCHMARK_40[name.removeprefix("spiral-")].sample(30), BENCHMARK_40[name].sample(30)
    for before_ND, after_ND, plane in zip(straight, turned, ([0, 1], [1, 2]), strict=True):
        number_N, turned_N = (part[:, plane] @ np.array([1, 1j]) for part in (before_ND, after_ND))
        assert np.allclose(turned_N, number_N * np.exp(1j * (before_ND**2).sum(1) / before_ND.shape[1]))
        elsewhere = np.setdiff1d(np.arange(before_ND.shape[1]), plane)
        assert np.array_equal(before_ND[:, elsewhere], after_ND[:, elsewhere])


@pytest.mark.parametrize("degrees", [1, 2])
def test_student_information_by_quadrature(degrees: int) -> None:
    joint, marginal = stats.multivariate_t(shape=np.eye(2), df=degrees), stats.t(degrees)

    nodes, weights = np.polynomial.legendre.leggauss(50)
    half = math.pi / 2
    points = np.tan(half * nodes)
    weights *= half * (1 + points**2)
    x, y = np.meshgrid(points, points, indexing="ij")
    both = np.stack([x, y], axis=-1)
    log_ratio = joint.logpdf(both) - marginal.logpdf(x) - marginal.logpdf(y)
    total = weights @ (joint.pdf(both) * log_ratio) @ weights
    assert 2 * student_entropy(1, degrees) - student_entropy(2, degrees) == pytest.approx(total, abs=5e-3)


@pytest.mark.parametrize("half_width", [0.1, 0.75])
def test_additive_noise_by_quadrature(half_width: float) -> None:
    def density(y: float) -> float:
        return max(0.0, min(1.0, y + half_width) - max(0.0, y - half_width)) / (2 * half_width)

    def entropy_term(y: float) -> float:
        return -density(y) * math.log(density(y)) if density(y) > 0 else 0.0

    entropy, _ = integrate.quad(
        entropy_term, -half_width, 1 + half_width, points=[half_width, 1 - half_width]
    )
    information = entropy - math.log(2 * half_width)
    assert BENCHMARK_40[f"1v1-additive-{half_width}"].information == pytest.approx(information, abs=1e-6)


def test_gaussian_information_of_one_pair() -> None:
    assert normal_information(np.array([[1, 0.6], [0.6, 1]]), 1) == pytest.approx(-0.5 * math.log(0.64))


@pytest.mark.parametrize("information", [2.0, 10.0])
def test_correlated_gaussians_carry_what_was_asked(information: float) -> None:
    x_ND, y_ND = correlated_gaussians(information, 20).sample(4000)
    assert gaussian_copula_information(x_ND, y_ND) == pytest.approx(information, rel=0.03)


def test_independent_variables() -> None:
    x_ND, y_ND = independent(3, 5).sample(4000)
    assert gaussian_copula_information(x_ND, y_ND) == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("model", [model_f, model_g])
def test_conditional_models_in_one_dimension(model: Callable[[int], ConditionalTruth]) -> None:
    truth = model(1)
    assert truth.information == pytest.approx(0.5 * math.log(101))
    assert ksg_information(*truth.sample(8000)) == pytest.approx(truth.information, abs=0.12)


def test_chain_and_its_null() -> None:
    chain, null = gaussian_chain(3)
    assert chain.information == pytest.approx(3 * 1.5185, abs=1e-3)
    assert gaussian_copula_information(*chain.sample(5000)) == pytest.approx(chain.information, abs=0.1)
    assert null.information == 0.0
    assert gaussian_copula_information(*null.sample(5000)) == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("name", list(FAMILIES))
def test_families_draw_what_they_say(name: str) -> None:
    truth = family_truth(name, 0)
    x, y = truth.sample(64, 1)
    assert x.ndim == y.ndim == 2
    assert len(x) == len(y) == 64
    assert np.isfinite(x).all()
    assert np.isfinite(y).all()
    assert 0.0 <= truth.information < 6.0


def test_every_draw_of_a_family_has_parameters_of_its_own() -> None:
    first, again, other = (family_truth("latent_pairs", seed) for seed in (0, 0, 1))
    assert first.information == again.information != other.information


def test_families_of_development_are_not_those_of_the_judgement() -> None:
    assert not DEVELOPED.keys() & UNSEEN.keys()
    assert len(UNSEEN) >= 15


def test_a_random_sign_is_a_mixture_of_two_normal_distributions() -> None:
    correlation, identity = 0.7, np.eye(3)
    covariances = [
        np.block([[identity, sign * correlation * identity], [sign * correlation * identity, identity]])
        for sign in (1, -1)
    ]
    mixture = normal_mixture("", np.full(2, 0.5), np.zeros((2, 6)), np.stack(covariances), 3)
    assert random_sign(3, correlation).information == pytest.approx(mixture.information, abs=0.01)


@pytest.mark.parametrize("name", ["clayton", "gumbel", "frank", "curves", "clusters_1", "counts"])
def test_families_of_one_feature_agree_with_neighbour_counts(name: str) -> None:
    truth = next(
        truth
        for truth in (family_truth(name, seed) for seed in range(100))
        if sum(part.shape[1] for part in truth.sample(1)) == 2
    )
    x, y = truth.sample(3000)
    spread = np.random.default_rng(0).uniform(-0.49, 0.49, y.shape) if y.dtype.kind == "i" else 0.0
    assert ksg_information(x, y + spread) == pytest.approx(truth.information, abs=0.08)


def test_exponential_noise_agrees_with_neighbour_counts() -> None:
    truth = family_truth("exponential_noise", 0)
    scale = float(truth.name.rsplit("-", 1)[1])
    dim = truth.sample(1)[0].shape[1]
    rng = np.random.default_rng(0)
    x = rng.standard_normal(8000)
    y = x + rng.exponential(scale, 8000)
    assert ksg_information(x[:, None], y[:, None]) == pytest.approx(truth.information / dim, abs=0.06)


def test_a_scale_is_seen_in_the_logarithm_of_what_it_scales() -> None:
    """h(ln e^2) of a normal e is ln Gamma(1/2) + 1/2 - digamma(1/2) / 2, that of ln |e| less by ln 2."""
    expected = 0.5 * math.log(math.pi) + 0.5 - 0.5 * special.digamma(0.5) - math.log(2)
    assert _entropy_on_grid(_log_chi, -30, 30) == pytest.approx(expected, abs=1e-3)
