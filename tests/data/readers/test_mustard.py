"""MUStARD has folds and no valid, so that the contract of readers does not fit it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsa.config import parse
from mmsa.data import DATA_SETS, Features, open_corpus
from mmsa.data.corpus import Strings
from mmsa.data.generated.acted import write_mustard
from mmsa.data.readers.sniffing import recognise
from mmsa.errors import DataError
from mmsa.testing.readers import recordings

ROWS = recordings()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_mustard(tmp_path, ROWS)
    return tmp_path


def config(path: Path, **settings: Any) -> Any:
    return parse(DATA_SETS["mustard"].Config, {"path": str(path), **settings}, "test")


def test_what_is_read_is_what_was_written(path: Path) -> None:
    assert recognise(path) == ("mustard", path)
    train = open_corpus(config(path), ("train",))["train"]
    assert train.ids.tolist() == [row.id for row in ROWS]
    assert train.groups.tolist() == [row.group for row in ROWS]
    assert train.labels.tolist() == [float(row.label > 0) for row in ROWS]
    assert isinstance(train.text, Strings)
    assert train.text.values.tolist() == [row.text for row in ROWS]
    assert isinstance(train.audio, Features)
    np.testing.assert_allclose(train.audio.values, np.concatenate([row.audio for row in ROWS]), rtol=1e-6)
    before = open_corpus(config(path, context=True, modalities=["text"]), ("train",))["train"]
    assert before.text.values[0] == f"something was said before {ROWS[0].text}"  # type: ignore[union-attr]


def test_a_fold_by_its_number_says_what_test_is(path: Path) -> None:
    corpus = open_corpus(config(path, split="0"), ("train",))
    assert corpus.outlines["test"].ids.tolist() == [row.id for row in ROWS if row.split == "test"]
    assert corpus["train"].ids.tolist() == [row.id for row in ROWS if row.split != "test"]
    with pytest.raises(DataError, match="must be the number of a fold"):
        open_corpus(config(path, split="5"), ("train",))
    with pytest.raises(DataError, match="must lie in one split"):
        open_corpus(config(path, split="1"), ("train",))


def test_folds_are_dealt_by_speaker_or_as_published(path: Path) -> None:
    dealt = open_corpus(config(path, folds={"k": 3}), ("train", "valid"))
    for fold in dealt.folds:
        groups = dealt["train"].groups
        assert not set(groups[fold.train]) & set(groups[fold.held_out])
    array = {"array": "split_indices"}
    with pytest.raises(DataError, match="trains on rows of videos or speakers that it holds out"):
        open_corpus(config(path, folds=array), ("train", "valid"))
    published = open_corpus(config(path, folds=array, by_speaker=False), ("train", "valid"))
    assert len(published.folds) == 5
    assert published["valid"].ids[published.folds[1].held_out].tolist() == [row.id for row in ROWS[::4]]


def test_faces_are_read_by_h5py(path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    folder = path / "data" / "features" / "utterances_final"
    folder.mkdir(parents=True)
    with h5py.File(folder / "resnet_pool5.hdf5", "w") as file:
        for row in ROWS[1:]:
            file[row.id] = row.vision
    vision = open_corpus(config(path, modalities=["vision"]), ("train",))["train"].vision
    assert isinstance(vision, Features)
    assert vision.lengths().tolist() == [0, *(len(row.vision) for row in ROWS[1:])]


def test_positions_outside_of_the_table_are_refused(path: Path) -> None:
    table = path / "data" / "sarcasm_data.json"
    write_mustard(path / "short", ROWS[:5])
    table.write_bytes((path / "short" / "data" / "sarcasm_data.json").read_bytes())
    with pytest.raises(DataError, match="must be different whole numbers below 5"):
        open_corpus(config(path, split="0"), ("train",))
