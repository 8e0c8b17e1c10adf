"""Running means of the scalars of each step, and the first step at which one of them stopped being finite.

Reading a value from an accelerator makes the host wait for it. So everything is added up where it is
computed, and nothing is read back until somebody asks. Shapes: K scalars that are given together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmsa.errors import TrainingDiverged

_NEVER = torch.iinfo(torch.int64).max


@dataclass
class _Sums:
    """Sums of K scalars.

    Attributes:
        total: (K,) float64.
        first_bad: (K,) int64, the step at which each sum stopped being finite.
        count: of additions.
    """

    total: Tensor
    first_bad: Tensor
    count: int = 0


class Monitors:
    """Collects scalars by metric name over an epoch. Steps may have different sets of names."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, ...], _Sums] = {}

    def add(self, step: int, values: Mapping[str, Tensor]) -> None:
        """Add the scalars of ``step``. If several stop being finite in one step, the first one is blamed."""
        if not values:
            return
        names = tuple(values)
        values_K = torch.stack([value.detach().double() for value in values.values()])
        if names not in self._sums:
            never_K = torch.full((len(names),), _NEVER, device=values_K.device)
            self._sums[names] = _Sums(torch.zeros_like(values_K), never_K)
        sums = self._sums[names]
        sums.total += values_K
        sums.count += 1
        # A sum that is not finite stays so, hence the smallest step at which it is not is the first one.
        bad_K = torch.where(torch.isfinite(sums.total), _NEVER, step)
        sums.first_bad = torch.minimum(sums.first_bad, bad_K)

    def check(self) -> None:
        """Read back whether everything has been finite so far.

        Raises:
            TrainingDiverged: with the first step and name that were not.
        """
        failures = [
            (step, name, total)
            for names, sums in self._sums.items()
            for step, name, total in zip(sums.first_bad.tolist(), names, sums.total.tolist(), strict=True)
            if step != _NEVER
        ]
        if failures:
            step, name, total = min(failures, key=lambda failure: failure[0])
            raise TrainingDiverged(step, name.partition("/")[2], total)

    def means(self) -> dict[str, float]:
        """The mean of each scalar over the steps that had it.

        Raises:
            TrainingDiverged: as ``check``.
        """
        self.check()
        totals: dict[str, float] = {}
        counts: dict[str, int] = {}
        for names, sums in self._sums.items():
            for name, total in zip(names, sums.total.tolist(), strict=True):
                totals[name] = totals.get(name, 0.0) + total
                counts[name] = counts.get(name, 0) + sums.count
        return {name: total / counts[name] for name, total in totals.items()}

    def state_dict(self) -> list[dict[str, Any]]:
        """Everything collected so far, for a checkpoint in the middle of an epoch."""
        return [
            {"names": list(names), "total": sums.total, "first_bad": sums.first_bad, "count": sums.count}
            for names, sums in self._sums.items()
        ]

    def load_state_dict(self, state: list[dict[str, Any]], device: torch.device) -> None:
        """Continue where ``state_dict`` was taken."""
        self._sums = {
            tuple(part["names"]): _Sums(part["total"].to(device), part["first_bad"].to(device), part["count"])
            for part in state
        }
