"""What can be predicted: kinds of targets, their rules, and how a corpus has them."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from mmsa.data.corpus import Corpus, Features, Split
from mmsa.data.target_spec import TargetSpec
from mmsa.data.validation import check_splits, target_problems
from mmsa.errors import DataError

SCORE = TargetSpec("score", low=0.0, high=24.0, threshold=10.0, suite="phq8")
DEPRESSED = TargetSpec("depressed", "binary")
MOOD = TargetSpec("mood", "multiclass", classes=("sad", "calm", "glad"))
EMOTIONS = TargetSpec("emotions", "multilabel", classes=("anger", "joy"))
IDS = np.array(["a", "b", "c"])


def split(labels: Any, **further: Any) -> Split:
    targets = {name: np.array(values, np.float32) for name, values in further.items()}
    audio = Features.from_vectors(np.ones((3, 2), np.float32))
    return Split(IDS, IDS, np.array(labels, np.float32), audio=audio, further_targets=targets)


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"kind": "multiclass", "classes": ("a",)}, "at least 2"),
        ({"kind": "multiclass", "classes": ("a", "a")}, "must differ"),
        ({"kind": "binary", "classes": ("a", "b", "c")}, "3 classes, not 2"),
        ({"kind": "ordinal", "low": 0.5, "high": 3.0}, "whole numbers"),
        ({"kind": "ordinal", "low": 0.0, "high": 3.0, "classes": ("a", "b")}, "2 levels, but 4"),
        ({"low": 1.0, "high": 1.0}, "low must be less"),
        ({"low": 0.0, "high": 1.0, "threshold": 2.0}, "threshold 2.0 must lie above 0"),
        ({"kind": "binary", "threshold": 0.5}, "a threshold cuts a scale"),
        ({"kind": "binary", "suite": "mosi"}, "cannot be scored with 'mosi'; it can with binary"),
        ({"suite": "phq8"}, "needs a threshold"),
        ({"name": "a/b"}, "without '/'"),
    ],
)
def test_a_target_that_means_nothing_is_refused(values: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        TargetSpec(**({"name": "t"} | values))


@pytest.mark.parametrize(
    ("target", "values", "wrong"),
    [
        (SCORE, [0.0, 12.5, 24.5], "c"),
        (TargetSpec("item", "ordinal", low=0.0, high=3.0), [0.0, 1.5, 3.0], "b"),
        (DEPRESSED, [0.0, 1.0, 2.0], "c"),
        (MOOD, [0.0, 2.0, 3.0], "c"),
        (MOOD, [0.0, -1.0, 2.0], "b"),
        (EMOTIONS, [[0, 1], [1, 1], [0.5, 0]], "c"),
    ],
)
def test_values_that_break_the_rule_are_named(target: TargetSpec, values: Any, wrong: str) -> None:
    (problem,) = target_problems("labels", IDS, np.array(values, np.float32), target)
    assert problem.value == wrong
    assert problem.next_step


def test_only_further_targets_may_miss_values() -> None:
    missing = np.array([np.nan, 1.0, 0.0], np.float32)
    assert not target_problems("depressed", IDS, missing, DEPRESSED, may_miss=True)
    with pytest.raises(DataError, match=r"labels: 'a'\n +a label must be a finite number"):
        check_splits({"train": split(missing)}, (DEPRESSED,), "file")
    check_splits({"train": split([1.0, 2.0, 3.0], depressed=missing)}, (SCORE, DEPRESSED), "file")
    with pytest.raises(DataError, match=r"train target depressed: 'a'\n +must be whole numbers from 0 to 1"):
        check_splits({"train": split([1.0, 2.0, 3.0], depressed=[7, 0, 1])}, (SCORE, DEPRESSED), "file")


def test_a_shape_of_another_kind_is_refused() -> None:
    (problem,) = target_problems("labels", IDS, np.zeros((3, 3), np.float32), EMOTIONS)
    assert str(problem.rule).startswith("must have shape (3, 2)")


def test_a_corpus_has_its_targets_and_their_values() -> None:
    rows = split([1.0, 2.0, 3.0], depressed=[0, 0, 1])
    corpus = Corpus("edaic", (0.0, 1.0), {"train": rows}, targets=(SCORE, DEPRESSED))
    assert (corpus.label_range, corpus.suite, corpus.target) == ((0.0, 24.0), "phq8", SCORE)
    assert corpus.values("train", "score").tolist() == [1.0, 2.0, 3.0]
    assert corpus.values("train", "depressed").tolist() == [0.0, 0.0, 1.0]
    again = pickle.loads(pickle.dumps(corpus))
    assert (again.targets, again.digest) == (corpus.targets, corpus.digest)
    with pytest.raises(DataError, match="no values of the targets depressed"):
        Corpus("edaic", (0.0, 1.0), {"train": split([1.0, 2.0, 3.0])}, targets=(SCORE, DEPRESSED))


def test_the_digest_changes_with_targets_and_not_without() -> None:
    plain = split([1.0, 2.0, 3.0])
    usual = Corpus("data", (0.0, 24.0), {"train": plain})
    assert usual.targets == (TargetSpec("label", low=0.0, high=24.0),)
    declared = Corpus("data", (0.0, 24.0), {"train": plain}, targets=(SCORE,))
    further = Corpus("data", (0.0, 24.0), {"train": split([1.0, 2.0, 3.0], depressed=[0, 0, 1])})
    assert len({usual.digest, declared.digest, further.digest}) == 3
    assert Corpus("data", (0.0, 24.0), {"train": plain}, targets=usual.targets).digest == usual.digest
