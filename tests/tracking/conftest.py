"""A study told by hand, and a real MLflow database to mirror it in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmsa.information.copula_panel import CopulaPanel
from mmsa.interface import StudyCard, TrialCard
from mmsa.measurement import Measurement, not_measured
from mmsa.tracking.location import Location


@pytest.fixture
def study() -> StudyCard:
    return StudyCard(
        name="planted-mmim",
        identity="5a1c",
        data_set="planted",
        metrics=("valid/mae",),
        directions=("minimize",),
        num_trials=3,
        space_yaml="study: planted-mmim\n",
        tags={"git_commit": "0f3a", "corpus_digest": "77ab"},
    )


@pytest.fixture
def trials() -> list[TrialCard]:
    def epochs(*values: float) -> dict[int, dict[str, float]]:
        return {epoch: {"valid/mae": value, "train/task": value / 2} for epoch, value in enumerate(values, 1)}

    return [
        TrialCard(
            0, "completed", {"optim.lr": 0.001}, "seed: 0\n", (0.5,), "", epochs(0.9, 0.5), 100.0, 110.0
        ),
        TrialCard(1, "pruned", {"optim.lr": 0.1}, "seed: 1\n", (0.8,), "rung 1", epochs(0.8), 100.0, 105.0),
        TrialCard(2, "diverged", {"optim.lr": 1.0}, "seed: 2\n", (), "task became nan", {}, 100.0, 101.0),
    ]


@pytest.fixture
def location(tmp_path: Path) -> Location:
    return Location.of(tmp_path / "runs")


@pytest.fixture
def information() -> dict[str, Measurement]:
    """One quantity that is there, one that is not, one that was not measured."""
    x, y = np.random.default_rng(0).standard_normal((2, 100))
    panel = CopulaPanel({"x": x, "twin": x + 0.5 * y, "y": y})
    skipped = not_measured("skipped", num_samples=100, num_groups=100, dims=(1, 1))
    return {
        "target/text": panel.measure("x", "twin"),
        "target/audio": panel.measure("x", "y"),
        "target/vision": skipped,
    }
