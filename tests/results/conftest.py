"""Two small trials on planted data, run by the one training function and kept by a real study; no Ray."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsa.config import parse
from mmsa.data import open_corpus
from mmsa.data.rows import Rows
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.records import Ending
from mmsa.search.study.study import Study
from mmsa.search.study.view import StudyView, read_study
from mmsa.training import Progress, run

SPACE: dict[str, Any] = {
    "study": "small",
    "base": {
        "data": {"name": "planted", "rows_train": 80, "rows_valid": 40, "rows_test": 40},
        "model": {"name": "late_fusion"},
        "train": {"epochs": 3, "device": "cpu"},
    },
    "search": {
        "parameters": {"optim.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}},
        "objectives": [{"metric": "valid/mae", "direction": "minimize"}],
        "trials": 2,
        "references": "constant",
        "sampler": {"name": "random"},
        "scheduler": {"name": "none"},
        "starts": ["defaults", {"optim.lr": 0.02}],
    },
}


def search(space: dict[str, Any], runs: Path) -> None:
    """Run all trials of a space, and keep them in a folder of runs."""
    config = parse(StudyConfig, space, "space")
    metric = config.search.objectives[0].metric
    corpus = open_corpus(config.base.data)
    with Study.open(config, runs) as study:
        study.bind_corpus(corpus.digest, Rows.of(corpus, "train", "valid"))
        while (suggestion := study.ask()) is not None:

            def tell(progress: Progress, number: int = suggestion.number) -> None:
                study.report(number, progress.epoch, progress.metrics, progress.best[metric])

            result = run(study.trial_config(suggestion), corpus, tell)
            study.finish(suggestion.number, Ending("completed", result.metrics, best_epoch=result.best_epoch))


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with the finished study ``small``. Read only."""
    runs = tmp_path_factory.mktemp("searched")
    search(SPACE, runs)
    return runs


@pytest.fixture
def searched_for_two(tmp_path: Path) -> Callable[[str], tuple[StudyView, Path]]:
    """Searches for a score, and whether it is high, by a metric: the study, and its folder of runs."""

    def by(metric: str) -> tuple[StudyView, Path]:
        score = np.linspace(0, 20, 80)[np.random.default_rng(0).permutation(80)]
        split = np.repeat(["train", "valid", "test"], [40, 20, 20])
        audio = score[:, None] * [0.1, 0.0] + 1
        np.savez(tmp_path / "two.npz", audio=audio, score=score, mood=(score > 9).astype(int), split=split)
        targets = {
            "score": {"low": 0, "high": 24, "threshold": 10, "suite": "phq8"},
            "mood": {"kind": "binary"},
        }
        base = {
            "data": {"name": "custom", "path": str(tmp_path / "two.npz"), "targets": targets},
            "model": {"name": "late_fusion", "audio": {"name": "mlp"}},
            "objective": {"tasks": {"mood": {"name": "bce"}}},
            "train": {"epochs": 1, "device": "cpu", "metric": metric},
        }
        base["data"]["modalities"] = ["audio"]
        objectives = [{"metric": metric}]
        search({**SPACE, "base": base, "search": {**SPACE["search"], "objectives": objectives}}, tmp_path)
        return read_study("small", tmp_path), tmp_path

    return by


@pytest.fixture
def study(searched: Path) -> StudyView:
    return read_study("small", searched)
