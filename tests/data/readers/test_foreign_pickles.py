"""What varies between the pickles of other projects, and the traps in them."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsa.data.corpus import SPLITS, Features, Split
from mmsa.data.generated.pickles import write_iemocap, write_misa_mosei, write_multibench
from mmsa.data.generated.recordings import invent, of_split
from mmsa.data.generated.videos import write_poria
from mmsa.data.isolation import read_apart
from mmsa.data.readers import LAYOUTS, FileConfig, Reader
from mmsa.data.readers.sniffing import recognise
from mmsa.errors import DataError, UnsafePickle

ROWS = invent(30, seed=3, aligned=True)
RAW = Path(os.environ.get("MMSA_DATA", ""), "raw")


def reader(path: Path, **settings: Any) -> Reader:
    layout, path = (settings["layout"], path) if "layout" in settings else recognise(path)
    config = FileConfig.model_validate({"path": str(path), "modalities": ["audio", "vision"], **settings})
    return LAYOUTS[layout](path, config)


def test_iemocap_has_four_binary_targets_and_any_of_them_can_be_primary(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_iemocap(tmp_path / "f.pkl", ROWS)
    stored = pickle.loads((tmp_path / "f.pkl").read_bytes())["train"]["labels"]
    targets, splits = read_apart(reader(tmp_path / "f.pkl"), ("targets", []), ("read", [["train"]]))
    assert [(target.name, target.kind) for target in targets] == [
        (name, "binary") for name in ("neutral", "happy", "sad", "angry")
    ]
    train: Split = splits["train"]
    assert train.labels.tolist() == stored[:, 0, 1].tolist()
    assert train.further_targets["sad"].tolist() == stored[:, 2, 1].tolist()
    assert "rows have no ids" in caplog.text
    chosen = reader(tmp_path / "f.pkl", target="sad")
    assert [target.name for target in chosen.targets()] == ["sad", "neutral", "happy", "angry"]
    assert chosen.read(("train",))["train"].labels.tolist() == stored[:, 2, 1].tolist()
    with pytest.raises(DataError, match="Did you mean 'happy'"):
        reader(tmp_path / "f.pkl", target="hapy").targets()


def test_rows_without_ids_are_named_by_the_file_they_are_in(tmp_path: Path) -> None:
    write_iemocap(tmp_path / "f.pkl", ROWS)
    outlines = reader(tmp_path / "f.pkl").outlines()
    assert outlines["train"].ids[:2].tolist() == ["train:0", "train:1"]
    assert len({outline.origin for outline in outlines.values()} - {""}) == 1


def test_the_seven_labels_of_mosei_are_sentiment_and_emotions(tmp_path: Path) -> None:
    write_misa_mosei(tmp_path, ROWS)
    found = reader(tmp_path)
    assert [(target.name, target.kind) for target in found.targets()] == [
        ("sentiment", "regression"),
        ("emotions", "multilabel"),
    ]
    train = found.read(("train",))["train"]
    scores = np.array([row.label for row in of_split(ROWS)["train"]])
    np.testing.assert_allclose(train.labels, scores, rtol=1e-6)
    assert train.further_targets["emotions"].shape == (len(scores), 6)
    np.testing.assert_array_equal(train.further_targets["emotions"][:, 0], scores > 0)


def test_humour_of_misa_is_a_class_of_rows_without_ids(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for split, rows in of_split(ROWS).items():
        content = [
            ((np.arange(2), row.vision[:2], row.audio[:2], ["a", "joke"]), np.array([[number % 2]]))
            for number, row in enumerate(rows)
        ]
        (tmp_path / f"{'dev' if split == 'valid' else split}.pkl").write_bytes(pickle.dumps(content))
    found = reader(tmp_path, modalities=["text", "audio"])
    assert [(target.name, target.kind) for target in found.targets()] == [("humor", "binary")]
    valid = found.read(("valid",))["valid"]
    assert valid.labels[:4].tolist() == [0, 1, 0, 1]
    assert valid.text.values[0] == "a joke"  # type: ignore[union-attr]
    assert "rows have no ids" in caplog.text


@pytest.mark.parametrize("negative", [0, -1])
def test_multibench_has_classes_for_labels(tmp_path: Path, negative: int) -> None:
    write_multibench(tmp_path / "sarcasm.pkl", ROWS)
    content = pickle.loads((tmp_path / "sarcasm.pkl").read_bytes())
    for table in content.values():
        table["labels"] = np.where(table["labels"] == 0, negative, 1)
    (tmp_path / "sarcasm.pkl").write_bytes(pickle.dumps(content))
    expected = [float(row.label > 0) for row in of_split(ROWS)["train"]]
    for settings in ({}, {"layout": "multibench"}):
        found = reader(tmp_path / "sarcasm.pkl", **settings)
        assert [target.kind for target in found.targets()] == ["binary"]
        assert found.read(("train",))["train"].labels.tolist() == expected


def test_silence_before_the_words_is_padding_and_silence_within_them_is_not(tmp_path: Path) -> None:
    text = np.zeros((2, 5, 3))
    text[0, 2:], text[1, 1:] = 1.0, 1.0
    audio = np.where(text[..., :2] != 0, 2.0, 0.0)
    audio[0, 2] = 0.0  # a silent first word
    tables = {
        split: {
            "text": text,
            "audio": audio,
            "labels": np.ones((2, 1, 1)),
            "id": np.array([[f"{split}{n}".encode(), b"1.0", b"2.0"] for n in range(2)]),
        }
        for split in SPLITS
    }
    (tmp_path / "f.pkl").write_bytes(pickle.dumps(tables))
    train = reader(tmp_path / "f.pkl", modalities=["text", "audio"]).read(("train",))["train"]
    assert isinstance(train.text, Features)
    assert train.text.lengths().tolist() == train.audio.lengths().tolist() == [3, 4]  # type: ignore[union-attr]
    assert train.ids.tolist() == ["train0_1.0_2.0", "train1_1.0_2.0"]
    assert train.groups.tolist() == ["train0", "train1"]


def test_the_same_id_many_times_is_numbered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [(([], np.ones((2, 3)), np.ones((4, 2)), ["word"], 2, 4), np.float32(1), "_video-1")] * 3
    content = {"train": rows, "dev": [(*rows[0][:2], "other_3")]}
    (tmp_path / "f.pkl").write_bytes(pickle.dumps(content))
    outlines = reader(tmp_path / "f.pkl").outlines()
    assert outlines["train"].ids.tolist() == ["_video-1[0]", "_video-1[1]", "_video-1[2]"]
    assert set(outlines["train"].groups) == {"_video-1"}
    assert outlines["valid"].groups.tolist() == ["other"]
    assert "only 1 different ids for 3 rows" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.append("not a row"), r"row .*must be \(\(ids, vision, audio, text\), label, id\)"),
        (
            lambda rows: rows.append(((1, np.ones((2, 3)), np.ones((2, 2)), 5), 1.0, "v[9]")),
            "no list of strings",
        ),
        (
            lambda rows: rows.append(((1, np.ones((2, 4)), np.ones((2, 2)), ["a"]), 1.0, "v[9]")),
            r"vision: shape \(2, 4\) in row 2; must be \(T, 3\)",
        ),
        (
            lambda rows: rows.append(((1, np.ones((2, 3)), np.ones((2, 2)), ["a"]), [1.0, 2.0], "v[9]")),
            "2 labels in row 2",
        ),
    ],
)
def test_a_row_of_another_form_is_named(tmp_path: Path, change: Any, message: str) -> None:
    rows: list[Any] = [((1, np.ones((2, 3)), np.ones((2, 2)), ["a"]), 1.0, f"v[{n}]") for n in range(2)]
    change(rows)
    (tmp_path / "train.pkl").write_bytes(pickle.dumps(rows))
    with pytest.raises(DataError, match=message):
        reader(tmp_path, modalities=["text", "audio", "vision"]).read(("train",))


@pytest.mark.real_data
def test_the_real_misa_pickle_is_read(tmp_path: Path) -> None:
    shutil.copy(RAW / "misa_mosi_dev.pkl", tmp_path / "misa_mosi_dev.pkl")
    found = reader(tmp_path / "misa_mosi_dev.pkl", modalities=["text", "audio", "vision"])
    assert found.layout() == "misa"
    (splits,) = read_apart(found, ("read", [["valid"]]))
    valid: Split = splits["valid"]
    assert (len(valid), len(set(valid.groups)), valid.audio.dim, valid.vision.dim) == (229, 10, 74, 47)  # type: ignore[union-attr]
    assert valid.ids[0] == "WKA5OygbEKI[0]"
    lengths = valid.text.lengths()  # type: ignore[union-attr]
    assert lengths.tolist() == valid.audio.lengths().tolist()  # type: ignore[union-attr]
    assert valid.labels[:3].tolist() == pytest.approx([1.8, 2.2, 1.2])


def test_videos_of_poria_are_rows_of_utterances_without_padding(tmp_path: Path) -> None:
    write_poria(tmp_path, ROWS)
    found = reader(tmp_path, layout="poria", modalities=["text", "audio", "vision"])
    train = found.read(("train",))["train"]
    rows = [row for row in ROWS if row.split != "test"]
    assert train.labels.tolist() == [float(row.label >= 0) for row in rows]
    assert train.ids[:2].tolist() == ["train-0[0]", "train-0[1]"]
    assert len(set(train.groups)) == len({row.group for row in rows})
    np.testing.assert_allclose(train.audio.values, [row.audio.mean(axis=0) for row in rows], rtol=1e-5)  # type: ignore[union-attr]
    assert (train.text.dim, train.vision.dim) == (300, 20)  # type: ignore[union-attr]
    with pytest.raises(DataError, match="has no split valid; it has train, test"):
        found.read(("valid",))
    (tmp_path / "text.pickle").rename(tmp_path / "words.pickle")
    with pytest.raises(DataError, match="name of a file must tell its modality"):
        reader(tmp_path, layout="poria").outlines()


@pytest.mark.real_data
def test_the_real_poria_pickle_is_read() -> None:
    found = reader(RAW / "poria_mosi_audio.pickle", modalities=["audio"])
    assert found.layout() == "poria"
    (splits,) = read_apart(found, ("read", [["train", "test"]]))
    assert (len(splits["train"]), len(splits["test"])) == (1447, 752)
    assert len(set(splits["train"].groups)) == 62
    assert (splits["train"].audio.dim, set(splits["test"].labels.tolist())) == (73, {0.0, 1.0})


@pytest.mark.real_data
def test_the_real_gcnet_pickle_is_read() -> None:
    found = reader(RAW / "gcnet_CMUMOSI_features_raw_2way.pkl", modalities=["text"])
    assert found.layout() == "gcnet"
    (splits,) = read_apart(found, ("read", [["train", "valid", "test"]]))
    assert sum(map(len, splits.values())) == 2199
    assert sum(len(set(split.groups)) for split in splits.values()) == 93
    assert abs(splits["test"].labels).max() <= 3


@pytest.mark.real_data
def test_the_torch_file_beside_it_is_refused_and_nothing_of_it_is_run() -> None:
    with pytest.raises((DataError, UnsafePickle), match=r"torch\.save, are not read; save"):
        reader(RAW / "misa_mosi_embedding_and_mapping.pt").outlines()
