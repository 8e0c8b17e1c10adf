"""The cluster bootstrap: equal to the metrics it resamples, and as sure as it says."""

from __future__ import annotations

import numpy as np
import pytest
from scored_rows import SCALES, sample

from mmsa.results.statistics import cluster_bootstrap
from mmsa.training.metrics import evaluate


def test_constant_predictions_have_no_correlation() -> None:
    labels, _, groups = sample(SCALES[0])
    flat = np.full((1, len(labels)), 0.3, np.float32)
    interval = cluster_bootstrap(labels, flat, groups.astype(str), SCALES[0])["pearson"]
    assert (interval.estimate, interval.low95, interval.high95) == (0.0, 0.0, 0.0)


def test_the_estimate_is_the_mean_over_seeds_and_lies_within() -> None:
    labels, predictions, groups = sample(SCALES[0])
    both = np.stack([predictions, predictions + 0.3])
    intervals = cluster_bootstrap(labels, both, groups.astype(str), SCALES[0])
    for name, interval in intervals.items():
        mean = np.mean([evaluate(labels, each, SCALES[0])[name] for each in both])
        assert interval.estimate == pytest.approx(mean)
        assert interval.low95 <= interval.low90 < interval.estimate < interval.high90 <= interval.high95


def test_a_single_group_tells_nothing_of_others() -> None:
    labels, predictions, _ = sample(SCALES[0])
    interval = cluster_bootstrap(labels, predictions[None], np.full(len(labels), "a"), SCALES[0])["mae"]
    assert interval.estimate == pytest.approx(evaluate(labels, predictions, SCALES[0])["mae"])
    assert interval.low95 is None


@pytest.mark.slow
def test_intervals_cover_the_truth_where_rows_of_a_group_are_alike() -> None:
    """Errors are N(0, 1) between groups plus N(0, 0.5²) within: the true MAE is sqrt(2 * 1.25 / pi)."""
    truth = np.sqrt(2 * 1.25 / np.pi)
    rng = np.random.default_rng(11)
    groups = np.repeat(np.arange(40), 4)
    num_studies = 250
    covered = {"low90": 0, "low95": 0, "by_row": 0}
    for study in range(num_studies):
        errors = rng.normal(size=40)[groups] + 0.5 * rng.normal(size=160)
        labels = rng.uniform(0, 24, 160)
        by_group, by_row = (
            cluster_bootstrap(labels, (labels + errors)[None], units.astype(str), SCALES[2], study)["mae"]
            for units in (groups, np.arange(160))
        )
        covered["low90"] += by_group.low90 <= truth <= by_group.high90
        covered["low95"] += by_group.low95 <= truth <= by_group.high95
        covered["by_row"] += by_row.low95 <= truth <= by_row.high95
    assert 0.84 <= covered["low90"] / num_studies <= 0.95
    assert 0.89 <= covered["low95"] / num_studies <= 0.985
    assert covered["by_row"] / num_studies < 0.85  # what ignoring the groups would have claimed
