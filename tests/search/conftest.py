from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from witness import Witness

from mmsa.config import parse
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.study.view import StudyView, read_study
from mmsa.search.summary import SearchSummary

MakeValues = Callable[..., dict[str, Any]]
MakeStudyConfig = Callable[..., StudyConfig]


def _make_values(
    parameters: Mapping[str, Any] | None = None,
    *,
    study: str = "tried",
    base: Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
    **search: Any,
) -> dict[str, Any]:
    """The contents of a space file on small planted data."""
    lr = {"optim.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}}
    return {
        "study": study,
        "base": {
            "data": {"name": "planted", "rows_train": 40, "rows_valid": 20, "rows_test": 20},
            "model": {"name": "mmim"},
            "train": {"epochs": 2, "batch_size": 20, "device": "cpu", "threads": 1},
            **(base or {}),
        },
        "search": {
            "parameters": lr if parameters is None else dict(parameters),
            "objectives": [{"metric": "valid/mae", "direction": "minimize"}],
            "trials": 4,
            "sampler": {"name": "random"},
            "references": "constant",
            **search,
        },
        "resources": dict(resources or {}),
    }


@pytest.fixture
def make_values() -> MakeValues:
    return _make_values


@pytest.fixture(scope="session")
def make_study_config() -> MakeStudyConfig:
    def make(*args: Any, **kwargs: Any) -> StudyConfig:
        return parse(StudyConfig, _make_values(*args, **kwargs), "space.yaml")

    return make


@dataclass
class Launched:
    """A search that has ended: its summary, its study, what observers and the user were told."""

    summary: SearchSummary
    study: StudyView
    witness: Witness
    said: list[str]


@pytest.fixture
def witness() -> Witness:
    return Witness()


def launch_in(runs: Path, config: StudyConfig, witness: Witness | None = None, **options: Any) -> Launched:
    """Run a search in the folder ``runs``, one trial at a time: starting workers is most of its cost."""
    from mmsa.search.execution.executor import SearchOptions, run_search

    witness, said = witness or Witness(), []
    options = {"concurrency": 1, **options}
    summary = run_search(config, SearchOptions(runs, **options), [witness], said.append)
    return Launched(summary, read_study(config.study, runs), witness, said)


@pytest.fixture
def launch(ray_session: None, tmp_path: Path) -> Callable[..., Launched]:
    """A function that runs a search in a folder of its own."""
    return partial(launch_in, tmp_path / "runs")


@pytest.fixture(scope="module")
def launch_for_module(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Launched]:
    """The same for the tests of a module together."""
    return partial(launch_in, tmp_path_factory.mktemp("runs"))
