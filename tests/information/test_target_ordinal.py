"""Ordered probit of binned targets: known truths, and what it must not do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmsa.data.planted import Planted
from mmsa.information.distributions.three_sources import GaussianSources
from mmsa.information.groups import group_codes, group_folds, permuted_rows
from mmsa.information.target import Effort, decompose
from mmsa.information.target.labels import Target
from mmsa.information.target.ordinal import ordered_probit
from mmsa.information.target.predictive import cross_fit

BED = GaussianSources()


@pytest.mark.parametrize("names", [("text",), ("text", "audio"), ("text", "audio", "vision")])
def test_reads_the_information_of_a_linear_gaussian_target(names):
    sample = BED.sample(4000, seed=2)
    target = Target.of(sample.target, 8)
    x_ND = np.hstack([sample.sources[name] for name in names])
    terms_N = ordered_probit(x_ND, target.classes, np.arange(4000) % 5).terms(target.classes)
    assert terms_N.mean() == pytest.approx(BED.information(names, 8), abs=3 * terms_N.std() / math.sqrt(4000))


def test_few_rows_are_worth_more_to_it_than_to_a_network():
    sample, fold_N = BED.sample(300, seed=4), np.arange(300) % 5
    classes = Target.of(sample.target, 3).classes
    x_ND = np.hstack(list(sample.sources.values()))
    linear = ordered_probit(x_ND, classes, fold_N).terms(classes).mean()
    network = cross_fit(x_ND, classes, fold_N, num_seeds=2, seed=0).terms(classes).mean()
    assert network < linear
    assert linear == pytest.approx(BED.information(sample.sources, 3), abs=0.1)


def test_unrelated_features_say_nothing():
    generator = np.random.default_rng(0)
    x_ND, class_N = generator.standard_normal((150, 200)), generator.integers(0, 4, 150)
    assert abs(ordered_probit(x_ND, class_N, np.arange(150) % 3).terms(class_N).mean()) < 0.02


@pytest.mark.parametrize("folds", [3, 5])
def test_permuted_targets_are_worth_nothing_and_cost_nothing(folds):
    """The penalty of the ridge differs from fold to fold here, and with it the scale of what it predicts."""
    sample = Planted(Planted.Config(rows_train=200)).open(["train"])["train"]
    groups = group_codes(sample.groups, 200)
    fold_N, classes = group_folds(groups, folds, seed=0), Target.of(sample.labels).classes
    permuted = [classes[permuted_rows(groups, np.random.default_rng(seed))] for seed in range(20)]
    terms_PN = np.stack([ordered_probit(sample.text.values, to, fold_N).terms(to) for to in permuted])
    means_P = terms_PN.mean(1) / math.log(2)
    assert means_P.min() > -0.05
    assert means_P.max() < 0.1
    assert ordered_probit(sample.text.values, classes, fold_N).terms(classes).mean() > 0.3 * math.log(2)


def test_an_index_that_points_the_wrong_way_tells_nothing():
    """Each fold is fitted to the others, where the target goes with the feature; in itself, against it."""
    x_N = np.tile(np.linspace(-1, 1, 100), 2)
    fold_N = np.repeat([0, 1], 100)
    class_N = (np.where(fold_N == 0, x_N, -x_N) > 0).astype(np.int64)
    predicted = ordered_probit(x_N[:, None], class_N, fold_N)
    np.testing.assert_allclose(predicted.conditional, predicted.marginal, atol=1e-2)


@pytest.mark.parametrize("classes", [2, 3, 8])
def test_every_row_has_a_distribution_even_where_classes_are_told_apart_without_error(classes):
    class_N = np.arange(240) % classes
    predicted = ordered_probit(class_N[:, None] * 1e3, class_N, np.arange(240) // 80)
    np.testing.assert_allclose(np.exp(predicted.conditional).sum(1), 1.0)
    assert predicted.terms(class_N).mean() == pytest.approx(math.log(classes), rel=0.01)


def test_no_row_loses_more_than_log_of_the_rows():
    """One row of 200 says the opposite of what all others say without exception."""
    x_N = np.tile([-1.0, 1.0], 100)
    class_N = (x_N > 0).astype(np.int64)
    class_N[0] = 1
    terms_N = ordered_probit(x_N[:, None] * 1e3, class_N, np.arange(200) // 50).terms(class_N)
    assert terms_N.min() == pytest.approx(-math.log(200), abs=0.1)
    assert terms_N[1:].mean() == pytest.approx(math.log(2), abs=0.05)


def test_predictions_keep_to_their_folds():
    """Labels that depend on the fold alone: an index that saw a row's fold would know its label."""
    generator = np.random.default_rng(2)
    fold_N = np.arange(300) % 3
    x_ND = np.eye(3)[fold_N] + 0.01 * generator.standard_normal((300, 3))
    assert -math.log(300) <= ordered_probit(x_ND, fold_N, fold_N).terms(fold_N).mean() <= 0.0


def test_classes_without_an_order_get_no_line():
    """Text labels whose codes are shuffled against what the features say; numbers in their order are bins."""
    generator = np.random.default_rng(3)
    x_N = generator.standard_normal(600)
    words = np.array(["b", "a", "c"])[np.digitize(x_N, [-0.5, 0.5])]
    assert not Target.of(words).ordered
    assert Target.of(x_N, 3).ordered
    found = decompose({"text": x_N}, words, effort=Effort(3, 1, 0, 50))
    assert 0.7 * found.entropy < found["information/text"].raw < found.entropy
