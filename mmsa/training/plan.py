"""The passes of a whole run, laid out before its first step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from mmsa.objectives import Pass

Plan = tuple[tuple["PlannedPass", ...], ...]
"""The passes of each epoch."""


class Strategy(Protocol):
    """Anything of ``STRATEGIES``."""

    def passes(self, epoch: int) -> tuple[Pass, ...]:
        """The passes of ``epoch``, counted from 0."""


@dataclass(frozen=True)
class PlannedPass:
    """One pass over the training split.

    loss, groups: what is minimised, and the parameter groups that are stepped. order: number of the pass in
    the run, which determines the order of its batches. num_batches: how many of them it visits.
    """

    loss: Literal["estimator", "main", "joint"]
    groups: tuple[str, ...]
    order: int
    num_batches: int


def lay_out(strategy: Strategy, num_epochs: int, num_batches: int, has_estimators: bool) -> Plan:
    """The plan of a run over ``num_batches`` batches; without estimators their passes are left out."""
    plan: list[tuple[PlannedPass, ...]] = []
    order = 0
    for epoch in range(num_epochs):
        wanted = [part for part in strategy.passes(epoch) if has_estimators or part.loss != "estimator"]
        visited = [math.ceil(part.fraction * num_batches) for part in wanted]
        plan.append(
            tuple(
                PlannedPass(part.loss, part.groups, order + index, count)
                for index, (part, count) in enumerate(zip(wanted, visited, strict=True))
            )
        )
        order += len(wanted)
    return tuple(plan)


def num_steps(plan: Plan) -> int:
    """Optimiser steps of the whole run, if it is not stopped early."""
    return sum(part.num_batches for epoch in plan for part in epoch)
