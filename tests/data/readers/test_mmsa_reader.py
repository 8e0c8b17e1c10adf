from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsa.config import parse
from mmsa.data import DATA_SETS, open_corpus
from mmsa.data.corpus import Corpus, Features, Strings, Tokens
from mmsa.data.readers.mmsa import MmsaReader
from mmsa.errors import DataError

SMALL = {"steps": (5, 6, 7), "dims": (4, 3, 2)}
Writer = Callable[..., dict[str, dict[str, Any]]]


def corpus_of(path: Path, **settings: Any) -> Corpus:
    return open_corpus(parse(DATA_SETS["mosi"].Config, {"path": str(path), **settings}, "test"))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reads_what_was_written(tmp_path: Path, write_mmsa_pickle: Writer, protocol: int) -> None:
    content = write_mmsa_pickle(tmp_path / "f.pkl", protocol=protocol, **SMALL)
    corpus = corpus_of(tmp_path / "f.pkl")
    for name, split in corpus.splits.items():
        table = content[name]
        assert split.ids.tolist() == table["id"].tolist()
        assert split.groups.tolist() == [row.split("$_$")[0] for row in table["id"]]
        np.testing.assert_array_equal(split.labels, table["regression_labels"])
        assert isinstance(split.text, Strings)
        assert split.text.values.tolist() == table["raw_text"].tolist()
        for modality in ("audio", "vision"):
            features, lengths = getattr(split, modality), table[f"{modality}_lengths"]
            assert features.lengths().tolist() == lengths
            rows = [row[:length] for row, length in zip(table[modality], lengths, strict=True)]
            np.testing.assert_array_equal(features.values, np.concatenate(rows))


def test_reads_the_size_that_mmsa_publishes(tmp_path: Path, write_mmsa_pickle: Writer) -> None:
    write_mmsa_pickle(tmp_path / "unaligned_50.pkl")
    train = corpus_of(tmp_path / "unaligned_50.pkl")["train"]
    assert (train.audio.dim, train.vision.dim) == (5, 20)  # type: ignore[union-attr]


def test_without_lengths_zero_steps_at_the_end_are_padding(tmp_path: Path, write_mmsa_pickle: Writer) -> None:
    def align(content: dict[str, Any]) -> None:
        for table in content.values():
            del table["audio_lengths"], table["vision_lengths"]
            table["audio"][0] = 0.0

    content = write_mmsa_pickle(tmp_path / "f.pkl", change=align, **SMALL)
    audio = corpus_of(tmp_path / "f.pkl")["train"].audio
    assert audio is not None
    assert audio.lengths().tolist() == (content["train"]["audio"] != 0).any(axis=2).sum(axis=1).tolist()
    assert audio.lengths()[0] == 0


class SealedArray(np.ndarray):
    """Has a shape, and no value that could be read."""

    def __getitem__(self, item: object) -> Any:
        raise AssertionError("it is sealed")

    def __array_ufunc__(self, *arguments: object, **settings: object) -> Any:
        raise AssertionError("it is sealed")

    def __array_function__(self, *arguments: object, **settings: object) -> Any:
        raise AssertionError("it is sealed")

    def astype(self, *arguments: object, **settings: object) -> Any:
        raise AssertionError("it is sealed")

    def __iter__(self) -> Any:
        raise AssertionError("it is sealed")


class SealedTable(dict[str, Any]):
    """A split in which the arrays under some keys are sealed."""

    def __init__(self, table: dict[str, Any], sealed: set[str]):
        super().__init__(
            {key: array.view(SealedArray) if key in sealed else array for key, array in table.items()}
        )


