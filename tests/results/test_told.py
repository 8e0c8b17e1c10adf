"""Columns of predictions, of every kind of target."""

from __future__ import annotations

import numpy as np

from mmsa.data.target_spec import TargetSpec
from mmsa.results.served import output_columns, told

TARGETS = (
    TargetSpec("mood", "multiclass", classes=("sad", "calm", "glad")),
    TargetSpec("score", low=0.0, high=24.0),
    TargetSpec("depressed", "binary"),
    TargetSpec("emotions", "multilabel", classes=("anger", "joy")),
)


def test_classes_are_told_by_name_with_their_probabilities() -> None:
    outputs = {
        "mood": np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]]),
        "score": np.array([3.5, 12.0]),
        "depressed": np.array([0.25, 0.75]),
        "emotions": np.array([[0.9, 0.1], [0.2, 0.8]]),
    }
    columns = told(TARGETS, outputs)
    assert columns["prediction"] == ["glad", "sad"]
    assert columns["probability/calm"].tolist() == [0.2, 0.3]
    assert columns["score/prediction"].tolist() == [3.5, 12.0]
    assert columns["depressed/prediction"] == ["negative", "positive"]
    assert columns["depressed/probability/negative"].tolist() == [0.75, 0.25]
    assert columns["emotions/probability/joy"].tolist() == [0.1, 0.8]
    assert list(columns) == list(output_columns(TARGETS))
    assert output_columns(TARGETS)["prediction"] == "string"


def test_a_number_is_one_column() -> None:
    assert output_columns(TARGETS[1:2]) == {"prediction": "float"}
