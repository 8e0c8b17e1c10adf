"""Small runs on planted data, of the real models and objectives."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmsa.config import parse, with_overrides
from mmsa.data import Corpus, open_corpus
from mmsa.experiment import RunConfig
from mmsa.training import epochs, run, save_bundle

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


@pytest.fixture(scope="session")
def configure() -> Configure:
    """A small MMIM run on a CPU with dotted overrides, such as ``configure({"optim.lr": 0.01})``."""

    def make(changes: dict[str, Any] | None = None) -> RunConfig:
        return with_overrides(parse(RunConfig, BASE, "tests"), changes or {})

    return make


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def _first_epoch(late_fusion: Configure, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("saved") / "checkpoint"
    next(epochs(late_fusion(), corpus)).save(folder)
    return folder


@pytest.fixture
def saved(_first_epoch: Path, tmp_path: Path) -> Path:
    """A checkpoint of ``late_fusion()`` after its first epoch, to be spoilt."""
    return Path(shutil.copytree(_first_epoch, tmp_path / "checkpoint"))


@pytest.fixture(scope="session")
def _one_bundle(late_fusion: Configure, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("bundles") / "bundle"
    save_bundle(run(late_fusion({"train.epochs": 1}), corpus), folder)
    return folder


@pytest.fixture
def bundle(_one_bundle: Path, tmp_path: Path) -> Path:
    """The bundle of ``late_fusion({"train.epochs": 1})``, to be spoilt."""
    return Path(shutil.copytree(_one_bundle, tmp_path / "bundle"))
