"""Families of distributions with random parameters, whose information is found without any estimator.

Truths are closed forms, integrals on a grid, or the mean log density ratio of 200,000 draws (standard error
below .005 nats), as the function of each family says. ``DEVELOPED`` are the families that ``measure`` was
improved on, with other seeds than those that it is judged on. ``UNSEEN`` were run for the first time when all
settings were fixed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from mmsa.information.distributions.benchmark40 import student_entropy
from mmsa.information.distributions.closed_form import Floats, Truth, independent, multinormal
from mmsa.seeding import derive_seed

Family = Callable[[np.random.Generator], Truth]
Pair = tuple[NDArray[Any], NDArray[Any]]
_DRAWS = 200_000
_GRID = 8001


def _averaged(
    name: str,
    draw: Callable[[int, np.random.Generator], Pair],
    log_ratio: Callable[[Floats, Floats], Floats],
) -> Truth:
    """Average the exact log density ratio over many draws."""
    ratio = log_ratio(*draw(_DRAWS, np.random.default_rng(0)))
    return Truth(name, float(ratio.mean()), draw)


def _entropy_on_grid(density: Callable[[Floats], Floats], low: float, high: float) -> float:
    """Return -integral of p ln p of one variable, with p normalised on the grid."""
    grid = np.linspace(low, high, _GRID)
    values = np.maximum(density(grid), 1e-300)
    values = values / np.trapezoid(values, grid)
    return float(-np.trapezoid(values * np.log(values), grid))


def _rotation(dim: int, rng: np.random.Generator) -> Floats:
    rotation: Floats = stats.ortho_group.rvs(dim, random_state=rng) if dim > 1 else np.ones((1, 1))
    return rotation


def _mixed(density: Callable[[Floats], Floats], values: Floats, shifts: Floats, weights: Floats) -> Floats:
    """Return the density of a variable plus another one that takes the values ``shifts``."""
    total: Floats = np.zeros_like(values)
    for shift, weight in zip(shifts, weights / weights.sum(), strict=True):
        if weight:
            total = total + weight * density(values - shift)
    return total


def _seen_in_noise(signal: Callable[[Floats], Floats], noise_density: Callable[[Floats], Floats]) -> float:
    """Return I(X; s(X) + E) of a normal X as h(s(X) + E) - h(E), both on a grid."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)

    def density(values: Floats) -> Floats:
        return _mixed(noise_density, values, signal(nodes), weights)

    return _entropy_on_grid(density, -30, 30) - _entropy_on_grid(noise_density, -30, 30)


def _uniform_noise(dim: int) -> Family:
    """Independent y_i = x_i + U(-w, w) of uniform x. Closed form."""

    def family(rng: np.random.Generator) -> Truth:
        half = rng.uniform(0.1, 0.45)

        def draw(n: int, rng: np.random.Generator) -> Pair:
            x_ND = rng.uniform(size=(n, dim))
            return x_ND, x_ND + rng.uniform(-half, half, (n, dim))

        return Truth(f"uniform-{dim}-{half:.2f}", dim * (half - math.log(2 * half)), draw)

    return family


def random_sign(pairs: int, correlation: float) -> Truth:
    """``pairs`` normal pairs of one correlation with one random sign for all of them. Mean log ratio.

    Examples:
        >>> random_sign(pairs=8, correlation=0.7).name
        'signs-8-0.70'
    """
    unexplained = 1 - correlation**2

    def draw(n: int, rng: np.random.Generator) -> Pair:
        x_ND, noise_ND = rng.standard_normal((2, n, pairs))
        sign_N1 = rng.choice([-1.0, 1.0], (n, 1))
        return x_ND, sign_N1 * correlation * x_ND + math.sqrt(unexplained) * noise_ND

    def log_ratio(x_ND: Floats, y_ND: Floats) -> Floats:
        squares_N = (x_ND**2 + y_ND**2).sum(1) * correlation**2
        product_N = np.abs((x_ND * y_ND).sum(1)) * correlation / unexplained
        log_cosh_N = product_N + np.log1p(np.exp(-2 * product_N)) - math.log(2)
        ratio: Floats = log_cosh_N - squares_N / (2 * unexplained) - 0.5 * pairs * math.log(unexplained)
        return ratio

    return _averaged(f"signs-{pairs}-{correlation:.2f}", draw, log_ratio)


