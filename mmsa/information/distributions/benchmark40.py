"""The 40 tasks of Czyz et al., "Beyond normal" (NeurIPS 2023), from their definitions.

Names are the ids of the authors' package ``benchmark-mi`` 0.1.3, whose settings these are: correlation 0.75
in one dimension; 2-pair normals of correlation 0.8; spirals that turn by |x|^2 / dim in the plane of the
first two coordinates of x and of the second and third of y.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import digamma, gammaln, ndtr

from mmsa.information.distributions.closed_form import Floats, Truth, multinormal

_GRID = np.linspace(-10.0, 15.0, 20_001)


def _dense(dim: int) -> Truth:
    covariance = np.full((2 * dim, 2 * dim), 0.5) + 0.5 * np.eye(2 * dim)
    return multinormal(f"multinormal-dense-{dim}-{dim}-0.5", covariance, dim)


def _two_pairs(dim: int) -> Truth:
    covariance = np.eye(2 * dim)
    for pair in range(2):
        covariance[pair, dim + pair] = covariance[dim + pair, pair] = 0.8
    return multinormal(f"multinormal-sparse-{dim}-{dim}-2-2.0", covariance, dim)


def _binormal() -> Truth:
    return multinormal("1v1-normal-0.75", np.array([[1.0, 0.75], [0.75, 1.0]]), 1)


def _additive(half_width: float) -> Truth:
    """Uniform x in uniform noise on (-half_width, half_width)."""

    def draw(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        x_N1 = rng.uniform(size=(n, 1))
        return x_N1, x_N1 + rng.uniform(-half_width, half_width, (n, 1))

    wide = half_width > 0.5
    information = 0.25 / half_width if wide else half_width - math.log(2 * half_width)
    return Truth(f"1v1-additive-{half_width}", information, draw)


def student_entropy(dim: int, degrees: float) -> float:
    """Entropy of the Student distribution with identity dispersion (Arellano-Valle et al. 2013), in nats."""
    half = 0.5 * (degrees + dim)
    volume = gammaln(0.5 * degrees) - gammaln(half) + 0.5 * dim * math.log(degrees * math.pi)
    return float(volume + half * (digamma(half) - digamma(0.5 * degrees)))


def _student(dim: int, degrees: int) -> Truth:
    """Uncorrelated, and dependent through the common scale only."""

    def draw(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        scale_N1 = np.sqrt(degrees / rng.chisquare(degrees, (n, 1)))
        points = scale_N1 * rng.standard_normal((n, 2 * dim))
        return points[:, :dim], points[:, dim:]

    information = 2 * student_entropy(dim, degrees) - student_entropy(2 * dim, degrees)
    return Truth(f"student-identity-{dim}-{dim}-{degrees}", information, draw)


def _normal_cdf(values: Floats) -> Floats:
    uniform: Floats = ndtr(values)
    return uniform


def _cdf(truth: Truth) -> Truth:
    return truth.transformed("normal_cdf", _normal_cdf, _normal_cdf)


def _half_cube(truth: Truth) -> Truth:
    def bend(values: Floats) -> Floats:
        bent: Floats = values * np.sqrt(np.abs(values))
        return bent

    return truth.transformed("half_cube", bend, bend)


def _asinh(truth: Truth) -> Truth:
    return truth.transformed("asinh", np.arcsinh, np.arcsinh)


def _wiggly(truth: Truth) -> Truth:
    def wiggle_x(x: Floats) -> Floats:
        wiggled: Floats = x + 0.4 * np.sin(x) + 0.2 * np.sin(1.7 * x + 1) + 0.03 * np.sin(3.3 * x - 2.5)
        return wiggled

    def wiggle_y(y: Floats) -> Floats:
        wiggled: Floats = (
            y - 0.4 * np.sin(0.4 * y) + 0.17 * np.sin(1.3 * y + 3.5) + 0.02 * np.sin(4.3 * y - 2.5)
        )
        return wiggled

    return truth.transformed("wiggly", wiggle_x, wiggle_y)


def _mixture_quantile(weight: float, first: float, second: float) -> Callable[[Floats], Floats]:
    """Quantile function, at normal-CDF arguments, of a mixture of two unit normals; tabulated by its CDF."""
    table = weight * ndtr(_GRID - first) + (1 - weight) * ndtr(_GRID - second)

    def quantile(normal_values: Floats) -> Floats:
        values: Floats = np.interp(ndtr(normal_values), table, _GRID)
        return values

    return quantile


def _bimodal(truth: Truth) -> Truth:
    bent = truth.transformed("", _mixture_quantile(0.3, 0.0, 5.0), _mixture_quantile(0.5, -1.0, 3.0))
    return Truth("1v1-bimodal-0.75", bent.information, bent.draw)


def _swiss_roll(truth: Truth) -> Truth:
    def roll(x_N1: Floats) -> Floats:
        angle_N1 = 1.5 * math.pi * (1 + 2 * x_N1)
        return np.hstack([angle_N1 * np.cos(angle_N1), angle_N1 * np.sin(angle_N1)]) / 21

    return truth.transformed("swissroll_x", roll, lambda y_N1: y_N1)


def _spiral(truth: Truth) -> Truth:
    def turn(points_ND: Floats, i: int, j: int) -> Floats:
        angle_N = (points_ND**2).mean(1)  # |x|^2 / dim
        cosine_N, sine_N = np.cos(angle_N), np.sin(angle_N)
        turned_ND = points_ND.copy()
        turned_ND[:, i] = cosine_N * points_ND[:, i] - sine_N * points_ND[:, j]
        turned_ND[:, j] = sine_N * points_ND[:, i] + cosine_N * points_ND[:, j]
        return turned_ND

    return truth.transformed("spiral", lambda x_ND: turn(x_ND, 0, 1), lambda y_ND: turn(y_ND, 1, 2))


def _tasks() -> dict[str, Truth]:
    normal, wide = _binormal(), [_two_pairs(dim) for dim in (3, 5, 25)]
    one_dimensional = [
        normal,
        _cdf(normal),
        _additive(0.1),
        _additive(0.75),
        _bimodal(normal),
        _wiggly(normal),
        _half_cube(normal),
        _student(1, 1),
        _asinh(_student(1, 1)),
        _swiss_roll(_cdf(normal)),
    ]
    normals = [*(_dense(dim) for dim in (2, 3, 5, 25, 50)), _two_pairs(2), *wide]
    students = [_student(dim, degrees) for dim, degrees in ((2, 1), (2, 2), (3, 2), (3, 3), (5, 2), (5, 3))]
    transformed = [
        *(transform(task) for transform in (_cdf, _half_cube, _spiral) for task in wide),
        *(_spiral(_cdf(task)) for task in wide),
        *(_asinh(_student(dim, degrees)) for dim, degrees in ((2, 1), (3, 2), (5, 2))),
    ]
    return {task.name: task for task in (*one_dimensional, *normals, *students, *transformed)}


BENCHMARK_40 = _tasks()
"""Name to truth."""
