"""A search that is all but free, for tests of what happens around it: nodes, services, queues, faults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def planted_space(
    study: str, trials: int, *, epochs: int, batch_size: int, scheduler: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The content of a space file: one learning rate of a late fusion on a few planted rows.

    Args:
        study: its name.
        trials: how many are asked for.
        epochs: of each; with ``batch_size``, what decides how long a trial can be disturbed.
        batch_size: of 400 rows.
        scheduler: that stops trials early; by default none does.
    """
    return {
        "study": study,
        "base": {
            "data": {"name": "planted", "rows_train": 400, "rows_valid": 60},
            "model": {"name": "late_fusion"},
            "train": {"epochs": epochs, "batch_size": batch_size, "device": "cpu", "threads": 1},
        },
        "search": {
            "parameters": {"optim.lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}},
            "objectives": [{"metric": "valid/mae", "direction": "minimize"}],
            "trials": trials,
            "references": "constant",
            "sampler": {"name": "random"},
            "scheduler": {"name": "none"} if scheduler is None else dict(scheduler),
        },
    }
