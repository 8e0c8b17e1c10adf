"""Distributions whose information has a closed form: jointly Gaussian ones, and test-beds given a third.

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
    """A distribution of (X, Y): ``draw(n, rng)`` gives x (n, d_x) and y (n, d_y); ``information`` in nats."""

    name: str
    information: float
    draw: Callable[[int, np.random.Generator], tuple[Floats, Floats]]

    def sample(self, n: int, seed: int = 0) -> tuple[Floats, Floats]:
        """``n`` independent draws, the same for the same seed."""
        return self.draw(n, np.random.default_rng(seed))

    def transformed(
        self,
        name: str,
        transform_x: Callable[[Floats], Floats],
        transform_y: Callable[[Floats], Floats],
    ) -> Truth:
        """The same information seen through injective maps; ``name`` is put before this one's."""

        def draw(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
            x_ND, y_ND = self.draw(n, rng)
            return transform_x(x_ND), transform_y(y_ND)

        return Truth(f"{name}-{self.name}", self.information, draw)


@dataclass(frozen=True)
class ConditionalTruth:
    """A distribution of (X, Y, Z) whose ``information`` is I(X; Y | Z) in nats."""

    name: str
    information: float
    draw: Callable[[int, np.random.Generator], tuple[Floats, Floats, Floats]]

    def sample(self, n: int, seed: int = 0) -> tuple[Floats, Floats, Floats]:
        """``n`` independent draws, the same for the same seed."""
        return self.draw(n, np.random.default_rng(seed))


def normal_information(covariance: Floats, x_dim: int) -> float:
    """I(X; Y) = 1/2 ln(|S_x| |S_y| / |S|) of the first ``x_dim`` variables and the others."""
    x_block, y_block = covariance[:x_dim, :x_dim], covariance[x_dim:, x_dim:]
    log_determinants = [np.linalg.slogdet(matrix)[1] for matrix in (x_block, y_block, covariance)]
    return float(0.5 * (log_determinants[0] + log_determinants[1] - log_determinants[2]))


def multinormal(name: str, covariance: Floats, x_dim: int) -> Truth:
    """Zero-mean normal; the first ``x_dim`` coordinates are x."""
    factor = np.linalg.cholesky(covariance)

    def draw(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        points = rng.standard_normal((n, len(covariance))) @ factor.T
        return points[:, :x_dim], points[:, x_dim:]

    return Truth(name, normal_information(covariance, x_dim), draw)


def correlated_gaussians(information: float, dim: int) -> Truth:
    """``dim`` independent pairs of equal correlation: the staircase of Poole et al. (2019)."""
    correlation = math.sqrt(-math.expm1(-2 * information / dim))

    def draw(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        x_ND, noise_ND = rng.standard_normal((2, n, dim))
        return x_ND, correlation * x_ND + math.sqrt(1 - correlation**2) * noise_ND

    return Truth(f"gaussian-{dim}-{information:g}", information, draw)


def independent(x_dim: int, y_dim: int) -> Truth:
    """Standard normal x and y that know nothing of each other."""

    def draw(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        return rng.standard_normal((n, x_dim)), rng.standard_normal((n, y_dim))

    return Truth(f"independent-{x_dim}-{y_dim}", 0.0, draw)


_NOISE = 0.1
_ONE_LINK = 0.5 * math.log1p(1 / _NOISE**2)  # x, standard normal, seen in Gaussian noise of this deviation


def model_f(z_dim: int) -> ConditionalTruth:
    """Y = X + N(Z_1, 0.1^2) with X standard normal, Z uniform on (-1/2, 1/2)^d: 1/2 ln 101."""

    def draw(n: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        x_N1, noise_N1 = rng.standard_normal((2, n, 1))
        z_ND = rng.uniform(-0.5, 0.5, (n, z_dim))
        return x_N1, x_N1 + z_ND[:, :1] + _NOISE * noise_N1, z_ND

    return ConditionalTruth(f"ccmi-F-{z_dim}", _ONE_LINK, draw)


def model_g(z_dim: int, weights_seed: int = 0) -> ConditionalTruth:
    """Y = X + N(w Z, 0.1^2) with X and Z standard normal, w a random positive unit vector: 1/2 ln 101."""
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

    The first is I(X; Y | Z); the second, I(X; Z | Y), is 0 and its draw gives (x, z, y).
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
