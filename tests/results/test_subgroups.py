"""Results by gender: the numbers of each part, how sure they are, and what is too few to be told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mmsa.data.corpus import Corpus, Features, Split
from mmsa.data.known_targets import DEPRESSED, GENDER, SCORE
from mmsa.errors import ConfigError
from mmsa.results.statistics import cluster_bootstrap
from mmsa.results.subgroups import SubgroupTable, by_subgroup, columns_to_tell_by
from mmsa.training.metrics import evaluate

SEEDS = 3


def people(genders: list[float], seed: int = 0, rows_each: int = 1) -> tuple[Split, np.ndarray]:
    """Rows with scores, and predictions that are 4 too high for men."""
    random = np.random.default_rng(seed)
    gender_N = np.repeat(np.array(genders, np.float32), rows_each)
    labels_N = np.repeat(random.integers(0, 25, len(genders)), rows_each).astype(np.float32)
    ids = np.array([f"r{row}" for row in range(len(labels_N))])
    groups = np.array([f"p{row // rows_each}" for row in range(len(labels_N))])
    audio = Features.from_vectors(np.zeros((len(ids), 1), np.float32))
    further = {"gender": gender_N, "depressed": (labels_N >= 10).astype(np.float32)}
    noise_SN = random.standard_normal((SEEDS, len(labels_N))) * 3
    predictions_SN = (labels_N + noise_SN + 4 * (gender_N == 1)).astype(np.float32)
    return Split(ids, groups, labels_N, audio=audio, further_targets=further), predictions_SN


def table(genders: list[float], **settings: Any) -> tuple[SubgroupTable, Split, np.ndarray]:
    test, predictions_SN = people(genders, **settings)
    return by_subgroup(SCORE, test, predictions_SN, GENDER), test, predictions_SN


def test_numbers_and_intervals_are_those_of_the_rows_alone():
    found, test, predictions_SN = table([0.0, 1.0, 1.0] * 20, rows_each=2)
    for number, part in enumerate(found.parts):
        there = test.further_targets["gender"] == number
        labels, own = test.labels[there], predictions_SN[:, there]
        assert (part.name, part.rows, part.people) == (GENDER.classes[number], 40 << number, 20 << number)
        assert part.positives == (labels >= 10).sum()
        by_seed = [evaluate(labels, one, SCORE) for one in own]
        intervals = cluster_bootstrap(labels, own, test.groups[there], SCORE, seed=number)
        for metric, interval in intervals.items():
            assert part.metrics[metric].estimate == pytest.approx(np.mean([one[metric] for one in by_seed]))
            assert part.metrics[metric] == interval
        assert part.metrics["mean_error"].estimate == pytest.approx((own - labels).mean(), abs=1e-5)
        told = own[:, labels >= 10] >= 10
        assert part.metrics["recall_positive"].estimate == pytest.approx(told.mean())


def test_a_model_that_errs_for_men_only_is_found_by_the_gap():
    found = table([0.0, 1.0] * 40)[0]
    gap = found.gaps["mean_error"]
    assert gap.high95 < 0
    assert gap.estimate == pytest.approx(-4, abs=1)
    fair, predictions_SN = people([0.0, 1.0] * 40)
    predictions_SN[:, fair.further_targets["gender"] == 1] -= 4
    gap = by_subgroup(SCORE, fair, predictions_SN, GENDER).gaps["mean_error"]
    assert gap.low95 < 0 < gap.high95
    assert any("female less male" in line for line in found.lines())


def test_too_few_people_get_no_number_and_a_word():
    found = table([0.0] * 30 + [1.0] * 4)[0]
    assert found.parts[1].metrics == {}
    assert found.gaps == {}
    assert "too few groups to tell: male 4; metrics need 5" in "\n".join(found.lines())
    assert [row["mean"] for row in found.rows() if row["gender"] == "male"] == [None]


def test_some_people_get_a_number_without_an_interval():
    found = table([0.0] * 30 + [1.0] * 8)[0]
    assert found.parts[0].metrics["ccc"].low95 is not None
    assert found.parts[1].metrics["ccc"].low95 is None
    assert found.gaps["ccc"].low95 is None
    assert "too few for one (male)" in "\n".join(found.lines())


def test_a_class_that_nobody_is_in_has_no_f1():
    test, predictions_SN = people([0.0, 1.0] * 20)
    labels = np.where(test.further_targets["gender"] == 1, 3.0, test.labels).astype(np.float32)
    healthy = Split(
        test.ids, test.groups, labels, audio=test.audio, further_targets=dict(test.further_targets)
    )
    female, male = by_subgroup(SCORE, healthy, predictions_SN, GENDER).parts
    assert {"f1_positive", "auc", "recall_positive"} <= female.metrics.keys() - male.metrics.keys()
    assert "mae" in male.metrics


def test_rows_without_a_value_are_counted():
    found = table([0.0, 1.0] * 10 + [np.nan] * 3)[0]
    assert found.unknown == 3
    assert sum(part.rows for part in found.parts) == 20
    assert "3 rows have no gender" in "\n".join(found.lines())


@pytest.mark.parametrize("name", ["groups", "metric", "mean", "rows"])
def test_a_column_that_is_called_as_one_of_the_table_keeps_its_values(name: str):
    test, predictions_SN = people([0.0, 1.0] * 10)
    test = replace(test, further_targets={name: test.further_targets["gender"]})
    records = by_subgroup(SCORE, test, predictions_SN, replace(GENDER, name=name)).rows()
    assert {record[f"value of {name}"] for record in records if record["rows"]} == {"female", "male"}
    assert {record["groups"] for record in records if record["rows"]} == {10}


def test_columns_to_tell_by_are_taken_by_themselves_and_others_by_name():
    test = people([0.0, 1.0])[0]
    corpus = Corpus("made", (0, 24), {"train": test}, targets=(SCORE, DEPRESSED, GENDER))
    assert columns_to_tell_by(corpus) == (GENDER,)
    assert columns_to_tell_by(corpus, ["depressed"]) == (DEPRESSED,)
    assert columns_to_tell_by(corpus, ["depressed", "depressed"]) == (DEPRESSED,)
    with pytest.raises(ConfigError, match="is no column with classes of made") as refused:
        columns_to_tell_by(corpus, ["gendre"])
    assert "gender" in str(refused.value)
