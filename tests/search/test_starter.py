"""A space that is written for somebody's data can be searched on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mmsa.config import parse
from mmsa.data import DATA_SETS, open_corpus
from mmsa.data.target_spec import TargetSpec
from mmsa.search.definition.fitting import fitting_spaces
from mmsa.search.definition.load import load_space
from mmsa.search.definition.misfits import refuse_misfits
from mmsa.search.definition.starter import starter_space

ROWS = 60
TARGETS: dict[str, tuple[dict[str, Any], Any]] = {
    "regression": ({"low": 0, "high": 1}, np.linspace(0, 1, ROWS)),
    "phq8": ({"low": 0, "high": 24, "threshold": 10, "suite": "phq8"}, np.arange(ROWS) % 25),
    "ordinal": ({"kind": "ordinal", "low": 0, "high": 3}, np.arange(ROWS) % 4),
    "binary": ({"kind": "binary"}, np.arange(ROWS) % 2),
    "multiclass": ({"kind": "multiclass", "classes": ["a", "b", "c"]}, np.array(["a", "b", "c"] * 20)),
    "multilabel": (
        {"kind": "multilabel", "classes": ["a", "b"]},
        np.arange(2 * ROWS).reshape(ROWS, 2) % 3 % 2,
    ),
}


@pytest.mark.parametrize("kind", TARGETS)
def test_a_written_space_fits_the_data(tmp_path: Path, kind: str) -> None:
    target, values = TARGETS[kind]
    random = np.random.default_rng(0)
    one = kind == "binary"  # and data of a single modality
    arrays = {} if one else {"vision": random.normal(size=(ROWS, 7))}
    np.savez(
        tmp_path / "ours.npz",
        audio=random.normal(size=(ROWS, 5, 4)),
        y=values,
        split=np.repeat(["train", "valid", "test"], 20),
        **arrays,
    )
    settings = {
        "path": str(tmp_path / "ours.npz"),
        "targets": {"y": target},
        "modalities": ["audio", *arrays],
    }
    data: Any = parse(DATA_SETS["custom"].Config, settings, "test")
    corpus = open_corpus(data)
    space = tmp_path / "My Space.yaml"
    space.write_text(starter_space(corpus, data, str(space)), encoding="utf-8")
    config = load_space(space)
    assert config.study == "my-space"
    outlook = refuse_misfits(config, corpus)
    assert not dict(outlook.idle)


@pytest.mark.parametrize("given", ["text", "no valid", "vision that no row has"])
def test_a_written_space_fits_text_beside_one_modality_and_rows_without_a_valid(
    tmp_path: Path, given: str
) -> None:
    """Alignment of audio with vision lacks one of them; without valid rows a search is one by folds."""
    names = {"text": ["text", "audio"], "vision that no row has": ["audio", "vision"]}
    columns: dict[str, Any] = {
        "audio": np.random.default_rng(0).normal(size=(ROWS, 5, 4)),
        "y": np.linspace(0, 1, ROWS),
        "split": np.repeat(["train", "valid", "test"], 20),
    }
    if given == "text":
        columns["text"] = np.random.default_rng(1).normal(size=(ROWS, 3))
    elif given == "no valid":
        columns["split"] = np.repeat(["train", "test"], 30)
    else:
        columns["vision"] = np.full((ROWS, 3), np.nan)
    np.savez(tmp_path / "ours.npz", **columns)
    settings = {
        "path": str(tmp_path / "ours.npz"),
        "targets": {"y": {"low": 0, "high": 1}},
        "modalities": names.get(given, ["audio"]),
    }
    data: Any = parse(DATA_SETS["custom"].Config, settings, "test")
    space = tmp_path / "ours.yaml"
    split_names: Any = ("train",) if given == "no valid" else ("train", "valid")
    space.write_text(starter_space(open_corpus(data, split_names), data, str(space)), encoding="utf-8")
    config = load_space(space)
    assert not dict(refuse_misfits(config, open_corpus(config.base.data)).idle)


def test_a_written_space_proposes_no_retraining_without_a_test_split(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name, splits in (("with", ["train", "valid", "test"]), ("without", ["train", "train", "valid"])):
        path = tmp_path / f"{name}.npz"
        np.savez(path, audio=random.normal(size=(ROWS, 4)), y=np.arange(ROWS), split=np.repeat(splits, 20))
        settings = {"path": str(path), "targets": {"y": {}}, "modalities": ["audio"]}
        data: Any = parse(DATA_SETS["custom"].Config, settings, "test")
        text = starter_space(open_corpus(data), data, "ours.yaml")
        assert ("launch/retrain.py" in text) == (name == "with")
        assert ("--valid-only" in text) == (name == "without")


def test_a_written_space_says_how_the_targets_after_the_first_are_trained_for(tmp_path: Path) -> None:
    columns = {"y": np.linspace(0, 1, ROWS), "mood": np.arange(ROWS) % 2, "tone": np.arange(ROWS) % 3}
    audio = np.random.default_rng(0).normal(size=(ROWS, 4))
    np.savez(tmp_path / "o.npz", audio=audio, split=np.repeat(["train", "valid", "test"], 20), **columns)
    kinds = {"y": {}, "mood": {"kind": "binary"}, "tone": {"kind": "multiclass", "classes": ["a", "b", "c"]}}
    settings = {"path": str(tmp_path / "o.npz"), "targets": kinds, "modalities": ["audio"]}
    data: Any = parse(DATA_SETS["custom"].Config, settings, "test")
    corpus, space = open_corpus(data), tmp_path / "ours.yaml"
    space.write_text(text := starter_space(corpus, data, str(space)), encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("# y alone is trained for")]
    tasks = yaml.safe_load(line.partition("objective.tasks: ")[2])
    config = load_space(space, {"objective.tasks": tasks})
    assert list(config.base.objective.tasks) == ["mood", "tone"]
    refuse_misfits(config, corpus)


def test_shipped_spaces_are_offered_to_data_of_their_task_only() -> None:
    corpus = open_corpus(parse(DATA_SETS["planted"].Config, {"rows_train": 20, "rows_valid": 20}, "test"))

    def offered(**settings: Any) -> set[str]:
        target = TargetSpec("y", **settings)
        other = replace(corpus, name="custom", suite=target.suite, targets=(target,))
        return {name for name, _ in fitting_spaces(other)}

    sentiment, depression = {"mosi.yaml", "mosei.yaml", "sims.yaml"}, {"edaic.yaml", "daic.yaml"}
    scores = offered(low=0.0, high=24.0, threshold=10.0, suite="phq8")
    assert depression <= scores
    assert not sentiment & scores
    numbers = offered()
    assert sentiment <= numbers
    assert not depression & numbers
    assert "dvlog.yaml" in offered(kind="binary")
    assert not offered(kind="multiclass", classes=("a", "b", "c"))
    corpus = replace(corpus, outlines={"train": corpus.outlines["train"]})  # a space must deal folds then
    assert "dvlog.yaml" not in offered(kind="binary")
    assert depression <= offered(low=0.0, high=24.0, threshold=10.0, suite="phq8")
