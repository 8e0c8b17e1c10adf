"""The honest value of a choice: right where there is nothing to choose, and near the naive where there is."""

from __future__ import annotations

import numpy as np
import pytest

from mmsa.data import Corpus
from mmsa.data.corpus import Features, Split
from mmsa.data.folds import FoldsConfig, with_folds
from mmsa.training.honest import HonestEstimate, honest_estimate


def people(labels: np.ndarray, rows_each: int = 1) -> Corpus:
    ids = np.array([f"r{row}" for row in range(len(labels))])
    groups = np.array([f"p{row // rows_each}" for row in range(len(labels))])
    audio = Features.from_vectors(np.zeros((len(ids), 1), np.float32))
    split = Split(ids, groups, labels.astype(np.float32), audio=audio)
    return with_folds(Corpus("tiny", (-9.0, 9.0), {"train": split}), FoldsConfig(k=5, stratify=()))


def test_64_trials_of_noise_look_good_and_are_told_to_be_nothing():
    """The value of a prediction that knows nothing is 0; the interval has to hold it in 85 % of repeats."""
    naive, corrected, held = [], [], 0
    for repeat in range(50):
        generator = np.random.default_rng(repeat)
        corpus = people(generator.standard_normal(80))
        runs = list(generator.standard_normal((64, 1, 1, 80)).astype(np.float32))
        found = honest_estimate(corpus, runs, "pearson", minimize=False, draws=200, seed=repeat)
        naive.append(found.naive)
        corrected.append(found.value)
        held += found.low <= 0.0 <= found.high
    assert np.mean(naive) > 0.2
    assert abs(np.mean(corrected)) < 0.05
    assert held >= 43


def test_epochs_are_candidates_too():
    generator = np.random.default_rng(0)
    corpus = people(generator.standard_normal(80))
    runs = list(generator.standard_normal((2, 32, 1, 80)).astype(np.float32))
    found = honest_estimate(corpus, runs, "pearson", minimize=False)
    assert (found.trials, found.candidates) == (2, 64)
    assert found.naive > 0.2
    assert found.low < 0.0 < found.high


@pytest.mark.parametrize(("metric", "minimize"), [("mae", True), ("pearson", False)])
def test_a_choice_that_is_no_luck_keeps_its_value(metric, minimize):
    generator = np.random.default_rng(1)
    labels = generator.standard_normal(200)
    good = labels + 0.3 * generator.standard_normal(200)
    others = generator.standard_normal((9, 200))
    runs = [values[None, None].astype(np.float32) for values in [good, *others]]
    found = honest_estimate(people(labels), runs, metric, minimize=minimize)
    assert found.low < found.naive < found.high
    assert found.value == pytest.approx(found.naive, abs=0.03)
    assert HonestEstimate.from_dict(found.to_dict()) == found


def test_people_are_drawn_and_not_rows():
    generator = np.random.default_rng(2)
    labels = np.repeat(generator.standard_normal(20), 10)
    output = np.repeat(generator.standard_normal(20), 10) + labels
    found = honest_estimate(people(labels, 10), [output[None, None].astype(np.float32)], "mae", minimize=True)
    rows = honest_estimate(people(labels), [output[None, None].astype(np.float32)], "mae", minimize=True)
    assert found.groups == 20
    assert found.high - found.low > 2 * (rows.high - rows.low)


def test_a_draw_of_few_people_may_leave_nobody_out():
    generator = np.random.default_rng(3)
    run = generator.standard_normal((1, 1, 10)).astype(np.float32)
    found = honest_estimate(people(generator.standard_normal(10)), [run], "mae", minimize=True, draws=20_000)
    assert np.isfinite([found.value, found.low, found.high]).all()


def test_few_people_give_no_estimate():
    corpus = people(np.arange(8.0))
    assert honest_estimate(corpus, [np.zeros((1, 1, 8), np.float32)], "mae", minimize=True) is None
