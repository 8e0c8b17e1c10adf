from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mmsa.config import parse
from mmsa.data import DATA_SETS, open_corpus
from mmsa.data.corpus import Features, Strings
from mmsa.data.inputs import InputSpec
from mmsa.data.readers import FileConfig
from mmsa.data.readers.npz import NpzReader
from mmsa.data.readers.npz_file import NpzFile
from mmsa.errors import DataError

SPLITS = np.array(["train", "test", "valid", "train", "dev", "test"])


def config(path: Path | str, **settings: Any) -> FileConfig:
    return parse(DATA_SETS["mosi"].Config, {"path": str(path), **settings}, "test")


def write(path: Path, **changes: Any) -> None:
    """Six rows; ``changes`` replace arrays, or remove them with None."""
    arrays: dict[str, Any] = {
        "id": np.array([f"-v_{row}" for row in range(6)]),
        "video_id": np.array(["a", "b", "c", "a", "c", "b"]),
        "raw_text": np.array(["one", "two", "three", "four", "five", "six"]),
        "label": np.arange(6, dtype=np.float64) / 2,
        "audio": np.arange(12.0).reshape(6, 2),
        "vision": np.arange(18.0).reshape(6, 3),
        "split": SPLITS,
    }
    np.savez_compressed(
        path, **{name: array for name, array in (arrays | changes).items() if array is not None}
    )


def test_reads_the_rows_of_a_split_in_order(tmp_path: Path) -> None:
    write(tmp_path / "f.npz")
    corpus = open_corpus(config(tmp_path / "f.npz"))
    train, valid = corpus["train"], corpus["valid"]
    assert train.ids.tolist() == ["-v_0", "-v_3"]
    assert valid.ids.tolist() == ["-v_2", "-v_4"]
    assert valid.groups.tolist() == ["c", "c"]
    assert valid.labels.tolist() == [1.0, 2.0]
    assert isinstance(valid.text, Strings)
    assert valid.text.values.tolist() == ["three", "five"]
    assert valid.audio is not None
    assert valid.audio.values.tolist() == [[4.0, 5.0], [8.0, 9.0]]
    assert valid.audio.lengths().tolist() == [1, 1]


def test_rows_of_sealed_splits_never_become_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "f.npz")
    seen: Counter[str] = Counter()
    rows = NpzFile.rows

    def counting(self: NpzFile, name: str, chosen_N: Any = None) -> Any:
        array = rows(self, name, chosen_N)
        seen[name] += len(array)
        return array

    monkeypatch.setattr(NpzFile, "rows", counting)
    reader = NpzReader(tmp_path / "f.npz", config(tmp_path / "f.npz"))
    reader.read(("train", "valid"))
    reader.outlines()
    for name in ("split", "id", "video_id"):  # those of all splits are compared
        assert seen.pop(name) >= 6
    assert seen == dict.fromkeys(["raw_text", "label", "audio", "vision"], 4)


def test_what_is_wrong_with_test_shows_only_when_test_is_opened(tmp_path: Path) -> None:
    write(tmp_path / "f.npz", label=np.array([0, np.nan, 0, 0, 0, np.nan]))
    open_corpus(config(tmp_path / "f.npz"))
    with pytest.raises(DataError, match="test labels: '-v_1, -v_5'"):
        open_corpus(config(tmp_path / "f.npz"), ("test",))


@pytest.fixture(scope="module")
def stream_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("npz") / "f.npz"


@given(
    hnp.arrays(
        st.sampled_from(["<f4", ">f8", "<i2", "?", "<U3", "S2"]),
        hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=40),
    ),
    st.data(),
    st.booleans(),
)
@settings(deadline=None, max_examples=75)
def test_streaming_rows_equals_indexing(
    stream_file: Path, array: np.ndarray, data: st.DataObject, compressed: bool
) -> None:
    (np.savez_compressed if compressed else np.savez)(stream_file, array=array)
    chosen = data.draw(hnp.arrays(np.bool_, len(array)))
    file = NpzFile(stream_file)
    rows, everything = file.rows("array", chosen), file.rows("array")
    file.close()
    np.testing.assert_array_equal(rows, array[chosen])
    np.testing.assert_array_equal(everything, array)
    assert (rows.dtype, rows.shape) == (array.dtype, array[chosen].shape)


