"""Tree-structured Parzen estimator."""

from __future__ import annotations

import warnings
from typing import Annotated, Literal

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from pydantic import Field
from typing_extensions import override

from mmsa.config import Named
from mmsa.search.samplers.base import SAMPLERS, Sampler, Setting


@SAMPLERS.register("tpe")
class TreeParzenEstimator(Sampler):
    """Multivariate TPE (Bergstra et al. 2011); parameters that exist together are modelled together.

    Running trials count as poor ones, so that parallel trials spread out (constant liar). With one objective
    it learns from pruned trials as well: a later epoch comes before an earlier one. It models the best 25
    trials against the rest, and a proposal costs O(trials), so of the rest the latest will do.
    """

    memory = 1000

    class Config(Named):
        """When the model takes over from chance."""

        name: Literal["tpe"] = "tpe"
        startup: Annotated[int, Field(ge=1)] = 10
        """Trials chosen at random before the model is used."""

    @override
    def build(self, setting: Setting, num_trials: int) -> TPESampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(
                seed=setting.seed_after(num_trials),
                n_startup_trials=self.config.startup,
                multivariate=True,
                group=setting.space.conditional,
                constant_liar=True,
            )