def _random_sign(rng: np.random.Generator) -> Truth:
    return random_sign(int(rng.integers(6, 13)), rng.uniform(0.6, 0.8))


def normal_mixture(
    name: str, weights_K: Floats, means_KD: Floats, covariances_KDD: Floats, x_dim: int
) -> Truth:
    """A mixture of normal distributions of (x, y). Mean log ratio."""
    factors = np.linalg.cholesky(covariances_KDD)

    def draw(n: int, rng: np.random.Generator) -> Pair:
        component_N = rng.choice(len(weights_K), n, p=weights_K)
        noise_ND = rng.standard_normal((n, means_KD.shape[1]))
        points_ND = means_KD[component_N] + np.einsum("nij,nj->ni", factors[component_N], noise_ND)
        return points_ND[:, :x_dim], points_ND[:, x_dim:]

    def log_density(points_ND: Floats, part: slice) -> Floats:
        parts = [
            math.log(weight) + stats.multivariate_normal(mean[part], covariance[part, part]).logpdf(points_ND)
            for weight, mean, covariance in zip(weights_K, means_KD, covariances_KDD, strict=True)
        ]
        density: Floats = special.logsumexp(parts, axis=0)
        return density

    def log_ratio(x_ND: Floats, y_ND: Floats) -> Floats:
        both = log_density(np.hstack([x_ND, y_ND]), slice(None))
        return both - log_density(x_ND, slice(x_dim)) - log_density(y_ND, slice(x_dim, None))

    return _averaged(name, draw, log_ratio)


def _clusters(dim: int, low: float, high: float) -> Family:
    """Six round clusters, x and y independent within each. Mean log ratio."""

    def family(rng: np.random.Generator) -> Truth:
        spread = rng.uniform(low, high)
        means_KD = spread * rng.standard_normal((6, 2 * dim))
        covariances = np.stack([np.eye(2 * dim)] * 6)
        name = f"clusters-{dim}-{spread:.2f}"
        return normal_mixture(name, np.full(6, 1 / 6), means_KD, covariances, dim)

    return family


def _curves(rng: np.random.Generator) -> Truth:
    """y = a bent function of uniform x, plus normal noise. Grid."""
    bends: dict[str, Callable[[Floats], Floats]] = {
        "square": np.square,
        "wave": lambda x: np.sin(4 * x),
        "fold": np.abs,
        "cube": lambda x: x**3,
    }
    kind, noise = str(rng.choice(list(bends))), rng.uniform(0.05, 0.3)
    return _function(f"curve-{kind}-{noise:.2f}", bends[kind], noise, 0)


def _function(name: str, bend: Callable[[Floats], Floats], noise: float, idle: int) -> Truth:
    """y_1 = bend(x_1) + normal noise of uniform x_1; all other features are noise. Grid."""

    def draw(n: int, rng: np.random.Generator) -> Pair:
        x_N1 = rng.uniform(-1, 1, (n, 1))
        y_N1 = bend(x_N1) + noise * rng.standard_normal((n, 1))
        return (
            np.hstack([x_N1, rng.standard_normal((n, idle))]),
            np.hstack([y_N1, rng.standard_normal((n, idle))]),
        )

    centres = bend((np.arange(4000) + 0.5) / 2000 - 1)
    weights, edges = np.histogram(centres, 1000)

    def density(values: Floats) -> Floats:
        return _mixed(lambda y: stats.norm.pdf(y, 0, noise), values, (edges[1:] + edges[:-1]) / 2, weights)

    margin = 6 * noise
    entropy = _entropy_on_grid(density, float(centres.min()) - margin, float(centres.max()) + margin)
    return Truth(name, entropy - 0.5 * math.log(2 * math.pi * math.e * noise**2), draw)