def test_padding_is_found_on_either_side_and_interior_zeros_stay(tmp_path: Path) -> None:
    right = np.zeros((6, 5, 2))
    left = np.zeros((6, 5, 3))
    for row in range(6):
        right[row, : row % 4] = row + 1
        left[row, 5 - row % 4 :] = row + 1
    right[3, 1] = 0.0
    write(tmp_path / "f.npz", audio=right, vision=left)
    train = open_corpus(config(tmp_path / "f.npz"))["train"]
    assert train.audio is not None
    assert train.vision is not None
    assert train.audio.lengths().tolist() == [0, 3]
    assert train.vision.lengths().tolist() == [0, 3]
    assert train.audio.values.tolist() == [[4, 4], [0, 0], [4, 4]]
    assert (train.vision.values == 4).all()


def test_flattened_frames_go_by_length(tmp_path: Path) -> None:
    length = np.array([1, 4, 2, 0, 3, 5])
    frames = np.repeat(np.arange(6.0), length)[:, None]
    write(tmp_path / "f.npz", length=length, audio=frames, vision=frames)
    corpus = open_corpus(config(tmp_path / "f.npz"))
    for name, values, lengths in (("train", [0], [1, 0]), ("valid", [2, 2, 4, 4, 4], [2, 3])):
        audio = corpus[name].audio  # type: ignore[index]
        assert isinstance(audio, Features)
        assert audio.values[:, 0].tolist() == values
        assert audio.lengths().tolist() == lengths


