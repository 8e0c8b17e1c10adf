from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import own_files
import pytest
from numpy.typing import NDArray

from mmsa.config import parse
from mmsa.data import DATA_SETS, Features, Strings, open_corpus
from mmsa.data.custom_reader import CustomReader
from mmsa.errors import ConfigError, DataError
from mmsa.testing.readers import recordings

MUTANTS = int(os.environ.get("MMSA_MUTANTS", "100"))
ROWS = 12


def config(path: Path, **settings: Any) -> Any:
    return parse(DATA_SETS["custom"].Config, {"path": str(path), **settings}, "test")


def columns(**changes: Any) -> dict[str, Any]:
    random = np.random.default_rng(0)
    arrays = {
        "participant": np.array([f"{row:03}" for row in range(ROWS)]),
        "home": np.array(["train"] * 6 + ["dev"] * 4 + ["test"] * 2),
        "score": np.arange(ROWS) * 2.0,
        "depressed": np.arange(ROWS) % 2,
        "question": np.array(["how are you"] * ROWS),
        "answer": np.array([f"fine {row}" for row in range(ROWS)]),
        "egemaps": random.standard_normal((ROWS, 4, 3)),
        "egemaps_length": np.array([4, 3, 2, 1, 0, 4] * 2),
    }
    return {name: array for name, array in (arrays | changes).items() if array is not None}


SETTINGS: dict[str, Any] = {
    "id": "participant",
    "groups": "participant",
    "split": "home",
    "modalities": ["text", "audio"],
    "arrays": {"text": ["question", "answer"], "audio": "egemaps"},
    "targets": {
        "score": {"kind": "regression", "low": 0, "high": 24, "threshold": 10, "suite": "phq8"},
        "binary": {"kind": "binary", "column": "depressed"},
    },
}