def latent_pairs(dim: int, correlations: Floats, rng: np.random.Generator) -> Truth:
    """A few correlated pairs turned into ``dim`` features on either side, all else noise. Closed form."""
    first, second = _rotation(dim, rng), _rotation(dim, rng)
    count = len(correlations)

    def draw(n: int, rng: np.random.Generator) -> Pair:
        x_ND, y_ND = rng.standard_normal((2, n, dim))
        y_ND[:, :count] = correlations * x_ND[:, :count] + np.sqrt(1 - correlations**2) * y_ND[:, :count]
        return x_ND @ first, y_ND @ second

    return Truth(f"latent-{count}-{dim}", float(-0.5 * np.log1p(-(correlations**2)).sum()), draw)


def _latent_pairs(rng: np.random.Generator) -> Truth:
    return latent_pairs(int(rng.integers(50, 81)), rng.uniform(0.5, 0.9, rng.integers(2, 6)), rng)


def _heteroscedastic(rng: np.random.Generator) -> Truth:
    """y_i = exp(a x_i) e_i with normal x and e. Grid of ln |y|, whose sign says nothing."""
    slope, dim = rng.uniform(0.5, 1.5), int(rng.integers(1, 5))

    def draw(n: int, rng: np.random.Generator) -> Pair:
        x_ND, noise_ND = rng.standard_normal((2, n, dim))
        return x_ND, np.exp(slope * x_ND) * noise_ND

    information = _seen_in_noise(lambda x: slope * x, _log_chi)
    return Truth(f"scale-{dim}-{slope:.2f}", dim * information, draw)


def _log_chi(values: Floats) -> Floats:
    """Density of ln |e| of a normal e."""
    size = np.exp(np.minimum(values, 5.0))
    density: Floats = 2 * size * stats.norm.pdf(size)
    return density


def _multiplicative(rng: np.random.Generator) -> Truth:
    """Independent y_i = x_i u_i, x lognormal, u uniform around 1: ln y = ln x + ln u. Grid."""
    dim, width, spread = int(rng.integers(2, 4)), rng.uniform(0.1, 0.4), 0.5
    nodes, weights = np.polynomial.legendre.leggauss(60)

    def draw(n: int, rng: np.random.Generator) -> Pair:
        x_ND = rng.lognormal(0.0, spread, (n, dim))
        return x_ND, x_ND * rng.uniform(1 - width, 1 + width, (n, dim))

    def density(log_y: Floats) -> Floats:
        return _mixed(lambda value: stats.norm.pdf(value, 0, spread), log_y, np.log1p(width * nodes), weights)

    low, high = 1 - width, 1 + width
    mean_log = (high * (math.log(high) - 1) - low * (math.log(low) - 1)) / (2 * width)
    information = _entropy_on_grid(density, -5, 5) - (math.log(2 * width) - mean_log)
    return Truth(f"multiplicative-{dim}-{width:.2f}", dim * information, draw)


def _laplace_noise(rng: np.random.Generator) -> Truth:
    """Independent y_i = x_i + Laplace noise of normal x, turned on either side. Grid."""
    dim, scale = int(rng.integers(3, 7)), rng.uniform(0.3, 1.0)
    first, second = _rotation(dim, rng), _rotation(dim, rng)

    def draw(n: int, rng: np.random.Generator) -> Pair:
        x_ND = rng.standard_normal((n, dim))
        return x_ND @ first, (x_ND + rng.laplace(0, scale, (n, dim))) @ second

    information = _seen_in_noise(lambda x: x, lambda e: stats.laplace.pdf(e, 0, scale))
    return Truth(f"laplace-{dim}-{scale:.2f}", dim * information, draw)


def _classes(rng: np.random.Generator) -> Truth:
    """y is a class as a whole number, x normal around the mean of its class. Mean log ratio."""
    count, dim, spread = int(rng.integers(2, 6)), int(rng.integers(1, 7)), rng.uniform(0.7, 1.5)
    means_KD = spread * rng.standard_normal((count, dim))

    def draw(n: int, rng: np.random.Generator) -> Pair:
        class_N = rng.integers(0, count, n)
        return means_KD[class_N] + rng.standard_normal((n, dim)), class_N[:, None]

    def log_ratio(x_ND: Floats, class_N1: Floats) -> Floats:
        log_NK = -0.5 * ((x_ND[:, None] - means_KD) ** 2).sum(2)
        own_N = np.take_along_axis(log_NK, class_N1.astype(np.int64), 1)[:, 0]
        ratio: Floats = own_N - special.logsumexp(log_NK, axis=1) + math.log(count)
        return ratio

    return _averaged(f"classes-{count}-{dim}", draw, log_ratio)