def test_infinities_are_replaced_before_anything_sees_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    audio = np.ones((6, 2))
    audio[0, 1], audio[3, 0], audio[2, 0] = -np.inf, np.nan, 1e300
    write(tmp_path / "f.npz", audio=audio)
    corpus = open_corpus(config(tmp_path / "f.npz"))
    assert corpus["train"].audio.values.tolist() == [[1, 0], [0, 1]]  # type: ignore[union-attr]
    assert corpus["valid"].audio.values.tolist() == [[0, 1], [1, 1]]  # type: ignore[union-attr]
    assert "1 -inf and 1 NaN set to 0" in caplog.text
    assert np.isfinite(InputSpec.of(corpus).audio.mean).all()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({"audio": None, "label": None}, {}, r"(?s)'audio'.*'label'"),
        ({"split_b": SPLITS}, {}, r"data\.split: None[\s\S]*split, split_b"),
        ({"split_b": SPLITS}, {"split": "splitb"}, r"Did you mean 'split_b'"),
        ({"split": np.array(["train"] * 6)}, {}, r"no row belongs to valid; split has train"),
        ({"raw_text": np.array(["a"] * 6, dtype=object)}, {}, r"'raw_text' cannot be read.*Python objects"),
        ({"audio": np.asfortranarray(np.ones((6, 2)))}, {}, r"Fortran order"),
        ({"audio": np.ones((5, 2))}, {}, r"its shape is \(5, 2\), but there are 6 rows"),
        ({"id": np.arange(6)}, {}, r"is not a string"),
        ({"id": np.array(["a"] * 6)}, {}, r"each id must occur once"),
        ({"video_id": np.array(["a"] * 6)}, {}, r"a video or speaker must lie in one split"),
        ({"label": np.arange(12.0).reshape(6, 2)}, {}, r"must have a row for each id[\s\S]*`label_names`"),
        ({"label": np.eye(3)[[0, 1, 2, 0, 1, 2]]}, {}, r"shape \(2, 3\).*one-hot classes"),
        (
            {"split": np.array(["train", "test"] * 3)},
            {},
            r"no row belongs to valid; .* test, train\. A search",
        ),
        ({"split": None, "fold": np.arange(6)}, {}, r"fold: 'int64 of shape \(6,\)'[\s\S]*no splits"),
        ({"split": None}, {}, r"data\.split: None[\s\S]*add `split`"),
        ({"raw_text": None, "text": np.ones((6, 4))}, {"text": "strings"}, r"set data\.text: features"),
        ({}, {"text": "tokens"}, r"has no tokens"),
        ({}, {"text": "features"}, r"'text'"),
    ],
)
def test_refuses_what_it_cannot_read(
    tmp_path: Path, changes: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    write(tmp_path / "f.npz", **changes)
    with pytest.raises(DataError, match=message):
        open_corpus(config(tmp_path / "f.npz", **settings))


def test_modalities_that_are_not_used_need_not_be_there(tmp_path: Path) -> None:
    write(tmp_path / "f.npz", audio=None, raw_text=None)
    corpus = open_corpus(config(tmp_path / "f.npz", modalities=["vision"]))
    assert list(corpus["train"].modalities()) == ["vision"]


@pytest.mark.parametrize("form", ["auto", "strings"])
def test_text_without_raw_text_is_what_the_array_called_text_holds(tmp_path: Path, form: str) -> None:
    words = [f"word{row}" for row in range(6)]
    write(tmp_path / "f.npz", raw_text=None, text=np.array(words))
    text = open_corpus(config(tmp_path / "f.npz", text=form))["train"].text
    assert isinstance(text, Strings)
    assert text.values.tolist() == ["word0", "word3"]
    write(tmp_path / "f.npz", raw_text=None, text=np.ones((6, 4)))
    assert isinstance(open_corpus(config(tmp_path / "f.npz"))["train"].text, Features)


def test_names_of_splits_vary_and_rows_of_none_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = np.array(["Train", "TEST", "validation", "training", "none", "test "]).astype(bytes)
    write(tmp_path / "f.npz", split=None, fold=names)
    corpus = open_corpus(config(tmp_path / "f.npz"))
    assert {name: len(outline) for name, outline in corpus.outlines.items()} == {
        "train": 2,
        "valid": 1,
        "test": 2,
    }
    assert "f.npz fold: 1 rows belong to no split and are not used: they say none" in caplog.text
    assert open_corpus(config(tmp_path / "f.npz", split="fold"))["train"].ids.tolist() == ["-v_0", "-v_3"]


def test_text_may_be_features(tmp_path: Path) -> None:
    write(tmp_path / "f.npz", text=np.ones((6, 4)))
    text = open_corpus(config(tmp_path / "f.npz", text="features"))["train"].text
    assert isinstance(text, Features)
    assert text.dim == 4


@pytest.mark.parametrize("position", [0.3, 0.5, 0.7])
def test_a_damaged_file_is_refused(tmp_path: Path, position: float) -> None:
    write(tmp_path / "f.npz", audio=np.random.default_rng(0).standard_normal((6, 500)))
    content = bytearray((tmp_path / "f.npz").read_bytes())
    content[int(position * len(content))] ^= 0xFF
    (tmp_path / "f.npz").write_bytes(content)
    with pytest.raises(DataError):
        open_corpus(config(tmp_path / "f.npz"))


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "f.npz")
    (tmp_path / "f.npz").write_bytes((tmp_path / "f.npz").read_bytes()[:-100])
    with pytest.raises(DataError, match="is not an npz file, or is damaged"):
        open_corpus(config(tmp_path / "f.npz"))


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("split", "modalities", "rows"),
    [
        ("split_official", ["text", "audio"], (1284, 229, 686)),
        ("split_context", ["text", "audio", "vision"], (1447, 252, 500)),
    ],
)
def test_real_mosi(split: str, modalities: list[str], rows: tuple[int, int, int]) -> None:
    block = config("${MMSA_DATA}/mosi_utterance.npz", split=split, modalities=modalities)
    corpus = open_corpus(block, ("train", "valid", "test"))
    assert tuple(map(len, corpus.splits.values())) == rows
    with np.load(Path(os.environ["MMSA_DATA"], "mosi_utterance.npz")) as arrays:
        for name, part in corpus.splits.items():
            chosen = arrays[split] == name
            np.testing.assert_array_equal(part.ids, arrays["id"][chosen])
            np.testing.assert_array_equal(part.labels, arrays["label"][chosen])
            np.testing.assert_array_equal(part.text.values, arrays["raw_text"][chosen])  # type: ignore[union-attr]
            np.testing.assert_array_equal(part.audio.values, arrays["audio"][chosen])  # type: ignore[union-attr]


@pytest.mark.real_data
def test_real_mosi_words() -> None:
    corpus = open_corpus(config("${MMSA_DATA}/mosi_valid_words.npz"))
    assert {name: len(split) for name, split in corpus.splits.items()} == {"train": 163, "valid": 30}
    assert corpus["train"].audio.dim == 74  # type: ignore[union-attr]
    assert corpus["train"].vision.lengths().min() >= 2  # type: ignore[union-attr]
