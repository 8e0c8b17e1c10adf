"""What the contract does not say of csd files: those by video, several labels, no folds, and no h5py."""

from __future__ import annotations

import logging
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mmsa.data.corpus import Features, Strings
from mmsa.data.readers.csd import CsdReader
from mmsa.data.readers.settings import FeaturesConfig
from mmsa.data.readers.sniffing import recognise
from mmsa.errors import DataError


def spans(*edges: float) -> np.ndarray:
    return np.array(list(pairwise(edges)))


def reader(path: Path, **settings: object) -> CsdReader:
    return CsdReader(path, FeaturesConfig.model_validate({"path": str(path), **settings}))


def by_video(path: Path) -> None:
    """Two segments of one video with seven labels each, words and sounds of the whole video."""
    from mmsa.data.generated.csd import write_sequence

    labels = np.array([[1.0, 0, 0.5, 0, 0, 0, 0], [-2.0, 0, 0, 0, 0, 0, 3.0]], np.float32)
    words = np.array([[b"sp"], [b"so"], [b"good"], [b"not"], [b"so"]])
    audio = np.arange(10, dtype=np.float32).reshape(5, 2)
    audio[0, 0] = -np.inf
    for root, features, intervals in (
        ("CMU_MOSEI_Labels", labels, spans(0, 3, 5)),
        ("CMU_MOSEI_TimestampedWords", words, spans(0, 1, 2, 3, 4, 5)),
        ("COAVAREP", audio, spans(0, 1, 2, 3, 4, 5)),
    ):
        write_sequence(path / f"{root}.csd", root, {"-v_1": (features, intervals)})


def test_files_by_video_are_cut_at_the_intervals_of_the_labels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("h5py")
    by_video(tmp_path)
    assert recognise(tmp_path) == ("csd", tmp_path)
    found = reader(tmp_path, modalities=["text", "audio"]).read(("train",))["train"]
    assert found.ids.tolist() == ["-v_1[0]", "-v_1[1]"]
    assert found.groups.tolist() == ["-v_1", "-v_1"]
    assert isinstance(found.text, Strings)
    assert found.text.values.tolist() == ["so good", "not so"]
    assert isinstance(found.audio, Features)
    np.testing.assert_array_equal(found.audio.values, [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]])
    assert found.audio.lengths().tolist() == [3, 2]
    assert found.labels.tolist() == [1.0, -2.0]
    np.testing.assert_array_equal(found.further_targets["emotions"], [[0, 1, 0, 0, 0, 0], [0] * 5 + [1]])
    assert "has no folds.json, so all videos are train" in caplog.text
    assert "1 -inf set to 0" in caplog.text


@pytest.mark.parametrize(
    ("name", "root", "features", "message"),
    [
        ("w", "words", np.zeros((2, 0), "S3"), r"features \(2, 0\) .* with a column at least"),
        ("w", "words", np.array([[b"so", b"x"], [b"good", b"y"]]), "2 columns of words; must be one"),
        ("a", "COVAREP", np.zeros((2, 0), np.float32), "with a column at least"),
    ],
)
def test_features_without_a_column_and_words_with_several_are_refused(
    name: str, root: str, features: np.ndarray, message: str, tmp_path: Path
) -> None:
    pytest.importorskip("h5py")
    from mmsa.data.generated.csd import write_sequence

    labels = {"v": (np.array([[1.0], [-2.0]]), spans(0, 3, 5))}
    write_sequence(tmp_path / "l.csd", "CMU_MOSI_Opinion_Labels", labels)
    write_sequence(tmp_path / f"{name}.csd", root, {"v": (features, spans(0, 2, 4))})
    with pytest.raises(DataError, match=message):
        reader(tmp_path, modalities=["text" if name == "w" else "audio"]).read(("train",))


@pytest.mark.parametrize("lists", ['{"trian": ["-v_1"]}', '{"train": "-v_1"}', "{}"])
def test_folds_that_name_no_video_are_refused_by_the_name_of_their_file(lists: str, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    by_video(tmp_path)
    (tmp_path / "folds.json").write_text(lists)
    with pytest.raises(DataError, match=r"folds.json: none of the 1 videos, such as -v_1, stands in a list"):
        reader(tmp_path).read(("train",))


def test_folders_without_labels_and_choices_that_are_not_made_are_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("h5py")
    from mmsa.data.generated.csd import write_sequence

    by_video(tmp_path)
    write_sequence(tmp_path / "o.csd", "OpenSMILE", {"-v_1": (np.zeros((1, 3)), spans(0, 5))})
    write_sequence(tmp_path / "x.csd", "Unheard", {"-v_1": (np.zeros((1, 3)), spans(0, 5))})
    with pytest.raises(DataError, match="name one by a part of it"):
        reader(tmp_path).read(("train",))
    with caplog.at_level(logging.WARNING, "mmsa.data"):
        found = reader(tmp_path, audio_features="SMILE", modalities=["audio"]).read(("train",))["train"]
    assert isinstance(found.audio, Features)
    assert found.audio.dim == 3
    assert "its root is called 'Unheard', and it is not read" in caplog.text
    (tmp_path / "CMU_MOSEI_Labels.csd").unlink()
    with pytest.raises(DataError, match="has no csd file of labels"):
        reader(tmp_path, audio_features="SMILE").read(("train",))


def test_without_h5py_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "a.csd").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(DataError, match=r"pip install 'mmsa\[hdf5\]'"):
        reader(tmp_path).read(("train",))