def _counts(rng: np.random.Generator) -> Truth:
    """y is Poisson with the rate exp(1 + a x_1); other features of x are noise. Mean log ratio."""
    slope, idle = rng.uniform(0.4, 1.0), int(rng.integers(0, 6))
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    support = np.arange(2000)
    marginal = (stats.poisson.pmf(support[:, None], np.exp(1 + slope * nodes)) * weights).sum(
        1
    ) / weights.sum()

    def draw(n: int, rng: np.random.Generator) -> Pair:
        x_ND = rng.standard_normal((n, 1 + idle))
        return x_ND, rng.poisson(np.exp(1 + slope * x_ND[:, :1]))

    def log_ratio(x_ND: Floats, count_N1: Floats) -> Floats:
        count_N = np.minimum(count_N1[:, 0].astype(np.int64), support[-1])
        conditional_N = stats.poisson.logpmf(count_N, np.exp(1 + slope * x_ND[:, 0]))
        ratio: Floats = conditional_N - np.log(np.maximum(marginal[count_N], 1e-300))
        return ratio

    return _averaged(f"counts-{1 + idle}-{slope:.2f}", draw, log_ratio)


def _clayton(rng: np.random.Generator) -> Truth:
    """Independent pairs with Clayton copulas, normal marginals. Mean log ratio."""
    dim, theta = int(rng.integers(1, 5)), rng.uniform(0.8, 4.0)

    def draw(n: int, rng: np.random.Generator) -> Pair:
        first, other = rng.uniform(1e-12, 1, (2, n, dim))
        second = (first**-theta * (other ** (-theta / (1 + theta)) - 1) + 1) ** (-1 / theta)
        return special.ndtri(first), special.ndtri(second)

    def log_ratio(x_ND: Floats, y_ND: Floats) -> Floats:
        first, second = special.log_ndtr(x_ND), special.log_ndtr(y_ND)
        # ln(u^-theta + v^-theta - 1), with the larger of the three powers taken out
        largest = np.maximum(-theta * first, -theta * second)
        total = largest + np.log(
            np.exp(-theta * first - largest) + np.exp(-theta * second - largest) - np.exp(-largest)
        )
        log_density = math.log1p(theta) - (theta + 1) * (first + second) - (2 + 1 / theta) * total
        ratio: Floats = log_density.sum(1)
        return ratio

    return _averaged(f"clayton-{dim}-{theta:.2f}", draw, log_ratio)


def _gumbel(rng: np.random.Generator) -> Truth:
    """Independent pairs with Gumbel copulas, exponential marginals. Mean log ratio."""
    dim, theta = int(rng.integers(1, 5)), rng.uniform(1.3, 3.0)

    def draw(n: int, rng: np.random.Generator) -> Pair:
        # A positive stable variable that both share (Marshall and Olkin 1988; Kanter 1975).
        alpha = 1 / theta
        angle, wait = rng.uniform(1e-9, math.pi - 1e-9, (n, dim)), rng.exponential(size=(n, dim))
        shared = (
            np.sin(alpha * angle)
            / np.sin(angle) ** theta
            * (np.sin((1 - alpha) * angle) / wait) ** (theta - 1)
        )
        first, second = ((rng.exponential(size=(n, dim)) / shared) ** alpha for _ in range(2))
        return first, second

    def log_ratio(s_ND: Floats, t_ND: Floats) -> Floats:  # exponential marginals: s = -ln u
        log_s, log_t = (np.log(np.maximum(part, 1e-300)) for part in (s_ND, t_ND))
        norm = np.exp(np.logaddexp(theta * log_s, theta * log_t) / theta)
        log_density = (
            -norm
            + s_ND
            + t_ND
            + (theta - 1) * (log_s + log_t)
            + (1 - 2 * theta) * np.log(np.maximum(norm, 1e-300))
            + np.log(norm + theta - 1)
        )
        ratio: Floats = log_density.sum(1)
        return ratio

    return _averaged(f"gumbel-{dim}-{theta:.2f}", draw, log_ratio)


