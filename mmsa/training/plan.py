"""The passes of a whole run, laid out before its first step."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from mmsa.data.corpus import ModalityName
from mmsa.objectives.strategies import Strategy

Plan = tuple[tuple["PlannedPass", ...], ...]
"""The passes of each epoch."""


@dataclass(frozen=True)
class PlannedPass:
    """One pass over the training split.

    Attributes:
        loss: what is minimised.
        groups: the parameter groups that are stepped.
        order: number of the pass in the run, which determines the order of its batches.
        num_batches: batches that are visited, including repetitions for ``alone``.
        alone: if not empty, each batch is visited once for each of these modalities, with that modality
            alone.
    """

    loss: Literal["estimator", "main", "joint"]
    groups: tuple[str, ...]
    order: int
    num_batches: int
    alone: tuple[ModalityName, ...] = ()


def lay_out(
    strategy: Strategy,
    num_epochs: int,
    num_batches: int,
    groups: Collection[str],
    modalities: tuple[ModalityName, ...],
) -> Plan:
    """Lay out the passes of a run.

    Args:
        strategy: says what the passes of each epoch are.
        num_epochs: of the run.
        num_batches: of an epoch.
        groups: those with a parameter; passes that step none of them are left out.
        modalities: of the data.
    """
    plan: list[tuple[PlannedPass, ...]] = []
    order = 0
    for epoch in range(num_epochs):
        planned = []
        for part in strategy.passes(epoch):
            if set(part.groups) & set(groups):
                alone = modalities if part.alternating else ()
                visited = math.ceil(part.fraction * num_batches) * max(1, len(alone))
                planned.append(PlannedPass(part.loss, part.groups, order, visited, alone))
                order += 1
        plan.append(tuple(planned))
    return tuple(plan)


def num_steps(plan: Plan) -> int:
    """Optimiser steps of the whole run, if it does not stop early."""
    return sum(part.num_batches for epoch in plan for part in epoch)
