"""Schedulers: which trials are stopped before their last epoch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from mmsa.config import Block
from mmsa.registry import Registry

SCHEDULERS: Registry[Any] = Registry("scheduler")


@SCHEDULERS.register("asha")
class SuccessiveHalving:
    """Asynchronous successive halving (Li et al. 2020), stopping form: the best of each rung go on."""

    class Config(Block):
        """Where the rungs are."""

        name: Literal["asha"] = "asha"
        grace: Annotated[int, Field(ge=1)] = 3
        """Epochs every trial may run; the first rung."""
        reduction: Annotated[int, Field(ge=2)] = 3
        """Factor between rungs, and between the trials that reach them."""

    def __init__(self, config: Config):
        self.config = config

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """The epochs, below ``epochs``, after which a trial may be stopped."""
        rungs = []
        rung = self.config.grace
        while rung < epochs:
            rungs.append(rung)
            rung *= self.config.reduction
        return tuple(rungs)


@SCHEDULERS.register("none")
class NoScheduler:
    """Every trial runs until its own early stop."""

    class Config(Block):
        """No settings."""

        name: Literal["none"] = "none"

    def __init__(self, config: Config):
        self.config = config

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """No rungs."""
        return ()