def _student(rng: np.random.Generator) -> Truth:
    """Student variables with correlated pairs. Closed form (Arellano-Valle et al. 2013)."""
    dim, degrees, correlation = int(rng.integers(2, 6)), rng.uniform(2, 8), rng.uniform(0.2, 0.7)

    def draw(n: int, rng: np.random.Generator) -> Pair:
        scale_N1 = np.sqrt(degrees / rng.chisquare(degrees, (n, 1)))
        x_ND, noise_ND = rng.standard_normal((2, n, dim))
        return scale_N1 * x_ND, scale_N1 * (correlation * x_ND + math.sqrt(1 - correlation**2) * noise_ND)

    information = 2 * student_entropy(dim, degrees) - student_entropy(2 * dim, degrees)
    information -= 0.5 * dim * math.log1p(-(correlation**2))
    return Truth(f"student-{dim}-{degrees:.1f}-{correlation:.2f}", information, draw)


def _sign_products(rng: np.random.Generator) -> Truth:
    """The sign of y_1 is that of x_1 x_2, but for some that are flipped; all else is noise. Closed form."""
    dim, flipped = int(rng.integers(2, 5)), rng.uniform(0.02, 0.15)

    def draw(n: int, rng: np.random.Generator) -> Pair:
        x_ND, y_ND = rng.standard_normal((2, n, dim))
        sign_N = np.sign(x_ND[:, 0] * x_ND[:, 1]) * np.where(rng.random(n) < flipped, -1, 1)
        y_ND[:, 0] = sign_N * np.abs(y_ND[:, 0])
        return x_ND, y_ND

    return Truth(
        f"xor-{dim}-{flipped:.2f}", math.log(2) - float(special.entr([flipped, 1 - flipped]).sum()), draw
    )


def _periodic(rng: np.random.Generator) -> Truth:
    """A sine of one feature in noise, up to two idle features on either side. Grid."""
    turns, noise, idle = rng.uniform(1, 3), rng.uniform(0.15, 0.4), int(rng.integers(1, 3))
    return _function(f"periodic-{idle}-{turns:.1f}", lambda x: np.sin(math.pi * turns * x), noise, idle)


def _circle(rng: np.random.Generator) -> Truth:
    """Points of a circle, turned by a von Mises angle. Closed form."""
    concentration = rng.uniform(1, 20)

    def draw(n: int, rng: np.random.Generator) -> Pair:
        angle_N = rng.uniform(-math.pi, math.pi, n)
        other_N = angle_N + rng.vonmises(0, concentration, n)
        return tuple(np.stack([np.cos(part), np.sin(part)], 1) for part in (angle_N, other_N))  # type: ignore[return-value]

    information = math.log(2 * math.pi) - float(stats.vonmises(concentration).entropy())
    return Truth(f"circle-{concentration:.1f}", information, draw)


def _manifold(rng: np.random.Generator) -> Truth:
    """Two correlated pairs, each side bent into 50 features without noise. Closed form."""
    correlations = rng.uniform(0.5, 0.9, 2)
    bends = [(rng.standard_normal((2, 50)), rng.uniform(-2, 2, 50)) for _ in range(2)]

    def draw(n: int, rng: np.random.Generator) -> Pair:
        x_N2, noise_N2 = rng.standard_normal((2, n, 2))
        y_N2 = correlations * x_N2 + np.sqrt(1 - correlations**2) * noise_N2
        return tuple(
            np.tanh(part @ weights + shift)
            for part, (weights, shift) in zip((x_N2, y_N2), bends, strict=True)
        )

    return Truth("manifold", float(-0.5 * np.log1p(-(correlations**2)).sum()), draw)


