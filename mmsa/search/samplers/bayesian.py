"""Samplers that fit a model to the trials so far, and maximise what it expects to gain."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Annotated, Literal

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import GPSampler, TPESampler
from pydantic import Field
from typing_extensions import override

from mmsa.config import Named
from mmsa.errors import Problem
from mmsa.search.samplers.base import SAMPLERS, Sampler, SamplerContext, sometimes_absent
from mmsa.search.space.space import Space


@SAMPLERS.register("tpe")
class TreeParzenEstimator(Sampler):
    """Multivariate TPE (Bergstra et al. 2011); parameters that exist together are modelled together.

    With one objective it learns from pruned trials as well: a later epoch comes before an earlier one.
    """

    # It models the best 25 trials against the rest, of which the latest do: a proposal costs O(trials).
    memory = 1000

    class Config(Named):
        """When the model takes over from chance."""

        name: Literal["tpe"] = "tpe"
        startup: Annotated[int, Field(ge=1)] = 10
        """Trials chosen at random before the model is used."""

    @override
    def build(self, context: SamplerContext, num_trials: int) -> TPESampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(
                seed=context.seed_after(num_trials),
                n_startup_trials=self.config.startup,
                multivariate=True,
                # Without groups, a parameter that is missing from one trial would be missing from the model.
                group=context.space.conditional,
                # Running trials count as poor ones, so that parallel trials spread out.
                constant_liar=True,
            )


@SAMPLERS.register("gp")
class GaussianProcess(Sampler):
    """Bayesian optimisation by a Gaussian process with a Matérn kernel and log expected improvement.

    With several objectives it maximises the expected hypervolume. It learns from completed trials only, takes
    tenths of a second per trial, and leaves parameters that not every point has to chance.
    """

    class Config(Named):
        """When the model takes over from chance."""

        name: Literal["gp"] = "gp"
        startup: Annotated[int, Field(ge=2)] = 10
        """Completed trials, chosen at random, before the model is used."""

    proposals = 2  # each costs a search for the maximum, which changes little

    @override
    def problems(self, context: SamplerContext) -> Iterator[Problem]:
        if context.space.parameters and not context.space.always():
            yield Problem("name", "gp", "every parameter of this space is conditional", "Write tpe.")

    @override
    def left_to_chance(self, space: Space) -> tuple[str, ...]:
        return sometimes_absent(space)

    @override
    def build(self, context: SamplerContext, num_trials: int) -> GPSampler:
        return GPSampler(
            seed=context.seed_after(num_trials),
            n_startup_trials=self.config.startup,
            warn_independent_sampling=False,
        )
