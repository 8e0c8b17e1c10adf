from __future__ import annotations

import pickle

import numpy as np
import pytest

from mmsa.data.corpus import Corpus, Features, Split, Strings, Tokens
from mmsa.errors import DataError, SealedTest


def split(**changes: object) -> Split:
    columns: dict[str, object] = {
        "ids": np.array(["a", "b"]),
        "groups": np.array(["g", "g"]),
        "labels": np.array([1.0, 2.0], np.float32),
        "text": Strings(np.array(["one two", "three"])),
        "audio": Features.from_vectors(np.eye(2, dtype=np.float32)),
    }
    return Split(**(columns | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"ids": np.array(["a", "c"])},
        {"groups": np.array(["g", "h"])},
        {"labels": np.array([1.0, 2.5], np.float32)},
        {"text": Strings(np.array(["one two", "four"]))},
        {"text": Tokens(np.arange(3), np.array([0, 2, 3]))},
        {"text": None},
        {"audio": Features(np.eye(2, dtype=np.float32), np.array([0, 2, 2]))},
        {"audio": None, "vision": split().audio},
        {"unimodal_labels": {"text": np.array([1.0, 2.0], np.float32)}},
    ],
)
def test_any_change_of_content_changes_the_digest(change: dict[str, object]) -> None:
    assert split().digest == split().digest
    assert split(**change).digest != split().digest


def test_arrays_are_read_only_whoever_made_them() -> None:
    made = split()
    alone = split(unimodal_labels={"text": np.ones(2, np.float32)}).unimodal_labels["text"]
    for array in (made.labels, made.ids, made.audio.values, made.text.values, alone):  # type: ignore[union-attr]
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros(3, np.float32)}, r"2 ids, but \{'labels': 3\} rows"),
        ({"text": None, "audio": None}, "at least one of text, audio and vision"),
        ({"unimodal_labels": {"audio": np.zeros(3)}}, r"\{'audio labels': 3\} rows"),
    ],
)
def test_inconsistent_rows_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        split(**change)


def test_lengths_count_words_tokens_and_frames() -> None:
    assert split().text.lengths().tolist() == [2, 1]  # type: ignore[union-attr]
    assert Tokens(np.arange(5), np.array([0, 5, 5])).lengths().tolist() == [5, 0]
    ragged = Features.from_rows([np.ones((3, 2), np.float32), np.ones((0, 2), np.float32)], 2)
    assert ragged.lengths().tolist() == [3, 0]
    assert (len(ragged), ragged.dim) == (2, 2)


def test_a_corpus_travels_whole_and_keeps_test_sealed() -> None:
    corpus = Corpus("name", (-3.0, 3.0), {"train": split()})
    there: Corpus = pickle.loads(pickle.dumps(corpus))
    assert there.digest == corpus.digest
    assert there.label_range == (-3.0, 3.0)
    with pytest.raises(SealedTest):
        there["test"]
    with pytest.raises(DataError, match="has no valid split, only train"):
        there["valid"]
    with pytest.raises(TypeError):
        corpus.splits["test"] = split()  # type: ignore[index]