def _mixture(rng: np.random.Generator) -> Truth:
    """Three normal components with covariances of their own. Mean log ratio."""
    dim = int(rng.integers(2, 5))
    factors = rng.standard_normal((3, 2 * dim, 2 * dim)) / math.sqrt(2 * dim)
    covariances = factors @ factors.transpose(0, 2, 1) + 0.2 * np.eye(2 * dim)
    means = rng.standard_normal((3, 2 * dim))
    return normal_mixture(f"mixture-{dim}", rng.dirichlet(np.full(3, 4.0)), means, covariances, dim)


def _gate(rng: np.random.Generator) -> Truth:
    """y sees x_1 where x_3 is positive and x_2 elsewhere, in normal noise. Closed form."""
    noise, idle = rng.uniform(0.2, 0.7), int(rng.integers(0, 3))

    def draw(n: int, rng: np.random.Generator) -> Pair:
        x_ND = rng.standard_normal((n, 3 + idle))
        seen_N = np.where(x_ND[:, 2] > 0, x_ND[:, 0], x_ND[:, 1])
        return x_ND, (seen_N + noise * rng.standard_normal(n))[:, None]

    return Truth(f"gate-{3 + idle}-{noise:.2f}", 0.5 * math.log1p(1 / noise**2), draw)


def _interaction(rng: np.random.Generator) -> Truth:
    """y = x_1 x_2 + normal noise of x with up to three idle features. Grid."""
    noise, idle = rng.uniform(0.3, 0.8), int(rng.integers(1, 4))
    factors = special.ndtri((np.arange(1000) + 0.5) / 1000)

    def draw(n: int, rng: np.random.Generator) -> Pair:
        x_ND = rng.standard_normal((n, 2 + idle))
        return x_ND, (x_ND[:, 0] * x_ND[:, 1] + noise * rng.standard_normal(n))[:, None]

    def density(values: Floats) -> Floats:  # given x_1, y is normal with variance x_1^2 + noise^2
        total: Floats = np.zeros_like(values)
        for deviation in np.hypot(factors, noise):
            total = total + stats.norm.pdf(values, 0, deviation)
        return total

    information = _entropy_on_grid(density, -30, 30) - 0.5 * math.log(2 * math.pi * math.e * noise**2)
    return Truth(f"interaction-{2 + idle}-{noise:.2f}", information, draw)


def _hidden_turn(rng: np.random.Generator) -> Truth:
    """y is x turned by one of two rotations, nobody knows which, in normal noise. Mean log ratio."""
    dim, correlation = int(rng.integers(3, 9)), rng.uniform(0.6, 0.85)
    turns = [correlation * _rotation(dim, rng) for _ in range(2)]
    identity = np.eye(dim)
    covariances = np.stack([np.block([[identity, turn.T], [turn, identity]]) for turn in turns])
    return normal_mixture(
        f"turns-{dim}-{correlation:.2f}", np.full(2, 0.5), np.zeros((2, 2 * dim)), covariances, dim
    )


def _normal(rng: np.random.Generator) -> Truth:
    """Normal variables of random covariance, every feature cubed. Closed form."""
    dim = int(rng.integers(2, 26))
    factor = rng.standard_normal((2 * dim, int(rng.integers(3, 9)) * 2 * dim))
    normal = multinormal(f"normal-{dim}", factor @ factor.T / factor.shape[1], dim)
    return normal.transformed("cubed", lambda x: x**3, lambda y: y**3)


def _independent(rng: np.random.Generator) -> Truth:
    """Nothing in common: normal features, or heavy tails of each side's own. Closed form."""
    dims = int(rng.integers(1, 21)), int(rng.integers(1, 21))
    if rng.random() < 0.5:
        return independent(*dims)

    def draw(n: int, rng: np.random.Generator) -> Pair:
        first, second = (
            rng.standard_normal((n, dim)) / np.sqrt(rng.chisquare(3, (n, 1)) / 3) for dim in dims
        )
        return first, second

    return Truth(f"independent-heavy-{dims[0]}-{dims[1]}", 0.0, draw)


