from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmsa.config import parse
from mmsa.data import DATA_SETS, Corpus, open_corpus
from mmsa.data.rows import Rows, RowSet
from mmsa.errors import DataError


def corpus(path: Path, name: str = "mosi", **settings: object) -> Corpus:
    return open_corpus(parse(DATA_SETS[name].Config, {"path": str(path), **settings}, "test"))


def write(path: Path, **arrays: np.ndarray) -> None:
    """Twelve rows in six videos, under two splits: the second is the first, two videos on."""
    splits = np.repeat(["train", "valid", "test"], 4)
    np.savez(
        path,
        audio=np.ones((12, 2)),
        label=np.linspace(-1, 1, 12),
        split_1=splits,
        split_2=np.roll(splits, 4),
        **arrays,
    )


NAMES = {
    "id": np.array([f"a_{row}" for row in range(12)]),
    "video_id": np.array([f"a{row // 2}" for row in range(12)]),
}
SETTINGS = {"modalities": ["audio"]}


def test_rows_are_the_same_under_any_split_and_in_any_file(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", **NAMES)
    write(tmp_path / "b.npz", **{name: array.copy() for name, array in NAMES.items()}, more=np.ones(3))
    first = corpus(tmp_path / "a.npz", split="split_1", **SETTINGS)
    second = corpus(tmp_path / "b.npz", split="split_2", **SETTINGS)
    seen, test = Rows.of(first, "train", "valid"), Rows.of(second, "test")
    assert (len(seen.rows), len(seen.groups), len(test.rows)) == (8, 4, 4)
    assert len(seen.rows & test.rows) == 4
    assert len(seen.groups & test.groups) == 2
    assert not Rows.of(first, "test").rows & seen.rows


def test_rows_without_names_are_those_of_their_file_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.npz")
    write(tmp_path / "b.npz", more=np.ones(3))
    seen = Rows.of(corpus(tmp_path / "a.npz", split="split_1", **SETTINGS), "train", "valid")
    same = Rows.of(corpus(tmp_path / "a.npz", split="split_2", **SETTINGS), "test")
    other = Rows.of(corpus(tmp_path / "b.npz", split="split_2", **SETTINGS), "test")
    assert len(seen.rows & same.rows) == 4
    assert not seen.rows & other.rows


def test_a_set_survives_as_text_that_shows_no_name(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", **NAMES)
    rows = Rows.of(corpus(tmp_path / "a.npz", split="split_1", **SETTINGS), "train", "valid")
    stored = rows.to_dict()
    assert Rows.from_dict(stored) == rows
    assert "a_1" not in stored["rows"]
    assert Rows.from_dict(Rows().to_dict()) == Rows()


@pytest.mark.parametrize("text", ["AAAA", "no base64", "\u00e9"])
def test_a_damaged_set_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="is no set of rows"):
        RowSet.from_text(text)


def test_planted_data_of_another_seed_are_other_rows() -> None:
    config = DATA_SETS["planted"].Config
    seen = Rows.of(open_corpus(config()), "test")
    assert seen.rows & Rows.of(open_corpus(config(rows_train=10)), "test").rows
    assert not seen.rows & Rows.of(open_corpus(config(seed=1)), "test").rows
