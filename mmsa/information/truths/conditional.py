"""Test-beds of conditional information.

Models F and G: Mukherjee et al., CCMI (UAI 2019). Chain: Molavipour et al., CMINE (2020).
"""

from __future__ import annotations

import math

import numpy as np

from mmsa.information.truths.base import ConditionalTruth, Floats

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
