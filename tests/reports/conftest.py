from __future__ import annotations

from pathlib import Path

import pytest
from reports_cases import config_of, searched

from mmsa.config import parse
from mmsa.data import open_corpus
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.records import Ending
from mmsa.search.study.study import Study
from mmsa.search.study.view import StudyView, read_study
from mmsa.training import run


@pytest.fixture(scope="session")
def told_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with the study ``told`` of 40 trials. Read only."""
    runs = tmp_path_factory.mktemp("told")
    with searched(runs, config_of(), 40):
        return runs


@pytest.fixture
def told(told_runs: Path) -> StudyView:
    return read_study("told", told_runs)


SMALL = {
    "study": "small",
    "base": {
        "data": {"name": "planted", "rows_train": 80, "rows_valid": 40, "rows_test": 40},
        "model": {"name": "late_fusion"},
        "train": {"epochs": 2, "device": "cpu"},
        "information": {"quantities": []},
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
def small_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with the study ``small``, whose two trials were trained. Read only."""
    runs = tmp_path_factory.mktemp("small")
    config = parse(StudyConfig, SMALL, "space")
    corpus = open_corpus(config.base.data)
    with Study.open(config, runs) as study:
        study.bind_corpus(corpus.digest)
        while (suggestion := study.ask()) is not None:
            result = run(study.trial_config(suggestion), corpus)
            study.finish(suggestion.number, Ending("completed", result.metrics, best_epoch=result.best_epoch))
    return runs


@pytest.fixture
def small(small_runs: Path) -> StudyView:
    return read_study("small", small_runs)