def _exponential_noise(rng: np.random.Generator) -> Truth:
    """Independent y_i = x_i + exponential noise of normal x, turned on either side. Grid."""
    dim, scale = int(rng.integers(2, 5)), rng.uniform(0.3, 1.0)
    first, second = _rotation(dim, rng), _rotation(dim, rng)

    def draw(n: int, rng: np.random.Generator) -> Pair:
        x_ND = rng.standard_normal((n, dim))
        return x_ND @ first, (x_ND + rng.exponential(scale, (n, dim))) @ second

    entropy = _entropy_on_grid(lambda y: stats.exponnorm.pdf(y, scale), -10, 40)
    information = entropy - 1 - math.log(scale)
    return Truth(f"exponential-{dim}-{scale:.2f}", dim * information, draw)


def _frank(rng: np.random.Generator) -> Truth:
    """Independent pairs with Frank copulas, uniform marginals. Mean log ratio."""
    dim, theta = int(rng.integers(1, 5)), rng.uniform(3.0, 12.0)

    def draw(n: int, rng: np.random.Generator) -> Pair:
        first, level = rng.uniform(1e-9, 1 - 1e-9, (2, n, dim))
        share = level / (
            level + np.exp(-theta * first) * (1 - level)
        )  # the conditional distribution, inverted
        return first, -np.log1p(share * math.expm1(-theta)) / theta

    def log_ratio(x_ND: Floats, y_ND: Floats) -> Floats:
        product = np.expm1(-theta * x_ND) * np.expm1(-theta * y_ND)
        log_density = math.log(-theta * math.expm1(-theta)) - theta * (x_ND + y_ND)
        ratio: Floats = (log_density - 2 * np.log(-(math.expm1(-theta) + product))).sum(1)
        return ratio

    return _averaged(f"frank-{dim}-{theta:.1f}", draw, log_ratio)


def _sines(rng: np.random.Generator) -> Truth:
    """Three correlated pairs, each side seen through 30 sines without noise. Closed form."""
    correlations = rng.uniform(0.4, 0.9, 3)
    waves = [(rng.standard_normal((3, 30)), rng.uniform(-math.pi, math.pi, 30)) for _ in range(2)]

    def draw(n: int, rng: np.random.Generator) -> Pair:
        x_N3, noise_N3 = rng.standard_normal((2, n, 3))
        y_N3 = correlations * x_N3 + np.sqrt(1 - correlations**2) * noise_N3
        return tuple(
            np.sin(part @ weights + shift) for part, (weights, shift) in zip((x_N3, y_N3), waves, strict=True)
        )

    return Truth("sines", float(-0.5 * np.log1p(-(correlations**2)).sum()), draw)


DEVELOPED: Mapping[str, Family] = {
    "uniform_noise_2": _uniform_noise(2),
    "uniform_noise_3": _uniform_noise(3),
    "random_sign": _random_sign,
    "clusters_4": _clusters(4, 0.9, 1.4),
    "clusters_1": _clusters(1, 1.0, 3.0),
    "curves": _curves,
    "latent_pairs": _latent_pairs,
    "heteroscedastic": _heteroscedastic,
    "laplace_noise": _laplace_noise,
    "clayton": _clayton,
    "gumbel": _gumbel,
    "circle": _circle,
    "manifold": _manifold,
}
UNSEEN: Mapping[str, Family] = {
    "multiplicative": _multiplicative,
    "classes": _classes,
    "counts": _counts,
    "student": _student,
    "sign_products": _sign_products,
    "periodic": _periodic,
    "mixture": _mixture,
    "gate": _gate,
    "interaction": _interaction,
    "hidden_turn": _hidden_turn,
    "normal": _normal,
    "independent": _independent,
    "exponential_noise": _exponential_noise,
    "frank": _frank,
    "sines": _sines,
}
FAMILIES: Mapping[str, Family] = {**DEVELOPED, **UNSEEN}


def family_truth(name: str, seed: int) -> Truth:
    """Return the distribution that draw ``seed`` of a family has. Its rows take a seed of their own.

    Examples:
        >>> family_truth("circle", seed=0).information == family_truth("circle", seed=0).information
        True
    """
    return FAMILIES[name](np.random.default_rng(derive_seed("family", name, seed)))
