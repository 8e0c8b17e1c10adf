"""Stop rules: when a search ends although more trials were asked for."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import Field
from typing_extensions import override

from mmsa.config import Block, Named
from mmsa.errors import Problem
from mmsa.interface import Scalar
from mmsa.registry import Registry
from mmsa.search.records import STANDARD_ERRORS, TrialRecord
from mmsa.search.samplers.unit import to_unit
from mmsa.search.space.parameters import GATE
from mmsa.search.space.shares import QUANTILE
from mmsa.search.space.space import Space
from mmsa.seeding import derive_seed

if TYPE_CHECKING:
    from sklearn.gaussian_process import GaussianProcessRegressor

Floats = NDArray[np.float64]

STOPS: Registry[StopRule] = Registry("stop rule")

_MISSING = 0.5  # stands for a parameter that does not exist at a point
_DELTA = 0.1  # probability that the bounds do not hold
_PROBES = 2048  # random points at which the bound over the space is sought
_FEWEST_POINTS = 20
_MOST_POINTS = 200  # the effort grows with their cube


class StopRule:
    """When to stop, by the settings of its ``Config``.

    Attributes:
        config: its settings.
        next_look: number of trials below which it is not worth asking for a ``reason``.
    """

    def __init__(self, config: Block):
        self.config: Any = config
        self.next_look = math.inf

    def problems(self, num_objectives: int) -> Iterator[Problem]:
        """Why the rule does not fit the study; paths are relative to its block."""
        yield from ()

    def reason(self, completed: Sequence[TrialRecord], space: Space, metric: str, direction: str) -> str:
        """Why the search should stop now; empty to continue.

        Args:
            completed: the completed trials of the search that lie in the space as it is now.
            space: that is searched.
            metric: the objective.
            direction: ``minimize`` or ``maximize``.
        """
        raise NotImplementedError


@STOPS.register("never")
class Never(StopRule):
    """The search has the trials it was asked for."""

    class Config(Named):
        """No settings."""

        name: Literal["never"] = "never"

    @override
    def reason(self, completed: Sequence[TrialRecord], space: Space, metric: str, direction: str) -> str:
        return ""


@STOPS.register("noise")
class Noise(StopRule):
    """Stops when the possible gain is less than what the valid split can tell apart (Makarova et al. 2022).

    The gain is at most the difference between an upper bound on the best point found and a lower bound on the
    best point of the space, see ``regret_bound``. The split tells apart what differs by more than the
    bootstrap standard error of the best trial's metric: a choice between trials that differ by less is left
    to chance.

    Optuna's terminator implements the same paper; docs/decisions says why this rule is not replaced by it.
    """

    class Config(Named):
        """When to look for the first time."""

        name: Literal["noise"] = "noise"
        after: Annotated[int, Field(ge=10)] = 20
        """Completed trials before the first look; from then on after each twentieth part more."""

    def __init__(self, config: Config):
        super().__init__(config)
        self.next_look = config.after

    @override
    def problems(self, num_objectives: int) -> Iterator[Problem]:
        if num_objectives > 1:
            rule = f"has no notion of {num_objectives} objectives at once"
            yield Problem("name", "noise", rule, "Write never, or keep one objective.")

    @override
    def reason(self, completed: Sequence[TrialRecord], space: Space, metric: str, direction: str) -> str:
        if len(completed) < self.next_look or not space.parameters:
            return ""
        self.next_look = math.ceil(1.05 * len(completed))
        values_N = np.array([trial.values[0] for trial in completed])
        losses_N = values_N if direction == "minimize" else -values_N
        feasible_N = np.array([trial.violation == 0 for trial in completed])
        if not feasible_N.any():
            return ""
        losses_N[~feasible_N] = losses_N[feasible_N].max()
        best = completed[int(np.argmin(losses_N))]
        error = best.notes.get(STANDARD_ERRORS, {}).get(metric)
        if error is None:  # stored by a version that did not measure it
            return ""
        bound = regret_bound(embed(space, [trial.overrides for trial in completed]), losses_N, space)
        if bound >= error:
            return ""
        return (
            f"after {len(completed)} completed trials at most {bound:.2g} of {metric} is still to be gained, "
            f"less than the standard error of the best trial's, {error:.2g}"
        )


def regret_bound(points_NP: Floats, values_N: Floats, space: Space) -> float:
    """Upper bound, with probability 0.9, on how far the best point found is from the best of the space.

    The difference between the lowest upper confidence bound at a point found and the lowest lower one in the
    space, of a Gaussian process with noise: Makarova et al. (2022), equation 4, with the confidence ``beta =
    2 log(P n^2 pi^2 / (6 delta)) / 5`` of Srinivas et al. (2010).

    Args:
        points_NP: from ``embed``.
        values_N: of the points; smaller ones are better.
        space: of the points.
    """
    # Fitted to the better half: near the optimum, the worse half would only make the surface look rougher.
    kept = np.argsort(values_N, kind="stable")[: min(max(len(values_N) // 2, _FEWEST_POINTS), _MOST_POINTS)]
    points_NP, values_N = points_NP[kept], values_N[kept]
    if np.ptp(values_N) == 0:
        return 0.0
    scale = values_N.std()
    surface = _fit(points_NP, (values_N - values_N.mean()) / scale)
    num_points, num_columns = points_NP.shape
    width = math.sqrt(2 * math.log(num_columns * num_points**2 * math.pi**2 / (6 * _DELTA)) / 5)
    mean_N, deviation_N = surface.predict(points_NP, return_std=True)
    probes_MP = np.vstack([points_NP, _anywhere(space)])
    mean_M, deviation_M = surface.predict(probes_MP, return_std=True)
    best_found = np.min(mean_N + width * deviation_N)
    best_there_is = np.min(mean_M - width * deviation_M)
    return float(scale * (best_found - best_there_is))


def _fit(points_NP: Floats, values_N: Floats) -> GaussianProcessRegressor:
    """A Gaussian process whose deviations are those of a point's mean, without the noise of one trial."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    num_columns = points_NP.shape[1]
    shape = ConstantKernel(1.0, (0.05, 20.0)) * Matern(np.full(num_columns, 0.5), (0.05, 20.0), nu=2.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a parameter without influence goes to the limit
        noisy = GaussianProcessRegressor(shape + WhiteKernel(0.1, (1e-4, 2.0))).fit(points_NP, values_N)
    noise = noisy.kernel_.k2.noise_level
    surface = GaussianProcessRegressor(noisy.kernel_.k1, alpha=noise, optimizer=None)
    return surface.fit(points_NP, values_N)


def embed(space: Space, points: Sequence[Mapping[str, Scalar]]) -> Floats:
    """(N, P) points of the space in [0, 1], with a column for each choice and for each gate of an exact 0."""
    params = [space.encode(point) for point in points]
    return np.hstack([_column(space, name, params) for name in space.distributions()])


def _column(space: Space, name: str, params: list[dict[str, Any]]) -> Floats:
    distribution = space.distributions()[name]
    if isinstance(distribution, CategoricalDistribution):
        return np.array([[p.get(name) == choice for choice in distribution.choices] for p in params], float)
    if name.endswith(GATE):
        zero = space.zero_below(name)
        return np.array([[p[name] < zero if name in p else _MISSING] for p in params], float)
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    return np.array([[to_unit(distribution, p[name]) if name in p else _MISSING] for p in params])


def _anyhow_divided(space: Space, random: np.random.Generator) -> dict[str, Floats]:
    """(M, 1) for each quantile of shares: those that trials can have.

    Most uniform ones are not, and far from all trials the bound is as wide as where nothing is known.
    """
    columns: dict[str, Floats] = {}
    for shares, members in space.groups.values():
        drawn_MK = random.random((_PROBES, len(members)))
        weights = (shares.weights(dict(zip(members, row, strict=True))) for row in drawn_MK.tolist())
        canonical_MK = np.array([[*shares.quantiles(found).values()] for found in weights])
        columns |= {path + QUANTILE: canonical_MK[:, [k]] for k, path in enumerate(members)}
    return columns


def _anywhere(space: Space) -> Floats:
    """(M, P) uniform points of the embedded space, whether or not their parameters exist together."""
    random = np.random.default_rng(derive_seed("regret bound"))
    columns = []
    quantiles = _anyhow_divided(space, random)
    for name, distribution in space.distributions().items():
        if isinstance(distribution, CategoricalDistribution):
            chosen_M = random.integers(len(distribution.choices), size=_PROBES)
            columns.append(np.eye(len(distribution.choices))[chosen_M])
        elif name.endswith(GATE):
            columns.append((random.random((_PROBES, 1)) < space.zero_below(name)).astype(float))
        elif name in quantiles:
            columns.append(quantiles[name])
        else:
            columns.append(random.random((_PROBES, 1)))
    return np.hstack(columns)
