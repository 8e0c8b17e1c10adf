"""Samplers that learn nothing: independent draws, and draws that keep their distance."""

from __future__ import annotations

from typing import Any, Literal

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial
from typing_extensions import override

from mmsa.config import Named
from mmsa.search.samplers.base import SAMPLERS, Sampler, SamplerContext, TurnCounter
from mmsa.search.samplers.unit import from_cube
from mmsa.search.space.space import Space
from mmsa.seeding import derive_seed


@SAMPLERS.register("random")
class Random(Sampler):
    """Independent uniform draws."""

    class Config(Named):
        """No settings."""

        name: Literal["random"] = "random"

    @override
    def build(self, context: SamplerContext, num_trials: int) -> RandomSampler:
        return RandomSampler(seed=context.seed_after(num_trials))


@SAMPLERS.register("qmc")
class QuasiRandom(Sampler):
    """A scrambled Sobol sequence: uniform draws that leave no gaps (Owen 1998).

    Every parameter has a coordinate of its own, also one that exists only sometimes. Trial n takes point n of
    the sequence, so that no point comes twice and a study goes on where it was.
    """

    class Config(Named):
        """No settings."""

        name: Literal["qmc"] = "qmc"

    @override
    def build(self, context: SamplerContext, num_trials: int) -> BaseSampler:
        return _SobolSampler(context.space, context.seed, TurnCounter(num_trials))


class _SobolSampler(BaseSampler):  # type: ignore[misc]
    def __init__(self, space: Space, seed: int, turns: TurnCounter):
        self._distributions, self._seed, self._turns = space.distributions(), seed, turns

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        from scipy.stats.qmc import Sobol

        if not search_space:
            return {}
        turn, refused = self._turns.next(trial)
        # A trial whose point was refused is given one of another scrambling, not its neighbour's.
        sequence = Sobol(len(search_space), rng=derive_seed(self._seed, "sobol", refused))
        if turn:  # SciPy cannot go forward by nothing
            sequence.fast_forward(turn)
        point = sequence.random(1)[0]
        return from_cube(search_space, point)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        raise AssertionError(f"{param_name} is not in the space this sampler was made for")