def test_a_split_that_is_not_asked_for_is_not_looked_at(
    tmp_path: Path, write_mmsa_pickle: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = {"raw_text", "text", "text_bert", "audio", "vision", "regression_labels"}
    content = write_mmsa_pickle(tmp_path / "f.pkl", **SMALL)
    content["test"] = SealedTable(content["test"], sealed)
    monkeypatch.setattr("mmsa.data.readers.mmsa.load", lambda path: content)
    config = parse(DATA_SETS["mosi"].Config, {"path": str(tmp_path / "f.pkl")}, "test")
    reader = MmsaReader(tmp_path / "f.pkl", config)
    assert list(reader.read(("train", "valid"))) == ["train", "valid"]
    test = reader.outlines()["test"]
    assert test.ids.tolist() == content["test"]["id"].tolist()
    assert test.widths == {"text": None, "audio": 3, "vision": 2}
    with pytest.raises(AssertionError, match="is sealed"):
        reader.read(("test",))


def test_the_forms_of_the_text(tmp_path: Path, write_mmsa_pickle: Writer) -> None:
    content = write_mmsa_pickle(tmp_path / "f.pkl", **SMALL)
    bert, hidden = content["train"]["text_bert"], content["train"]["text"]
    lengths = bert[:, 1].sum(axis=1).astype(int)
    tokens = corpus_of(tmp_path / "f.pkl", text="tokens")["train"].text
    assert isinstance(tokens, Tokens)
    assert tokens.lengths().tolist() == lengths.tolist()
    assert tokens.ids.tolist() == [
        int(i) for row, n in zip(bert[:, 0], lengths, strict=True) for i in row[:n]
    ]
    features = corpus_of(tmp_path / "f.pkl", text="features")["train"].text
    assert isinstance(features, Features)
    rows = [row[:length] for row, length in zip(hidden, lengths, strict=True)]
    np.testing.assert_array_equal(features.values, np.concatenate(rows))


@pytest.mark.parametrize(
    ("removed", "form"), [([], Strings), (["raw_text"], Tokens), (["raw_text", "text_bert"], Features)]
)
def test_auto_takes_the_first_form_that_the_file_has(
    tmp_path: Path, write_mmsa_pickle: Writer, removed: list[str], form: type
) -> None:
    def remove(content: dict[str, Any]) -> None:
        for key in removed:
            del content["valid"][key]

    write_mmsa_pickle(tmp_path / "f.pkl", change=remove, **SMALL)
    assert isinstance(corpus_of(tmp_path / "f.pkl")["train"].text, form)


def add_unimodal_labels(content: dict[str, Any]) -> None:
    for table in content.values():
        for position, suffix in enumerate("TAV"):
            table[f"regression_labels_{suffix}"] = np.roll(table["regression_labels"], position + 1)


def test_labels_of_each_used_modality_are_read_where_the_file_has_them(
    tmp_path: Path, write_mmsa_pickle: Writer
) -> None:
    content = write_mmsa_pickle(tmp_path / "f.pkl", change=add_unimodal_labels, **SMALL)
    corpus = corpus_of(tmp_path / "f.pkl")
    assert "test" not in corpus.splits
    for name, split in corpus.splits.items():
        assert {m: labels.tolist() for m, labels in split.unimodal_labels.items()} == {
            m: content[name][f"regression_labels_{m[0].upper()}"].tolist()
            for m in ("text", "audio", "vision")
        }
    some = corpus_of(tmp_path / "f.pkl", modalities=["text", "vision"])["train"]
    assert list(some.unimodal_labels) == ["text", "vision"]
    write_mmsa_pickle(tmp_path / "f.pkl", **SMALL)
    assert corpus_of(tmp_path / "f.pkl")["train"].unimodal_labels == {}


def test_labels_of_one_modality_are_checked_like_the_others(
    tmp_path: Path, write_mmsa_pickle: Writer
) -> None:
    def spoil(content: dict[str, Any]) -> None:
        add_unimodal_labels(content)
        content["valid"]["regression_labels_A"][2] = 4.0
        content["test"]["regression_labels_A"][2] = 5.0

    write_mmsa_pickle(tmp_path / "f.pkl", change=spoil, **SMALL)
    with pytest.raises(
        DataError, match=r"valid labels of audio: '-valid_0\$_\$2'\n +labels must lie"
    ) as error:
        corpus_of(tmp_path / "f.pkl")
    assert "test" not in str(error.value).replace(str(tmp_path), "")


def test_what_varies_between_builds_is_read(tmp_path: Path, write_mmsa_pickle: Writer) -> None:
    def vary(content: dict[str, Any]) -> None:
        content["config"] = {"tool": "FET", "version": 1}
        content["dev"] = content.pop("valid")
        table = content["train"]
        table["raw_text"] = table["raw_text"].tolist()
        table["id"] = [name.encode() for name in table["id"]]
        table["regression_labels"] = table["regression_labels"].astype(float)[:, None]
        table["audio"] = table["audio"].astype(">f8")
        table["audio_lengths"] = np.array(table["audio_lengths"], dtype=float)

    content = write_mmsa_pickle(tmp_path / "f.pkl", change=vary, **SMALL)
    corpus = corpus_of(tmp_path / "f.pkl")
    assert len(corpus["valid"]) == 6
    assert corpus["train"].ids[0] == "-train_0$_$0"
    assert corpus["train"].labels.tolist() == content["train"]["regression_labels"].ravel().tolist()
    assert corpus["train"].audio.values.dtype == np.float32  # type: ignore[union-attr]


def test_lengths_outside_the_array_are_clipped_and_counted(
    tmp_path: Path, write_mmsa_pickle: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    def stretch(content: dict[str, Any]) -> None:
        content["train"]["audio_lengths"][:3] = [99, 4, 0]

    write_mmsa_pickle(tmp_path / "f.pkl", change=stretch, **SMALL)
    audio = corpus_of(tmp_path / "f.pkl")["train"].audio
    assert audio is not None
    assert audio.lengths()[:3].tolist() == [6, 4, 0]
    assert "1 of audio_lengths clipped to 6 steps" in caplog.text
    assert "1 of 12 rows have no audio" in caplog.text


def test_minus_infinity_is_replaced(
    tmp_path: Path, write_mmsa_pickle: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    def silence(content: dict[str, Any]) -> None:
        content["train"]["audio"][:, 0, 1] = -np.inf
        content["train"]["audio_lengths"] = [6] * 12

    write_mmsa_pickle(tmp_path / "f.pkl", change=silence, **SMALL)
    audio = corpus_of(tmp_path / "f.pkl")["train"].audio
    assert audio is not None
    assert np.isfinite(audio.values).all()
    assert (audio.values[::6, 1] == 0).all()
    assert "12 -inf set to 0, in columns 1" in caplog.text


def test_ids_of_another_grammar_are_groups_of_their_own(
    tmp_path: Path, write_mmsa_pickle: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    def rename(content: dict[str, Any]) -> None:
        content["train"]["id"] = np.array([f"row{number}" for number in range(12)])

    write_mmsa_pickle(tmp_path / "f.pkl", change=rename, **SMALL)
    train = corpus_of(tmp_path / "f.pkl")["train"]
    assert train.groups.tolist() == train.ids.tolist()
    assert "12 ids such as 'row0' lack '$_$'" in caplog.text


def replace(split: str, key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content[split].__setitem__(key, value)


def missing(content: dict[str, Any]) -> None:
    del content["train"]["audio"], content["valid"]["regression_labels"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("valid"), r"has no split valid; its keys are train, test"),
        (missing, r"(?s)train\.audio.*valid\.regression_labels"),
        (replace("train", "audio", np.ones(12)), r"audio: shape \(12,\); must be"),
        (replace("train", "audio", np.array(["a"] * 12)), r"must be numbers"),
        (replace("train", "vision", [[1.0], [1.0, 2.0]]), r"rows of different shapes"),
        (replace("train", "audio_lengths", [1, 2]), r"2 audio_lengths for 12 rows"),
        (
            replace("train", "audio_lengths", [3, -1, 2.5, np.nan, *[4] * 8]),
            r"audio_lengths: -1 in row 1, 2.5 in row 2, nan in row 3; must be the number of real frames",
        ),
        (replace("train", "id", np.arange(12)), r"0 is not a string but of type int; save strings"),
        (
            replace("train", "id", np.array([[b"v", b"0", b"1"]] * 12)),
            r"id: shape \(12, 3\); must be one string",
        ),
        (
            replace("train", "regression_labels", np.eye(3)[[0, 1, 2] * 4]),
            r"shape \(12, 3\).*one-hot classes",
        ),
        (replace("train", "regression_labels", np.ones((12, 3))), r"shape \(12, 3\).*`label_names`"),
        (replace("train", "id", ["a$_$1"] * 12), r"each id must occur once"),
        (
            replace("train", "id", [f"-valid_0$_${row + 9}" for row in range(12)]),
            r"-valid_0 \(train, valid\)",
        ),
        (replace("train", "regression_labels", np.full(12, np.nan)), r"a label must be a finite number"),
        (replace("train", "regression_labels", np.zeros((12, 7))), r"must have a row for each id"),
        (replace("train", "id", []), r"train has no rows"),
    ],
)
def test_refuses_what_it_cannot_read(
    tmp_path: Path, write_mmsa_pickle: Writer, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    write_mmsa_pickle(tmp_path / "f.pkl", change=change, **SMALL)
    with pytest.raises(DataError, match=message):
        corpus_of(tmp_path / "f.pkl")


@pytest.mark.parametrize("bert", [np.ones((12, 2, 5)), np.full((12, 3, 5), 0.5), np.ones((12, 5))])
def test_refuses_tokens_without_a_mask(tmp_path: Path, write_mmsa_pickle: Writer, bert: np.ndarray) -> None:
    write_mmsa_pickle(tmp_path / "f.pkl", change=replace("train", "text_bert", bert), **SMALL)
    with pytest.raises(DataError, match="text_bert"):
        corpus_of(tmp_path / "f.pkl", text="tokens")


def test_a_list_is_not_a_data_set(tmp_path: Path) -> None:
    (tmp_path / "f.pkl").write_bytes(b"\x80\x03]q\x00.")
    with pytest.raises(DataError, match="holds a list"):
        corpus_of(tmp_path / "f.pkl")
