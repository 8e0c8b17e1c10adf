"""30 positives of 162 rows: a choice by CCC, macro-F1 or AUC finds them, one by the mean error does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmsa.config import parse
from mmsa.data.corpus import Corpus, Features, Split
from mmsa.data.folds import FoldsConfig, with_folds
from mmsa.data.known_targets import CUT, DEPRESSED, SCORE
from mmsa.data.target_spec import TargetSpec
from mmsa.experiment import RunConfig
from mmsa.training import evaluate, run
from mmsa.training.constants import beaten_by, best_constants, constant_metrics

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROWS, POSITIVES = 162, 30
ADVANTAGE = 0.08  # over the best constant, of what is chosen by a metric


def people(target: TargetSpec) -> Corpus:
    """Voices that know a part of who is depressed, and nothing else of the score."""
    random = np.random.default_rng(0)
    voice_N = random.standard_normal(ROWS)
    order = np.argsort(-(0.7 * voice_N + 0.7 * random.standard_normal(ROWS)))
    score_N = np.minimum(random.exponential(3.0, ROWS).astype(int), 9)
    score_N[order[:POSITIVES]] = random.integers(int(CUT), 21, POSITIVES)
    frames_ND = random.standard_normal((ROWS, 10)) + voice_N[:, None] * random.standard_normal(10)
    ids = np.array([f"p{row}" for row in range(ROWS)])
    labels_N = score_N if target == SCORE else score_N >= CUT
    audio = Features.from_vectors(frames_ND.astype(np.float32))
    split = Split(ids, ids, labels_N.astype(np.float32), audio=audio)
    corpus = Corpus("few", target.scale, {"train": split}, targets=(target,))
    return with_folds(corpus, FoldsConfig(k=5))


def chosen_by(metric: str, task: dict[str, Any], target: TargetSpec) -> tuple[dict[str, float], Corpus]:
    """Metrics of all held-out rows of the best of three learning rates, by one metric."""
    corpus, found = people(target), []
    for lr in (0.003, 0.01, 0.03):
        values = {
            "data": {"name": "planted", "modalities": ["audio"], "folds": {"k": 5}},
            "model": {"name": "late_fusion", "audio": {"name": "mlp", "output": 8}},
            "objective": {"task": task},
            "optim": {"lr": lr, "weight_decay": 0.01},
            "train": {"epochs": 25, "batch_size": 32, "device": "cpu", "threads": 1, "metric": metric},
            "information": {"quantities": []},
        }
        config = parse(RunConfig, values, "few positives")
        result = run(config, corpus)
        found.append((result.metrics[metric], result))
    best = (min if metric.endswith("mae") else max)(found, key=lambda one: one[0])[1]
    assert best.held_out is not None
    return evaluate(corpus["valid"].labels, best.held_out, target), corpus


def constants(corpus: Corpus) -> Any:
    labels = corpus["valid"].labels
    return best_constants(constant_metrics(labels, labels, corpus.target))


@pytest.mark.parametrize(
    ("metric", "task", "target"),
    [
        ("ccc", {"name": "ccc"}, SCORE),
        ("f1_macro", {"name": "bce", "class_weights": "balanced"}, DEPRESSED),
        ("auc", {"name": "focal", "class_weights": "balanced"}, DEPRESSED),
    ],
)
def test_a_choice_that_sees_positives_is_better_than_any_constant(metric, task, target):
    metrics, corpus = chosen_by(f"valid/{metric}", task, target)
    assert metrics[metric] > constants(corpus)[metric].value + ADVANTAGE
    assert metrics["auc"] > 0.5 + ADVANTAGE
    assert not beaten_by({metric: metrics[metric], "f1_positive": metrics["f1_positive"]}, constants(corpus))


def test_the_mean_absolute_error_gives_everybody_the_median_and_this_is_told():
    metrics, corpus = chosen_by("valid/mae", {"name": "mae"}, SCORE)
    known = constants(corpus)
    by_ccc = chosen_by("valid/ccc", {"name": "ccc"}, SCORE)[0]
    assert metrics["mae"] < known["mae"].value + 0.1, "by the metric that chose nothing looks wrong"
    assert metrics["f1_positive"] < known["f1_positive"].value < by_ccc["f1_positive"]
    assert f"f1_positive {metrics['f1_positive']:.4f} (positive of train" in beaten_by(metrics, known)
