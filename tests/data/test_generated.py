"""Trees in the layouts of real data sets: they open, are recognised, and every planted hazard is named."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsa.config import parse
from mmsa.data import DATA_SETS, Corpus, open_corpus
from mmsa.data.corpus import SplitName
from mmsa.data.generated import CARD, LAYOUTS, make
from mmsa.errors import ConfigError, DataError

ROWS = 20
MADE = [
    pytest.param(name, marks=pytest.mark.skipif(known.is_lacking, reason=f"needs {known.needs}"))
    for name, known in LAYOUTS.items()
]
"""Layouts, of which those are skipped that need a package which is not here."""


def opened(layout: str, path: Path, without: Sequence[SplitName] = ()) -> Corpus:
    known = LAYOUTS[layout]
    values = {"path": str(path), **known.settings}
    splits = tuple(split for split in known.splits if split not in without)
    return open_corpus(parse(DATA_SETS[known.data_set].Config, values, "test"), splits)


@pytest.mark.parametrize("layout", MADE)
def test_a_clean_tree_is_recognised_and_opens_without_a_warning(
    layout: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert make(layout, tmp_path / "tree", ROWS, seed=1) == {}
    corpus = opened(layout, tmp_path / "tree")
    assert sum(map(len, corpus.outlines.values())) == ROWS
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [text for text in said if not any(usual in text for usual in LAYOUTS[layout].usual)] == []


@pytest.mark.parametrize("layout", MADE)
def test_every_hazard_is_named_when_the_tree_is_opened(
    layout: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    planted = make(layout, tmp_path / "tree", ROWS, seed=2, hazards=["all"])
    with caplog.at_level(logging.INFO, "mmsa.data"):
        opened(layout, tmp_path / "tree", ("test",))
    for hazard in planted:  # what has no sign is found by `data.py check`
        assert LAYOUTS[layout].hazards[hazard].sign in caplog.text, hazard
    assert list(json.loads((tmp_path / "tree" / CARD).read_text())["hazards"]) == list(planted)


STOPS = [
    pytest.param(name, hazard, marks=pytest.mark.skipif(known.is_lacking, reason=f"needs {known.needs}"))
    for name, known in LAYOUTS.items()
    for hazard, it in known.hazards.items()
    if it.stops
]


@pytest.mark.parametrize(("layout", "hazard"), STOPS)
def test_a_tree_that_cannot_be_used_is_refused_with_the_reason(
    layout: str, hazard: str, tmp_path: Path
) -> None:
    make(layout, tmp_path / "tree", ROWS, seed=2, hazards=[hazard])
    with pytest.raises(DataError) as error:
        opened(layout, tmp_path / "tree", ("test",))
    assert LAYOUTS[layout].hazards[hazard].sign in str(error.value)


def test_the_same_seed_makes_the_same_files_and_another_one_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make("misa", tmp_path / name, ROWS, seed)
    a, b, c = ((tmp_path / name / "train.pkl").read_bytes() for name in "abc")
    assert a == b != c


def test_what_is_planted_can_be_learnt_up_to_its_ceiling(tmp_path: Path) -> None:
    """Words, sounds and faces together, and less from each alone, which is what fusion is for."""
    make("misa", tmp_path / "tree", 1500, seed=0)
    corpus = opened("misa", tmp_path / "tree")

    def inputs(split: str) -> np.ndarray:
        rows = corpus[split]  # type: ignore[index]
        words = [text.split() for text in rows.text.values]  # type: ignore[union-attr]
        positive = {"good", "great", "love", "funny", "enjoyed", "best", "wonderful", "liked"}
        negative = {"bad", "boring", "hate", "dull", "worst", "awful", "waste", "sad"}
        known = [(sum(w in positive for w in row), sum(w in negative for w in row)) for row in words]
        columns = [np.array([(p - n) / max(p + n, 1) for p, n in known])[:, None]]
        for features in (rows.audio, rows.vision):
            offsets = features.offsets  # type: ignore[union-attr]
            columns.append(np.add.reduceat(features.values, offsets[:-1]) / np.diff(offsets)[:, None])  # type: ignore[union-attr]
        return np.concatenate([*columns, np.ones((len(rows), 1))], axis=1)

    def correlation(chosen: slice) -> float:
        weights = np.linalg.lstsq(inputs("train")[:, chosen], corpus["train"].labels, rcond=None)[0]
        return float(np.corrcoef(inputs("test")[:, chosen] @ weights, corpus["test"].labels)[0, 1])

    assert 0.75 < correlation(slice(None)) < 0.93
    assert all(0.3 < correlation(part) < 0.6 for part in (slice(0, 1), slice(1, 75), slice(75, 122)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("misaa", 40, []), "Did you mean 'misa'"),
        (("misa", 40, ["minus_infinit"]), "Did you mean 'minus_infinity'"),
        (("misa", 3, []), "at least 20"),
    ],
)
def test_what_cannot_be_made_is_refused(arguments: Any, message: str, tmp_path: Path) -> None:
    layout, rows, hazards = arguments
    with pytest.raises(ConfigError, match=message):
        make(layout, tmp_path / "tree", rows, 0, hazards)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("all of it")
    with pytest.raises(ConfigError, match="empty folder"):
        make("misa", tmp_path / "full", 40, 0)
