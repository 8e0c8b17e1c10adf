"""Gaussian process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from optuna.samplers import GPSampler
from pydantic import Field
from typing_extensions import override

from mmsa.config import Named
from mmsa.errors import Problem
from mmsa.search.samplers.base import SAMPLERS, Sampler, Setting, sometimes_absent
from mmsa.search.space.space import Space


@SAMPLERS.register("gp")
class GaussianProcess(Sampler):
    """Bayesian optimisation by a Gaussian process with a Matérn kernel, log expected improvement.

    Several objectives by expected hypervolume. It learns from completed trials only, and costs tenths of a
    second a trial. Parameters that not every point has are left to chance.
    """

    class Config(Named):
        """When the model takes over from chance."""

        name: Literal["gp"] = "gp"
        startup: Annotated[int, Field(ge=2)] = 10
        """Completed trials, chosen at random, before the model is used."""

    proposals = 2  # each costs a search for the maximum, which changes little

    @override
    def problems(self, setting: Setting) -> Iterator[Problem]:
        if setting.space.parameters and not setting.space.always():
            yield Problem("name", "gp", "every parameter of this space is conditional", "Write tpe.")

    @override
    def left_to_chance(self, space: Space) -> tuple[str, ...]:
        return sometimes_absent(space)

    @override
    def build(self, setting: Setting, num_trials: int) -> GPSampler:
        return GPSampler(
            seed=setting.seed_after(num_trials),
            n_startup_trials=self.config.startup,
            warn_independent_sampling=False,
        )
