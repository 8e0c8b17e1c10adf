"""Samplers: how the next point of a space is chosen."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, Literal

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from pydantic import Field

from mmsa.config import Block
from mmsa.registry import Registry

optuna.logging.set_verbosity(optuna.logging.WARNING)

SAMPLERS: Registry[Any] = Registry("sampler")


@SAMPLERS.register("tpe")
class TreeParzenEstimator:
    """Multivariate TPE (Bergstra et al. 2011); parameters that exist together are modelled together.

    Running trials count as poor ones, so that parallel trials spread out (constant liar).
    """

    class Config(Block):
        """When the model takes over from chance."""

        name: Literal["tpe"] = "tpe"
        startup: Annotated[int, Field(ge=1)] = 10
        """Trials chosen at random before the model is used."""

    def __init__(self, config: Config):
        self.config = config

    def build(self, seed: int, conditional: bool) -> BaseSampler:
        """The Optuna sampler."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(
                seed=seed,
                n_startup_trials=self.config.startup,
                multivariate=True,
                group=conditional,
                constant_liar=True,
            )


@SAMPLERS.register("random")
class Random:
    """Independent uniform draws."""

    class Config(Block):
        """No settings."""

        name: Literal["random"] = "random"

    def __init__(self, config: Config):
        self.config = config

    def build(self, seed: int, conditional: bool) -> BaseSampler:
        """The Optuna sampler."""
        return RandomSampler(seed=seed)
