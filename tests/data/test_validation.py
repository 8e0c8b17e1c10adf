from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from mmsa.data.corpus import Features, Split
from mmsa.data.hazards import warn_about_features, warn_about_labels
from mmsa.data.target_spec import TargetSpec
from mmsa.data.validation import check_splits, replace_non_finite
from mmsa.errors import DataError


def split(ids: list[str], groups: list[str], labels: list[float], audio: Any = None) -> Split:
    frames = Features.from_vectors(np.ones((len(ids), 2), np.float32)) if audio is None else audio
    return Split(np.array(ids), np.array(groups), np.array(labels, np.float32), audio=frames)


SCALE = (TargetSpec("label", low=-3.0, high=3.0),)
GOOD = split(["a", "b"], ["g", "g"], [-3.0, 3.0])


def test_what_is_not_finite_becomes_zero_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    values = np.array([[1, -np.inf, np.nan], [2, -np.inf, 5], [np.inf, 3, 4]], np.float32)
    repaired = replace_non_finite(values, "file audio")
    np.testing.assert_array_equal(repaired, [[1, 0, 0], [2, 0, 5], [0, 3, 4]])
    assert caplog.messages == ["file audio: 2 -inf and 1 NaN and 1 inf set to 0, in columns 0, 1, 2"]


def test_finite_values_are_left_alone_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    np.testing.assert_array_equal(replace_non_finite(np.ones((2, 2), np.float32), "file"), np.ones((2, 2)))
    assert not caplog.messages


def test_good_splits_pass() -> None:
    check_splits({"train": GOOD, "valid": split(["c"], ["h"], [0.0])}, SCALE, "file")


def test_every_problem_is_listed_at_once() -> None:
    valid = split(["b", "c", "d"], ["g", "h", "h"], [np.nan, 3.5, 0.0])
    with pytest.raises(DataError) as error:
        check_splits({"train": GOOD, "valid": valid}, SCALE, "file.pkl")
    text = str(error.value)
    assert text.startswith("file.pkl:")
    assert "id: 'b (train, valid)'" in text
    assert "groups: 'g (train, valid)'" in text
    assert "valid labels: 'b'" in text
    assert "valid labels: 'c'" in text


def test_an_infinite_label_is_missing() -> None:
    with pytest.raises(DataError, match="finite number"):
        check_splits({"train": split(["a"], ["g"], [-np.inf])}, SCALE, "file")


def test_long_lists_are_cut() -> None:
    many = split([f"r{row}" for row in range(9)], list("abcdefghi"), [9.0] * 9)
    with pytest.raises(DataError, match="r0, r1, r2, r3, r4 and 4 more"):
        check_splits({"train": many}, SCALE, "file")


def test_shared_groups_are_accepted_on_request_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    valid = split(["c"], ["g"], [0.0])
    check_splits({"train": GOOD, "valid": valid}, SCALE, "file", allow_shared_groups=True)
    assert "1 groups lie in several splits: g (train, valid)" in caplog.text


def test_absent_rows_constant_columns_and_outliers_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    values = np.random.default_rng(0).standard_normal((1000, 3)).astype(np.float32)
    values[:, 1] = 7.0
    values[3, 2] = 255.0
    features = Features(values, np.array([0, 1000, 1000]))
    with caplog.at_level(logging.INFO, "mmsa.data"):
        warn_about_features(split(["a", "b"], ["g", "g"], [0.0, 0.0], features), "file train")
    assert "1 of 2 rows have no audio" in caplog.text
    assert "1 of 3 columns are constant" in caplog.text
    assert "column 2 from" in caplog.text
    assert "to 255" in caplog.text


@pytest.mark.parametrize(
    ("groups", "labels", "said"),
    [
        (["g"], [1.0], ["file: has a single row"]),
        (["g", "g"], [1.0, 2.0], ["file: all 2 rows are of one video or speaker; they do not tell how"]),
        (["g", "h"], [1.0, 1.0], ["file: all 2 labels are 1"]),
        (["g", "h"], [1.0, 2.0], []),
    ],
)
def test_what_keeps_a_split_from_saying_much_is_reported(
    groups: list[str], labels: list[float], said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    warn_about_labels(split([f"r{row}" for row in range(len(groups))], groups, labels), "file")
    assert len(caplog.messages) == len(said)
    for message, start in zip(caplog.messages, said, strict=True):
        assert message.startswith(start)


def test_ordinary_features_are_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    values = np.random.default_rng(0).standard_normal((100, 3)).astype(np.float32)
    with caplog.at_level(logging.INFO, "mmsa.data"):
        warn_about_features(split(["a"], ["g"], [0.0], Features(values, np.array([0, 100]))), "file")
    assert not caplog.messages
