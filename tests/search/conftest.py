from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from mmsa.config import parse
from mmsa.search.study_config import StudyConfig

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
            **search,
        },
        "resources": dict(resources or {}),
    }


@pytest.fixture
def make_values() -> MakeValues:
    return _make_values


@pytest.fixture
def make_study_config() -> MakeStudyConfig:
    def make(*args: Any, **kwargs: Any) -> StudyConfig:
        return parse(StudyConfig, _make_values(*args, **kwargs), "space.yaml")

    return make
