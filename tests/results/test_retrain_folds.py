"""A retraining by folds: the epoch of the folds, then one model of all rows, or the folds together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmsa.results.retrain
from mmsa.config import parse, with_overrides
from mmsa.data import open_corpus
from mmsa.experiment import RunConfig
from mmsa.results.exported import Exported
from mmsa.results.retrain import retrain
from mmsa.results.retrained import RetrainReport
from mmsa.results.seeds import kept_seed
from mmsa.training import epochs, run
from mmsa.training.bundle import load_bundle
from mmsa.training.folded import refit

CONFIG = parse(
    RunConfig,
    {
        "data": {"name": "planted", "rows_train": 50, "rows_valid": 25, "rows_test": 60, "folds": {"k": 3}},
        "model": {"name": "late_fusion"},
        "train": {"epochs": 3, "batch_size": 20, "device": "cpu", "threads": 1},
        "information": {"quantities": []},
    },
    "test",
)


def retrained(runs: Path, changes: dict[str, Any]) -> tuple[RetrainReport, list[str]]:
    said: list[str] = []
    exported = Exported(config=with_overrides(CONFIG, changes))
    return retrain(exported, num_seeds=1, overrides={}, runs=runs, say=said.append), said


def test_the_model_that_is_kept_has_learned_from_all_rows(tmp_path: Path) -> None:
    report, said = retrained(tmp_path, {})
    corpus, test = open_corpus(CONFIG.data), open_corpus(CONFIG.data, ("test",))["test"]
    chosen = run(CONFIG, corpus)
    assert said[-1] == f"seed 1/1 (0) refit on all 75 rows for {chosen.best_epoch} epochs"
    (result,) = report.seeds
    assert result.best_epoch == chosen.best_epoch
    assert result.metrics["valid/mae"] == chosen.metrics["valid/mae"]
    kept = load_bundle(result.bundle).predict(test)
    assert np.array_equal(kept, refit(CONFIG, corpus, chosen).predict(test))
    assert result.test["mae"] == pytest.approx(np.abs(kept - test.labels).mean(), rel=1e-5)


def test_the_models_of_the_folds_can_be_kept_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmsa.results.retrain, "decomposed", lambda *_: None)  # seconds of networks
    monkeypatch.setattr(mmsa.results.retrain, "save_information", lambda *_: None)
    report, _ = retrained(tmp_path, {"data.folds.final": "bag", "information.quantities": ["target"]})
    (result,) = report.seeds
    test = open_corpus(CONFIG.data, ("test",))["test"]
    bag = load_bundle(result.bundle)
    assert len(bag.parts()) == 3
    mean = np.mean([part.predict(test) for part in bag.parts()], axis=0)
    assert np.array_equal(bag.predict(test), mean)
    assert result.test["mae"] == pytest.approx(np.abs(mean - test.labels).mean(), rel=1e-5)
    measured = result.information["target/fusion"]
    assert (measured.num_samples, measured.folds) == (60, 3), "of each network, never of all at once"


def test_a_comparison_sees_rows_through_models_that_did_not_learn_from_them(tmp_path: Path) -> None:
    corpus = open_corpus(CONFIG.data)
    kept = kept_seed(CONFIG, corpus, tmp_path / "seed", tmp_path / "cache", "", lambda line: None)
    *_, last = epochs(CONFIG, corpus)
    assert np.array_equal(kept.predictions, last.valid_predictions)
    assert not np.array_equal(kept.predictions, load_bundle(kept.bundle).predict(corpus["valid"]))
    mae = np.abs(kept.predictions - corpus["valid"].labels).mean()
    assert kept.metrics["valid/mae"] == pytest.approx(mae, rel=1e-5)
