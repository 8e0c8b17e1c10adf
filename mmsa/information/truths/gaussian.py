"""Jointly Gaussian variables."""

from __future__ import annotations

import math

import numpy as np

from mmsa.information.truths.base import Floats, Truth


def gaussian_information(covariance: Floats, x_dim: int) -> float:
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

    return Truth(name, gaussian_information(covariance, x_dim), draw)


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
