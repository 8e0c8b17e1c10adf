"""Comparisons of configurations: as sure as they say, and a winner only where there is one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mmsa.data.target_spec import TargetSpec
from mmsa.results.crossed import Crossed
from mmsa.results.verdict import Contender, judge, out_of_the_race
from mmsa.training.metrics import evaluate
from mmsa.training.resampling import paired_differences

NUM_GROUPS, SCALE = 25, (-30.0, 30.0)
GROUP_N = np.repeat(np.arange(NUM_GROUPS), 8)
GROUPS = GROUP_N.astype(str)
PLAIN = TargetSpec("label")
MOSI = TargetSpec("label", suite="mosi")


def drawn(random: np.random.Generator, factors: list[float], by_video: float) -> Crossed:
    """Five seeds each of configurations ``a``, ``b``, ... whose errors are larger by ``factors``."""
    labels_N = random.uniform(-3, 3, len(GROUP_N))
    common_N = random.normal(size=len(GROUP_N))
    predictions = {}
    for name, factor in zip("abcde", factors, strict=False):
        video_G = by_video * random.normal(size=NUM_GROUPS)
        scale_SG = np.exp(
            video_G + 0.05 * random.normal(size=(5, 1)) + 0.1 * random.normal(size=(5, NUM_GROUPS))
        )
        errors_SN = (common_N + 0.3 * random.normal(size=(5, len(GROUP_N)))) * scale_SG[:, GROUP_N]
        predictions[name] = labels_N + factor * errors_SN
    return Crossed(labels_N, GROUPS, PLAIN, predictions, resamples=300)


def contenders(names: str) -> list[Contender]:
    """The first one is the largest; the last one is the defaults."""
    return [Contender(name, 100 - place, len(names) - 1 - place) for place, name in enumerate(names)]


@pytest.mark.parametrize("by_video", [0.0, 0.15])
def test_equal_configurations_are_told_apart_as_rarely_as_promised(by_video: float) -> None:
    """One in twenty; an interval that takes the seeds for given does so three times as often."""
    num_studies, random = 160, np.random.default_rng(5)
    apart = by_groups = 0
    for _ in range(num_studies):
        crossed = drawn(random, [1.0, 1.0], by_video)
        low, high = crossed.difference("a", "b", "mae").interval()
        apart += not low <= 0.0 <= high
        resampled = [np.stack([m["mae"] for m in crossed._metrics[name]]).mean(axis=0)[1:] for name in "ab"]
        low, high = np.quantile(resampled[0] - resampled[1], (0.025, 0.975))
        by_groups += not low <= 0.0 <= high
    assert apart / num_studies <= 0.09
    assert by_groups / num_studies > (0.15 if by_video == 0.0 else 0.07)


def test_the_standard_error_is_that_of_the_difference_over_studies() -> None:
    random = np.random.default_rng(3)
    estimates = [drawn(random, [1.0, 1.0], 0.1).difference("a", "b", "mae") for _ in range(150)]
    actual = np.std([estimate.value for estimate in estimates])
    assert np.mean([estimate.error for estimate in estimates]) == pytest.approx(actual, rel=0.2)
    assert all(estimate.groups_error <= estimate.error for estimate in estimates)
    assert all(2.5 < estimate.resolution / estimate.error < 4.0 for estimate in estimates)


def test_values_are_the_metrics_themselves() -> None:
    random = np.random.default_rng(0)
    labels_N = random.uniform(-3, 3, 40)
    groups = np.repeat(np.arange(8), 5).astype(str)
    a, b = labels_N + random.normal(size=(2, 3, 40))
    crossed = Crossed(labels_N, groups, MOSI, {"a": a, "b": b})
    for name, seeds_SN in (("a", a), ("b", b)):
        expected = [evaluate(labels_N, predictions_N, MOSI) for predictions_N in seeds_SN]
        for metric in crossed.metrics:
            assert crossed.by_seed(name, metric) == pytest.approx([values[metric] for values in expected])
    means = [np.mean(crossed.by_seed(name, "mae")) for name in "ab"]
    assert crossed.difference("a", "b", "mae").value == pytest.approx(means[0] - means[1])
    assert crossed.mean("a", "mae").value == pytest.approx(means[0])


def test_without_a_difference_between_seeds_only_the_videos_count() -> None:
    """Then the interval is that of one prediction against another, within what few groups cost."""
    random = np.random.default_rng(1)
    labels_N = random.uniform(-3, 3, len(GROUP_N))
    one, other = labels_N + random.normal(size=(2, len(GROUP_N)))
    same = {"a": np.stack([one] * 5), "b": np.stack([other] * 5)}
    found = Crossed(labels_N, GROUPS, PLAIN, same).difference("a", "b", "mae")
    paired = paired_differences(labels_N, one, other, GROUPS, PLAIN)["mae"]
    assert found.error == pytest.approx(found.groups_error)
    assert np.subtract(*found.interval()) == pytest.approx(paired.low - paired.high, rel=0.15)


def seeds(*values: float) -> NDArray[np.float64]:
    """A prediction for each value, of rows labelled 0, with that absolute error."""
    return np.array(values)[:, None] * np.ones(10)


def test_the_probability_of_improvement_is_over_pairs_of_seeds() -> None:
    crossed = Crossed(
        np.zeros(10), np.arange(10).astype(str), PLAIN, {"a": seeds(1.0, 2.0), "b": seeds(2.0, 3.0)}
    )
    better = crossed.improvement("a", "b", "mae", lower=True)
    assert better.value == (3 + 0.5) / 4
    assert crossed.improvement("b", "a", "mae", lower=True).value == 1 - better.value
    assert crossed.improvement("a", "b", "mae", lower=False).value == 1 - better.value
    assert 0.0 <= better.low <= better.value <= better.high <= 1.0


@pytest.mark.parametrize(
    ("factors", "kind", "among", "take"),
    [
        ([0.5, 1.0, 1.0], "winner", "a", "a"),
        ([1.0, 1.0, 0.5], "winner", "c", "c"),
        ([0.5, 0.5, 1.0], "better than the defaults only", "ab", "b"),
        ([1.0, 1.0, 1.0], "no winner", "abc", "c"),
        ([1.0, 3.0, 1.0], "no winner", "ac", "c"),
    ],
)
def test_a_winner_beats_all_others_and_else_the_simplest_is_taken(
    factors: list[float], kind: str, among: str, take: str
) -> None:
    verdict = judge(drawn(np.random.default_rng(8), factors, 0.02), contenders("abc"), "mae", lower=True)
    assert (verdict.kind, "".join(sorted(verdict.among)), verdict.take) == (kind, among, take)
    assert verdict.text().startswith(f"{kind}: ")
    assert set(verdict.rivals) == set("abc") - {verdict.best}
    nearest = [rival.gain.value for rival in verdict.rivals.values()]
    assert nearest == sorted(nearest)


def test_less_of_a_metric_is_better_only_where_it_is_said() -> None:
    crossed = drawn(np.random.default_rng(8), [0.5, 1.0], 0.02)
    assert judge(crossed, contenders("ab"), "mae", lower=True).take == "a"
    assert judge(crossed, contenders("ab"), "mae", lower=False).take == "b"


def test_who_is_far_behind_leaves_the_race_but_for_the_defaults() -> None:
    crossed = drawn(np.random.default_rng(2), [1.0, 1.03, 3.0, 3.0], 0.02)
    assert out_of_the_race(crossed, contenders("abcd"), "mae", lower=True) == ["c"]
