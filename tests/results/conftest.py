"""Two small trials on planted data, run by the one training function and kept by a real study; no Ray."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmsa.config import parse
from mmsa.data import open_corpus
from mmsa.data.rows import Rows
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.records import Ending
from mmsa.search.study.study import Study
from mmsa.search.study.view import StudyView, read_study
from mmsa.training import Progress, run

SPACE = {
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


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with the finished study ``small``. Read only."""
    runs = tmp_path_factory.mktemp("searched")
    config = parse(StudyConfig, SPACE, "space")
    corpus = open_corpus(config.base.data)
    with Study.open(config, runs) as study:
        study.bind_corpus(corpus.digest, Rows.of(corpus, "train", "valid"))
        while (suggestion := study.ask()) is not None:

            def tell(progress: Progress, number: int = suggestion.number) -> None:
                study.report(number, progress.epoch, progress.metrics, progress.best["valid/mae"])

            result = run(study.trial_config(suggestion), corpus, tell)
            study.finish(suggestion.number, Ending("completed", result.metrics, best_epoch=result.best_epoch))
    return runs


@pytest.fixture
def study(searched: Path) -> StudyView:
    return read_study("small", searched)
