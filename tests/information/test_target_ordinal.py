"""Ordered probit of binned targets: known truths, and what it must not do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmsa.information.target import Effort, decompose
from mmsa.information.target.labels import Target
from mmsa.information.target.ordinal import ordered_probit
from mmsa.information.target.posterior import cross_fit
from mmsa.information.three_sources import GaussianSources

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
    assert network < linear < BED.information(sample.sources, 3) + 0.15


def test_unrelated_features_say_nothing():
    generator = np.random.default_rng(0)
    x_ND, class_N = generator.standard_normal((150, 200)), generator.integers(0, 4, 150)
    assert ordered_probit(x_ND, class_N, np.arange(150) % 3).terms(class_N).mean() < 0.02


@pytest.mark.parametrize("classes", [2, 3, 8])
def test_every_row_has_a_distribution_even_where_classes_are_told_apart_without_error(classes):
    class_N = np.arange(240) % classes
    posterior = ordered_probit(class_N[:, None] * 1e3, class_N, np.arange(240) // 80)
    np.testing.assert_allclose(np.exp(posterior.conditional).sum(1), 1.0)
    assert posterior.terms(class_N).mean() > 0.9 * math.log(classes)


def test_predictions_keep_to_their_folds():
    """Labels that depend on the fold alone: an index that saw a row's fold would know its label."""
    generator = np.random.default_rng(2)
    fold_N = np.arange(300) % 3
    x_ND = np.eye(3)[fold_N] + 0.01 * generator.standard_normal((300, 3))
    assert ordered_probit(x_ND, fold_N, fold_N).terms(fold_N).mean() <= 0.0


def test_classes_without_an_order_get_no_line():
    """Text labels whose codes are shuffled against what the features say; numbers in their order are bins."""
    generator = np.random.default_rng(3)
    x_N = generator.standard_normal(600)
    words = np.array(["b", "a", "c"])[np.digitize(x_N, [-0.5, 0.5])]
    assert not Target.of(words).ordered
    assert Target.of(x_N, 3).ordered
    found = decompose({"text": x_N}, words, effort=Effort(3, 1, 0, 50))
    assert found["information/text"].raw > 0.7 * found.entropy
