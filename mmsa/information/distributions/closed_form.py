"""Distributions whose information has a closed form: Gaussian ones, and test-beds of conditional information.

Models F and G: Mukherjee et al., CCMI (UAI 2019). Chain: Molavipour et al., CMINE (2020).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Truth:
    """A distribution of (X, Y) whose information is known.

    Attributes:
        name: Short, with its parameters.
        information: I(X; Y) in nats.
        draw: Given n and a generator, returns x (n, d_x) and y (n, d_y).
    """

    name: str
    information: float
    draw: Callable[[int, np.random.Generator], tuple[Floats, Floats]]

    def sample(self, n: int, seed: int = 0) -> tuple[Floats, Floats]:
        """Draw ``n`` independent samples, the same for the same seed."""
        return self.draw(n, np.random.default_rng(seed))

    def transformed(
        self,
        name: str,
        transform_x: Callable[[Floats], Floats],
        transform_y: Callable[[Floats], Floats],
    ) -> Truth:
        """Return the same information seen through injective maps, with ``name`` before this one's."""

        def draw(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
            x_ND, y_ND = self.draw(n, rng)
            return transform_x(x_ND), transform_y(y_ND)

        return Truth(f"{name}-{self.name}", self.information, draw)


@dataclass(frozen=True)
class ConditionalTruth:
    """A distribution of (X, Y, Z) whose conditional information is known.

    Attributes:
        name: Short, with its parameters.
        information: I(X; Y | Z) in nats.
        draw: Given n and a generator, returns x, y and z, each (n, d).
    """

    name: str
    information: float
    draw: Callable[[int, np.random.Generator], tuple[Floats, Floats, Floats]]

    def sample(self, n: int, seed: int = 0) -> tuple[Floats, Floats, Floats]:
        """Draw ``n`` independent samples, the same for the same seed."""
        return self.draw(n, np.random.default_rng(seed))


def normal_information(covariance: Floats, x_dim: int) -> float:
    """Return I(X; Y) = 1/2 ln(|S_x| |S_y| / |S|) of the first ``x_dim`` normal variables and the others.

    Examples:
        >>> round(normal_information(np.array([[1.0, 0.6], [0.6, 1.0]]), x_dim=1), 4)
        0.2231
    """
    x_block, y_block = covariance[:x_dim, :x_dim], covariance[x_dim:, x_dim:]
    log_determinants = [np.linalg.slogdet(matrix)[1] for matrix in (x_block, y_block, covariance)]
    return float(0.5 * (log_determinants[0] + log_determinants[1] - log_determinants[2]))


def multinormal(name: str, covariance: Floats, x_dim: int) -> Truth:
    """Normal distribution of mean 0, of which the first ``x_dim`` coordinates are x.

    Examples:
        >>> x, y = multinormal("pair", np.array([[1.0, 0.6], [0.6, 1.0]]), x_dim=1).sample(3)
        >>> x.shape, y.shape
        ((3, 1), (3, 1))
    """
    factor = np.linalg.cholesky(covariance)

    def draw(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        points = rng.standard_normal((n, len(covariance))) @ factor.T
        return points[:, :x_dim], points[:, x_dim:]

    return Truth(name, normal_information(covariance, x_dim), draw)


def correlated_gaussians(information: float, dim: int) -> Truth:
    """``dim`` independent normal pairs of equal correlation, a step of the staircase of Poole et al. (2019).

    Examples:
        >>> correlated_gaussians(information=2.0, dim=20).name
        'gaussian-20-2'
    """
    correlation = math.sqrt(-math.expm1(-2 * information / dim))

    def draw(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        x_ND, noise_ND = rng.standard_normal((2, n, dim))
        return x_ND, correlation * x_ND + math.sqrt(1 - correlation**2) * noise_ND

    return Truth(f"gaussian-{dim}-{information:g}", information, draw)


def independent(x_dim: int, y_dim: int) -> Truth:
    """Independent standard normal x and y.

    Examples:
        >>> independent(2, 3).information
        0.0
    """

    def draw(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        return rng.standard_normal((n, x_dim)), rng.standard_normal((n, y_dim))

    return Truth(f"independent-{x_dim}-{y_dim}", 0.0, draw)


_NOISE = 0.1
_ONE_LINK = 0.5 * math.log1p(1 / _NOISE**2)  # x, standard normal, seen in Gaussian noise of this deviation


def model_f(z_dim: int) -> ConditionalTruth:
    """Y = X + N(Z_1, 0.1^2) with X standard normal and Z uniform on (-1/2, 1/2)^d, of 1/2 ln 101 nats.

    Examples:
        >>> round(model_f(20).information, 4)
        2.3076
    """

    def draw(n: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        x_N1, noise_N1 = rng.standard_normal((2, n, 1))
        z_ND = rng.uniform(-0.5, 0.5, (n, z_dim))
        return x_N1, x_N1 + z_ND[:, :1] + _NOISE * noise_N1, z_ND

    return ConditionalTruth(f"ccmi-F-{z_dim}", _ONE_LINK, draw)


def model_g(z_dim: int, weights_seed: int = 0) -> ConditionalTruth:
    """Y = X + N(w Z, 0.1^2) with X and Z standard normal and w a random positive unit vector, of 1/2 ln 101.

    Examples:
        >>> round(model_g(20).information, 4)
        2.3076
    """
    weights_D = np.random.default_rng(weights_seed).uniform(size=z_dim)
    weights_D /= np.linalg.norm(weights_D)

    def draw(n: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        x_N1, noise_N1 = rng.standard_normal((2, n, 1))
        z_ND = rng.standard_normal((n, z_dim))
        return x_N1, x_N1 + (z_ND @ weights_D)[:, None] + _NOISE * noise_N1, z_ND

    return ConditionalTruth(f"ccmi-G-{z_dim}", _ONE_LINK, draw)


def gaussian_chain(
    dim: int, deviations: tuple[float, float, float] = (10.0, 1.0, 5.0)
) -> tuple[ConditionalTruth, ConditionalTruth]:
    """X normal, Y = X + noise, Z = Y + noise, all of ``dim`` features, with the given standard deviations.

    Returns:
        I(X; Y | Z), and I(X; Z | Y), which is 0 and whose draw gives (x, z, y).

    Examples:
        >>> [round(truth.information, 4) for truth in gaussian_chain(1)]
        [1.5185, 0.0]
    """
    x_var, y_noise, z_noise = (deviation**2 for deviation in deviations)

    def draw(n: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        x_ND, first_ND, second_ND = rng.standard_normal((3, n, dim)) * np.reshape(deviations, (3, 1, 1))
        return x_ND, x_ND + first_ND, x_ND + first_ND + second_ND

    def swapped(n: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        x_ND, y_ND, z_ND = draw(n, rng)
        return x_ND, z_ND, y_ND

    ratio = y_noise * (x_var + y_noise + z_noise) / ((x_var + y_noise) * (y_noise + z_noise))
    first = ConditionalTruth(f"chain-{dim}", -0.5 * dim * math.log(ratio), draw)
    return first, ConditionalTruth(f"chain-null-{dim}", 0.0, swapped)
