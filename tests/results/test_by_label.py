from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from mmsa.data.target_spec import TargetSpec
from mmsa.results.by_label import by_label, label_lines


def test_each_label_has_its_own_f1_and_auc_over_seeds() -> None:
    emotions = TargetSpec("emotions", "multilabel", classes=("happy", "sad", "never"))
    drawn = np.random.default_rng(0)
    truth = (drawn.random((60, 3)) < (0.4, 0.3, 0.0)).astype(np.float32)
    truth[:5, 1] = np.nan
    told = [{"emotions": drawn.random((60, 3)).astype(np.float32)} for _ in range(2)]
    happy, sad, never = by_label({emotions: truth}, told, emotions)
    known = ~np.isnan(truth[:, 1])
    expected = [f1_score(truth[known, 1], one["emotions"][known, 1] >= 0.5) for one in told]
    assert sad.f1 == pytest.approx(np.mean(expected))
    assert (sad.positives, sad.rows) == (int(truth[known, 1].sum()), 55)
    assert sad.everybody == pytest.approx(f1_score(truth[known, 1], np.ones(55)))
    expected = [roc_auc_score(truth[:, 0], one["emotions"][:, 0]) for one in told]
    assert happy.auc == pytest.approx(np.mean(expected))
    assert (never.positives, never.f1, never.auc) == (0, None, None)
    lines = label_lines([happy, sad, never])
    assert [line.split()[0] for line in lines[2:]] == ["happy", "sad", "never"]
    assert lines[4].split()[1:] == ["0", "of", "60", "-", "-", "-"]
    assert label_lines([replace(sad, name="x")])[1].split()[:2] == ["label", "positive"]


def test_labels_of_further_targets_bear_their_name_and_other_kinds_have_none() -> None:
    score, emotions = TargetSpec("score"), TargetSpec("emotions", "multilabel", classes=("happy", "sad"))
    truth = {score: np.zeros(4, np.float32), emotions: np.eye(4, 2, dtype=np.float32)}
    told = [{"score": np.zeros(4, np.float32), "emotions": np.full((4, 2), 0.2, np.float32)}]
    assert [result.name for result in by_label(truth, told, score)] == ["emotions/happy", "emotions/sad"]
    assert label_lines(by_label({score: truth[score]}, told, score)) == []