def test_settings_say_what_is_what(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", **columns())
    corpus = open_corpus(config(tmp_path / "f.npz", **SETTINGS))
    assert [target.name for target in corpus.targets] == ["score", "binary"]
    assert corpus.target.threshold == 10
    valid = corpus["valid"]
    assert valid.ids.tolist() == valid.groups.tolist() == ["006", "007", "008", "009"]
    assert valid.labels.tolist() == [12, 14, 16, 18]
    assert valid.further_targets["binary"].tolist() == [0, 1, 0, 1]
    assert isinstance(valid.text, Strings)
    assert valid.text.values[0] == "how are you fine 6"
    assert isinstance(valid.audio, Features)
    assert valid.audio.lengths().tolist() == [4, 3, 2, 1]
    chosen = open_corpus(config(tmp_path / "f.npz", **SETTINGS, target="binary"))
    assert chosen.target.name == "binary"


def test_names_of_levels_begin_at_the_lowest(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", **columns(level=np.array(["mild", "hard", "2"] * 4)))
    levels = {"kind": "ordinal", "low": 1, "high": 2, "classes": ["mild", "hard"]}
    corpus = open_corpus(config(tmp_path / "f.npz", **SETTINGS | {"targets": {"level": levels}}))
    assert corpus["train"].labels.tolist() == [1, 2, 2, 1, 2, 2]


@pytest.mark.parametrize("written", [np.arange(ROWS) % 3 + 1, np.array(["1", "2", "3"] * 4)])
def test_classes_that_are_called_by_numbers_are_found_by_these_and_not_by_position(
    written: np.ndarray, tmp_path: Path
) -> None:
    """Text and a column of numbers alike: taken for positions, 1 would be the class 2."""
    np.savez(tmp_path / "f.npz", **columns(level=written))
    settings = {**SETTINGS, "targets": {"level": {"kind": "multiclass", "classes": ["1", "2", "3"]}}}
    corpus = open_corpus(config(tmp_path / "f.npz", **settings))
    assert corpus["train"].labels.tolist() == [0, 1, 2, 0, 1, 2]
    levels = {"kind": "ordinal", "low": 1, "high": 3}
    settings["targets"] = {"level": {**levels, "classes": ["1", "2", "3"]}}
    corpus = open_corpus(config(tmp_path / "f.npz", **settings))
    assert corpus["train"].labels.tolist() == [1, 2, 3, 1, 2, 3]
    settings["targets"] = {"level": {"kind": "multiclass", "classes": ["0", "1", "2"]}}
    with pytest.raises(DataError, match=r"3.*\s+is none of the classes 0, 1, 2"):
        open_corpus(config(tmp_path / "f.npz", **settings))


def test_classes_are_read_by_name_or_number_and_labels_by_column(tmp_path: Path) -> None:
    lines = ["id,split,emotion,happy,sad,text,group"]
    for row in range(ROWS):
        split, emotion = "train" if row < 8 else "valid", ["joy", "anger", "0"][row % 3]
        lines.append(f"{row:03},{split},{emotion},{row % 2},1,hello,{row:02}")
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    targets = {
        "emotion": {"kind": "multiclass", "classes": ["joy", "anger"]},
        "both": {"kind": "multilabel", "classes": ["happy", "sad"], "column": ["happy", "sad"]},
    }
    settings: dict[str, Any] = {"modalities": ["text"], "targets": targets}
    valid = open_corpus(config(tmp_path / "rows.csv", **settings))["valid"]
    assert valid.labels.tolist() == [0, 0, 1, 0]
    assert valid.further_targets["both"].tolist() == [[0, 1], [1, 1], [0, 1], [1, 1]]
    assert valid.ids.tolist() == ["008", "009", "010", "011"]  # with their zeros
    assert valid.groups.tolist() == ["08", "09", "10", "11"]
    targets["emotion"]["classes"] = ["joy", "angry"]
    with pytest.raises(DataError, match=r"'anger'[\s\S]*none of the classes joy, angry[\s\S]*mean 'angry'"):
        open_corpus(config(tmp_path / "rows.csv", **settings))


def test_several_labels_in_one_column_of_text_are_refused_with_how_to_write_them(tmp_path: Path) -> None:
    """Taken for positions among the labels, the names of the first two would be 0 and 1."""
    moods = np.array(["happy", "sad", ""] * 4)
    np.savez(tmp_path / "f.npz", **columns(moods=moods, happy=moods, sad=np.ones(ROWS)))
    for column in (["moods"], ["happy", "sad"]):
        target = {"kind": "multilabel", "classes": ["happy", "sad"], "column": column}
        with pytest.raises(
            DataError, match=r"'happy', 'sad'[\s\S]*of 0 and 1[\s\S]*moods.column=\[happy, sad\]"
        ):
            open_corpus(config(tmp_path / "f.npz", **SETTINGS | {"targets": {"moods": target}}))


def test_a_file_that_nobody_published_is_not_called_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    np.savez(tmp_path / "f.npz", **columns())
    with caplog.at_level(logging.INFO, "mmsa.data"):
        open_corpus(config(tmp_path / "f.npz", **SETTINGS))
    assert "published" not in caplog.text


def test_npy_files_beside_a_table(tmp_path: Path) -> None:
    """One of all rows, one for each row, and one by a pattern; a row without a file lacks the modality."""
    random = np.random.default_rng(0)
    names = [f"p{row}" for row in range(ROWS)]
    lines = ["id,split,label,text"]
    lines += [f"{name},{'train' if row < 8 else 'valid'},{row},hi" for row, name in enumerate(names)]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    whole = random.standard_normal((ROWS, 3)).astype(np.float32)
    whole[9] = np.nan
    np.save(tmp_path / "vision.npy", whole)
    for row, name in enumerate(names[:-1]):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / f"{name}_mfcc.npy", np.full((row + 1, 2), row, np.float32))
    settings = {"arrays": {"audio": "{id}/{id}_mfcc.npy"}}
    for path in (tmp_path, tmp_path / "rows.csv"):
        valid = open_corpus(config(path, **settings))["valid"]
        assert valid.audio is not None
        assert valid.audio.lengths().tolist() == [9, 10, 11, 0]
        assert valid.vision is not None
        assert valid.vision.lengths().tolist() == [1, 0, 1, 1]
        np.testing.assert_array_equal(valid.vision.values, whole[[8, 10, 11]])
    (tmp_path / "vision").mkdir()
    assert open_corpus(config(tmp_path, **settings))  # an empty folder beside the file says nothing else
    np.save(tmp_path / "vision" / "p0.npy", whole[0])
    with pytest.raises(DataError, match=r"vision\.npy has all rows of 'vision', and .*vision/ has files of"):
        open_corpus(config(tmp_path, **settings))
    with pytest.raises(DataError, match="outside of the folder"):
        open_corpus(config(tmp_path, arrays={"audio": "../{id}.npy"}))
    (tmp_path / "rows.csv").write_text("\n".join([f"{lines[0]},vision", *(f"{line}," for line in lines[1:])]))
    (tmp_path / "vision" / "p0.npy").unlink()
    with pytest.raises(DataError, match=r"has a column 'vision', and .*vision\.npy lies beside it"):
        open_corpus(config(tmp_path, **settings))


@pytest.mark.parametrize("groups", [None, "speaker"])
def test_a_column_of_speakers_that_is_not_used_for_groups_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, groups: str | None
) -> None:
    np.savez(tmp_path / "f.npz", **columns(speaker=(np.arange(ROWS) // 2).astype(str)))
    corpus = open_corpus(config(tmp_path / "f.npz", **SETTINGS | {"groups": groups}))
    assert len(set(corpus["train"].groups.tolist())) == (6 if groups is None else 3)
    assert ("write data.groups: speaker" in caplog.text) is (groups is None)


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({}, {"split": "fold"}, r"data\.split: 'fold'"),
        ({}, {"id": "partcipant"}, r"data\.id: 'partcipant'[\s\S]*Did you mean 'participant'"),
        ({}, {"arrays": {"audio": "egemap"}}, r"audio: 'egemap'[\s\S]*Did you mean 'egemaps'"),
        (
            {},
            {"modalities": ["vision"]},
            r"arrays\.vision[\s\S]*Leave it out \(data\.modalities=\[text,audio\]\)",
        ),
        ({}, {"targets": {"scor": {}}}, r"'scor'[\s\S]*Did you mean 'score'"),
        ({}, {"targets": {"answer": {}}}, r"column answer[\s\S]*has no classes"),
        ({}, {"targets": {"score": {"low": 0, "high": 5}}}, r"labels must lie within \[0, 5\]"),
        ({"score": np.full(ROWS, np.nan)}, {}, "must be a finite number"),
        ({"egemaps_length": np.full(ROWS, 9)}, {}, "clipped to 4 steps"),
        ({"egemaps_length": np.full(ROWS, -1)}, {}, "whole number from 0"),
        ({"egemaps": np.ones((5, 3)), "egemaps_length": None}, {}, "egemaps_length"),
        ({"egemaps": np.array(["a"] * ROWS, object)}, {}, "Python objects"),
        ({"egemaps": np.ones(ROWS)}, {}, r"shape \(12,\); features are .* save it as \(N, 1\)"),
        (
            {"egemaps": np.ones(4 * ROWS), "egemaps_length": np.full(ROWS, 4)},
            {},
            r"shape \(48,\); features are",
        ),
        ({"answer": np.arange(ROWS)}, {"arrays": {"text": "answer", "audio": "egemaps"}}, "text is strings"),
        ({"split": np.zeros(ROWS)}, {"split": None}, "split holds no text: write the words train"),
        ({"score": np.array(["0,5"] * ROWS)}, {}, "Write 0.5, not 0,5"),
    ],
)
def test_what_does_not_fit_is_told(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, Any],
    settings: dict[str, Any],
    message: str,
) -> None:
    np.savez(tmp_path / "f.npz", **columns(**changes))
    if message == "clipped to 4 steps":
        open_corpus(config(tmp_path / "f.npz", **SETTINGS))
        assert message in caplog.text
        return
    with pytest.raises(DataError, match=message):
        open_corpus(config(tmp_path / "f.npz", **(SETTINGS | settings)))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("audio", "column 'audio' has one number a row, and no list of them; features are"),
        ("label", "column 'label' holds lists, not one number a row"),
        ("nothing", "no file for any row of 'audio', such as 'audio/0.npy'"),
    ],
)
def test_columns_of_parquet_that_hold_something_else_are_told(
    tmp_path: Path, column: str, message: str
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table: dict[str, Any] = {
        "id": [str(row) for row in range(ROWS)],
        "split": ["train"] * 8 + ["valid"] * 4,
        "raw_text": ["well then"] * ROWS,
        "label": [[float(row)] if column == "label" else float(row) for row in range(ROWS)],
    }
    if column == "nothing":
        (tmp_path / "audio").mkdir()
    else:
        table["audio"] = [1.0 if column == "audio" else [1.0, float(row)] for row in range(ROWS)]
    pq.write_table(pa.table(table), tmp_path / "rows.parquet")  # type: ignore[no-untyped-call]
    with pytest.raises(DataError, match=message):
        open_corpus(config(tmp_path, modalities=["text", "audio"]))


def test_a_folder_with_several_tables_asks_for_one_of_them(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("id,split\n")
    with pytest.raises(DataError, match=r"name one of a\.csv, b\.csv in data\.path"):
        open_corpus(config(tmp_path))


def test_columns_under_other_names_are_told_at_once_with_what_to_write(tmp_path: Path) -> None:
    lines = ["id,dialogue,Split,utterance,Emotion,certainty"]
    for row in range(ROWS):
        split, emotion = "train" if row < 8 else "dev", ["joy", "anger", "fear"][row % 3]
        lines.append(f"{row},d{row},{split},well then,{emotion},{row / 10}")
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    with pytest.raises(DataError) as refused:
        open_corpus(config(tmp_path / "rows.csv", groups="dialog", modalities=["text", "audio"]))
    assert str(refused.value).splitlines()[1:] == [
        "  data.groups: 'dialog'",
        "      is not in the file",
        "      Did you mean 'dialogue'?",
        "  data.arrays.text: None",
        "      must name its column, as none is called so",
        "      Name its column (data.arrays.text=utterance).",
        "  data.arrays.audio: None",
        "      must name its column, as none is called so",
        "      The file has id, dialogue, Split, utterance, Emotion, certainty.",
        "  data.targets.label: 'label'",
        "      is not in the file",
        "      It may be data.targets={certainty: {kind: regression}}; or "
        "{Emotion: {kind: multiclass, classes: [anger, fear, joy]}}.",
    ]


def test_settings_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    for target, message in (
        ({"kind": "binary", "classes": ["a", "b", "c"]}, "not 2"),
        ({"kind": "regression", "classes": ["a"]}, "no classes"),
        ({"kind": "multilabel", "classes": ["a", "b"], "column": ["x", "y", "z"]}, "one for each of 2"),
    ):
        with pytest.raises(ConfigError, match=message):
            config(tmp_path, targets={"t": target})


@pytest.mark.parametrize(
    "fold",
    [
        np.arange(ROWS) % 3,
        np.array([f"fold {row % 3}" for row in range(ROWS)]),
        np.array([["test" if row % 3 == k else "train" for row in range(ROWS)] for k in range(3)]),
        np.array([[int(row % 3 == k) for row in range(ROWS)] for k in range(3)]),
    ],
    ids=["numbers", "names", "splits", "flags"],
)
def test_folds_that_a_file_ships_are_read(tmp_path: Path, fold: NDArray[Any]) -> None:
    """Whatever they are called: an array of text that deals rows is no split."""
    arrays = columns(home=None, fold=fold)
    np.savez(tmp_path / "f.npz", **arrays)
    settings = {**SETTINGS, "split": None, "folds": {"array": "fold"}}
    corpus = open_corpus(config(tmp_path / "f.npz", **settings))
    assert [fold.held_out.tolist() for fold in corpus.folds] == [[k, k + 3, k + 6, k + 9] for k in range(3)]


@pytest.mark.parametrize("format", ["npz", "safetensors", "parquet", "csv"])
def test_every_search_is_told_what_the_file_says(
    tmp_path: Path, format: str, caplog: pytest.LogCaptureFixture
) -> None:
    path, warning = tmp_path / "f", "learnt with labels"
    own_files.write_own(path, recordings(), format)
    if format == "npz":
        with np.load(path) as arrays:
            np.savez(tmp_path / "g", **arrays, warning=np.array([warning]))
        path = tmp_path / "g.npz"
    elif format == "csv":
        (path / "WARNING.txt").write_text(warning)
    elif format == "safetensors":
        from safetensors import safe_open
        from safetensors.numpy import load_file, save_file

        with safe_open(path, "np") as file:
            metadata = file.metadata()
        save_file(load_file(path), path, metadata | {"warning": warning})
    with caplog.at_level(logging.WARNING):
        open_corpus(config(path))
    assert warning in caplog.text


def test_the_same_rows_are_the_same_corpus_in_every_format(tmp_path: Path) -> None:
    digests = set()
    for format in own_files.FORMATS:
        own_files.write_own(tmp_path / format, recordings(), format)
        digests.add(open_corpus(config(tmp_path / format)).digest)
    assert len(digests) == 1


@pytest.mark.parametrize("format", own_files.FORMATS)
@pytest.mark.timeout(60 + MUTANTS)
def test_a_changed_file_is_read_or_refused(tmp_path: Path, format: str) -> None:
    own_files.write_own(tmp_path / "f", recordings(), format)
    path = file = tmp_path / "f"
    if path.is_dir():
        file = next(file for file in path.iterdir() if file.suffix in (".csv", ".tsv"))
    whole, refused = file.read_bytes(), 0
    for number, changed in enumerate(hostile.mutants(whole, MUTANTS, seed=11)):
        file.write_bytes(changed)
        message = ""
        try:
            CustomReader(path, config(path)).read(("train", "valid"))
        except DataError as error:
            message = str(error)
        refused += bool(message)
        assert len(message.encode()) < 3000, number
        assert file.read_bytes() == changed
    assert refused > MUTANTS // 10
