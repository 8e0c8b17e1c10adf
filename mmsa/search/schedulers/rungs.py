"""Rungs: epochs at which trials are compared."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

import numpy as np
from pydantic import Field

from mmsa.config import Named


class RungSettings(Named):
    """Where the rungs are."""

    grace: Annotated[int, Field(ge=1)] = 3
    """Epochs every trial may run; the first rung."""
    reduction: Annotated[int, Field(ge=2)] = 3
    """Factor between rungs, and between the trials that reach them."""

    def levels(self, epochs: int) -> tuple[int, ...]:
        """The rungs below ``epochs``."""
        levels = []
        level = self.grace
        while level < epochs:
            levels.append(level)
            level *= self.reduction
        return tuple(levels)


class Rungs:
    """Which trials reached which rung, and with which loss.

    losses: for each of ``levels``, by trial.
    """

    def __init__(self, levels: tuple[int, ...]):
        self.levels = levels
        self.losses: list[dict[int, float]] = [{} for _ in levels]

    def enter(self, trial: int, epoch: int, loss: float) -> int | None:
        """The place of the highest rung that the trial has reached; None if it had been there before."""
        place = sum(level <= epoch for level in self.levels) - 1
        if place < 0 or trial in self.losses[place]:
            return None
        self.losses[place][trial] = loss
        return place

    def is_worse(self, trial: int, place: int, part: float) -> bool:
        """Whether the trial is worse than the ``part`` quantile of the others at its rung."""
        losses = self.losses[place]
        others = [loss for other, loss in losses.items() if other != trial]
        return bool(others) and losses[trial] > float(np.quantile(others, part))

    def best(self, place: int, count: int, without: Collection[int] = ()) -> list[int]:
        """The ``count`` best trials of a rung, some left out, best first; of equal ones the earlier."""
        losses = self.losses[place]
        return sorted(losses.keys() - set(without), key=lambda trial: (losses[trial], trial))[:count]
