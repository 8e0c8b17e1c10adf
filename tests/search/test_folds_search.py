"""A search on folds: its trials report all held-out rows together and keep the predictions of each row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmsa.config import with_overrides
from mmsa.data import open_corpus
from mmsa.search.execution.trial import PREDICTIONS
from mmsa.training import evaluate, run
from mmsa.training.folded import by_repeat
from mmsa.training.ridge import pooled, ridge_predictions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

BASE = {
    "data": {"name": "planted", "rows_train": 40, "rows_valid": 20, "folds": {"k": 3, "repeats": 2}},
    "model": {"name": "late_fusion"},
    "train": {"epochs": 2, "batch_size": 20, "device": "cpu", "threads": 1},
}


@pytest.fixture(scope="module")
def launched(make_study_config: Any, launch_for_module: Any) -> Any:
    config = make_study_config(
        base=BASE, trials=2, scheduler={"name": "asha", "grace": 1}, references="ridge"
    )
    return launch_for_module(config)


def test_trials_are_judged_by_rows_that_their_models_did_not_see(launched, launch_for_module):
    study = launched.study
    corpus = open_corpus(study.config.base.data)
    best = study.best()
    kept = np.load(launch_for_module.args[0] / study.name / "trials" / str(best.number) / PREDICTIONS)
    assert kept.shape == (2, 60)
    maes = [
        evaluate(corpus["valid"].labels[there_N], values, corpus.target)
        for there_N, values in by_repeat(kept)
    ]
    assert np.mean([metrics["mae"] for metrics in maes]) == pytest.approx(best.values[0])
    alone = run(with_overrides(study.trial_config(best), {"information.quantities": []}), corpus)
    assert alone.metrics["valid/mae"] == best.values[0], "the same run outside of a search"
    assert {"fold_mean/mae", "fold_sd/mae"} <= set(best.metrics)


def test_a_ridge_predicts_rows_that_it_was_not_fitted_on(launched):
    corpus = open_corpus(launched.study.config.base.data)
    rows, values = corpus["train"], np.empty((2, 60))
    audio = pooled(rows.audio)
    for fold in corpus.folds:
        known = [audio[fold.train]], rows.labels[fold.train], rows.groups[fold.train]
        values[fold.repeat, fold.held_out] = ridge_predictions(*known, [audio[fold.held_out]])
    expected = np.mean([np.abs(one - rows.labels).mean() for one in values])
    points = {point.name: point for point in launched.summary.references}
    assert points["ridge/audio"].metrics["valid/mae"] == pytest.approx(expected, rel=1e-5)
    gain = points["ridge/audio"].gains["valid/mae"]
    assert gain.value == pytest.approx(expected - launched.study.best().values[0], rel=1e-4)
    assert gain.low < gain.value < gain.high
