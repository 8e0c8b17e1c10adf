"""One short training for each kind of target, which must come near what the planted bits allow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from mmsa.data import open_corpus
from mmsa.data.corpus import Corpus
from mmsa.data.planted import Planted
from mmsa.data.target_spec import TargetSpec
from mmsa.errors import ConfigError
from mmsa.experiment import RunConfig
from mmsa.search.definition.search_config import SearchObjective
from mmsa.training import run
from mmsa.training.bundle import load_bundle, save_bundle
from mmsa.training.trainer import Trainer

# Every bit is seen without flips, so that the ceiling of each metric is 1.
EXACT: dict[str, Any] = {
    "shared_bits": 1.0,
    "text_bits": 1.0,
    "audio_bits": 1.0,
    "vision_bits": 0.0,
    "synergy_bits": 0.0,
    "rows_train": 400,
    "rows_valid": 150,
    "rows_test": 50,
    "audio_frames": (1, 1),
    "vision_frames": (1, 1),
}
METRICS = {
    "regression": "ccc",
    "ordinal": "ccc",
    "binary": "f1_macro",
    "multiclass": "f1_macro",
    "multilabel": "weighted_accuracy",
}


def config(metric: str, **changes: Any) -> RunConfig:
    values: dict[str, Any] = {
        "data": {"name": "planted", **EXACT},
        "model": {"name": "late_fusion"},
        "optim": {"lr": 0.01},
        "train": {
            "epochs": 8,
            "batch_size": 40,
            "device": "cpu",
            "threads": 1,
            "patience": 8,
            "metric": f"valid/{metric}",
        },
        "information": {"quantities": []},
    }
    return RunConfig.model_validate(values | changes)


def planted(kind: Any) -> Corpus:
    corpus = open_corpus(Planted.Config(**EXACT, kind=kind))
    if kind != "regression":
        return corpus
    return replace(corpus, targets=(replace(corpus.target, suite="regression"),))


@pytest.mark.parametrize("kind", METRICS)
def test_training_reaches_nine_tenths_of_the_ceiling(kind: str, tmp_path: Path) -> None:
    corpus = planted(kind)
    result = run(config(METRICS[kind]), corpus)
    assert result.metrics[f"valid/{METRICS[kind]}"] >= 0.9
    save_bundle(result, tmp_path)
    again = load_bundle(tmp_path)
    assert again.inputs.targets == corpus.targets
    np.testing.assert_array_equal(again.predict(corpus["valid"]), result.predict(corpus["valid"]))
    output = result.predict(corpus["valid"])
    if kind == "multiclass":
        np.testing.assert_allclose(output.sum(axis=1), 1.0, rtol=1e-5)
    elif not corpus.target.is_scale:
        assert ((output >= 0) & (output <= 1)).all()


def two_targets() -> Corpus:
    """A number, and the class of its sign, which a third of the rows lack."""
    plain = planted("regression")
    splits = {}
    for name, split in plain.splits.items():
        signs = (split.labels > 0).astype(np.float32)
        signs[::3] = np.nan
        splits[name] = replace(split, further_targets={"sign": signs})
    return replace(plain, splits=splits, targets=(plain.target, TargetSpec("sign", "binary")))


def test_two_targets_are_trained_at_once_and_either_may_choose(tmp_path: Path) -> None:
    tasks = {"sign": {"name": "bce", "class_weights": "balanced"}}
    chosen = config("sign/f1_macro", objective={"task": {"name": "ccc"}, "tasks": tasks})
    corpus = two_targets()
    result = run(chosen, corpus)
    assert result.metrics["valid/sign/f1_macro"] >= 0.9
    assert result.metrics["valid/ccc"] >= 0.9
    assert {"loss/task", "loss/task/sign"} <= result.metrics.keys()
    save_bundle(result, tmp_path)
    both = load_bundle(tmp_path).predict_all(corpus["valid"])
    assert list(both) == ["label", "sign"]
    assert ((both["sign"] >= 0) & (both["sign"] <= 1)).all()


@pytest.mark.parametrize(
    ("metric", "rule"),
    [
        ("sign/f1_macro", "not trained.*objective.tasks: {sign: {name: default}}"),
        ("sing/f1_macro", "is not a metric of planted"),
        ("label/ccc", "without the name of its target.*valid/ccc"),
        ("acc2", "is not a metric of planted.*Write valid/mae, or another of these. data.metrics"),
    ],
)
def test_a_metric_that_no_epoch_will_have_is_refused(metric: str, rule: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){rule}"):
        Trainer(config(metric), two_targets())


def test_small_batches_are_refused_before_the_first_step() -> None:
    small = config("ccc", objective={"task": {"name": "ccc"}})
    small = small.model_copy(update={"train": small.train.model_copy(update={"batch_size": 4})})
    with pytest.raises(ConfigError, match="needs 8 for a value"):
        Trainer(small, planted("regression"))


def test_settings_of_earlier_versions_are_dumped_as_they_were() -> None:
    values = config("mae").model_dump()
    assert values["objective"]["task"] == {"name": "mae"}
    assert "tasks" not in values["objective"]
    assert "kind" not in values["data"]


def test_the_direction_follows_from_the_metric() -> None:
    assert [config(metric).train.direction for metric in ("mae", "sign/rmse", "ccc", "sign/f1_macro")] == [
        *("minimize", "minimize"),
        *("maximize", "maximize"),
    ]
    assert SearchObjective.model_validate({"metric": "valid/ccc"}).direction == "maximize"
    assert SearchObjective.model_validate({"metric": "cost/seconds"}).direction == "minimize"
    with pytest.raises(ValidationError, match="is required"):  # more information may be wanted, or less
        SearchObjective.model_validate({"metric": "information/target/text"})
