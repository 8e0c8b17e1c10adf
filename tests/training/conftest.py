"""Small runs on planted data, of the real models and objectives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mmsa.config import parse, with_overrides
from mmsa.data import Corpus, open_corpus
from mmsa.experiment import RunConfig

BASE: dict[str, Any] = {
    "data": {"name": "planted", "rows_train": 90, "rows_valid": 40, "rows_test": 30},
    "model": {"name": "mmim", "fusion": {"name": "mlp", "width": 16}},
    "objective": {
        "terms": {"cpc": {"weight": 0.1}, "barber_agakov": {"weight": 0.1}},
        "strategy": {"name": "two_stage"},
    },
    "train": {"epochs": 3, "batch_size": 16, "threads": 1, "device": "cpu"},
}

Configure = Callable[..., RunConfig]


@pytest.fixture
def configure() -> Configure:
    """A small MMIM run on a CPU with dotted overrides, such as ``configure({"optim.lr": 0.01})``."""

    def make(changes: dict[str, Any] | None = None) -> RunConfig:
        return with_overrides(parse(RunConfig, BASE, "tests"), changes or {})

    return make


@pytest.fixture
def late_fusion(configure: Configure) -> Configure:
    """The same with late fusion and the task loss alone."""

    def make(changes: dict[str, Any] | None = None) -> RunConfig:
        changes = {"objective.terms": {}, "objective.strategy.name": "joint", **(changes or {})}
        return configure(
            {"model.name": "late_fusion", "model.fusion": {"name": "mlp", "width": 16}, **changes}
        )

    return make


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    """The corpus of both, with its test split."""
    return open_corpus(parse(RunConfig, BASE, "tests").data, ("train", "valid", "test"))
