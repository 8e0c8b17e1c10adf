from __future__ import annotations

import hashlib
import logging
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsa.config import parse
from mmsa.data import DATA_SETS, Corpus, open_corpus, published
from mmsa.data.isolation import read_apart
from mmsa.data.readers import FileConfig, Reader
from mmsa.errors import ConfigError, DataError, SealedTest
from mmsa.models import encode_text
from mmsa.models.systems import LateFusion

SMALL = {"steps": (5, 6, 7), "dims": (4, 3, 2)}


def config(path: Path | str, name: str = "mosi", **settings: Any) -> FileConfig:
    return parse(DATA_SETS[name].Config, {"path": str(path), **settings}, "test")


def test_test_is_sealed_unless_it_is_asked_for(tmp_path: Path, write_mmsa_pickle: Callable[..., Any]) -> None:
    write_mmsa_pickle(tmp_path / "f.pkl", **SMALL)
    corpus = open_corpus(config(tmp_path / "f.pkl"))
    assert {name: len(split) for name, split in corpus.splits.items()} == {"train": 12, "valid": 6}
    with pytest.raises(SealedTest):
        corpus["test"]
    opened = open_corpus(config(tmp_path / "f.pkl"), ("train", "valid", "test"))
    assert len(opened["test"]) == 6
    assert opened.digest == corpus.digest


def test_the_reader_is_asked_for_the_named_splits_only(
    tmp_path: Path, write_mmsa_pickle: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mmsa_pickle(tmp_path / "f.pkl", **SMALL)
    asked: list[Any] = []

    def recording(reader: Reader, *calls: Any) -> list[Any]:
        asked.extend(calls)
        return read_apart(reader, *calls)

    monkeypatch.setattr("mmsa.data.files.read_apart", recording)
    open_corpus(config(tmp_path / "f.pkl"))
    assert asked == [
        ("read", [("train", "valid")]),
        ("outlines", []),
        ("targets", []),
        ("digests", [("train", "valid")]),
    ]


@pytest.mark.parametrize("name", ["mosi", "mosei", "sims", "simsv2"])
def test_a_missing_file_says_what_is_expected_where_and_where_to_ask(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"unaligned\S*\.pkl[\s\S]*thuiar/") as error:
        open_corpus(config(tmp_path / "none.pkl", name))
    assert str(tmp_path / "none.pkl") in str(error.value)


def test_an_unset_variable_in_the_path_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMSA_NOWHERE", raising=False)
    with pytest.raises(DataError, match="MMSA_NOWHERE is not set"):
        open_corpus(config("${MMSA_NOWHERE}/unaligned_50.pkl"))


@pytest.mark.parametrize("scheme", ["s3://bucket", "file://", "hf://datasets"])
def test_a_url_is_refused_with_what_to_do_instead(scheme: str) -> None:
    with pytest.raises(DataError, match=rf"^{scheme}/unaligned_50\.pkl: is a URL.*Mount the bucket"):
        open_corpus(config(f"{scheme}/unaligned_50.pkl"))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f.pkl").write_bytes(b"<html>quota exceeded")
    with pytest.raises(DataError, match=r"neither as an npz file nor as a pickle"):
        open_corpus(config(tmp_path / "f.pkl"))


def test_labels_beyond_the_range_of_the_data_set_are_refused(
    tmp_path: Path, write_mmsa_pickle: Callable[..., Any]
) -> None:
    write_mmsa_pickle(tmp_path / "f.pkl", **SMALL)
    with pytest.raises(DataError, match=r"labels must lie within \[-1, 1\]"):
        open_corpus(config(tmp_path / "f.pkl", "sims"))


def test_a_published_file_is_named_and_not_taken_for_another(
    tmp_path: Path,
    write_mmsa_pickle: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "f.pkl"
    write_mmsa_pickle(path, **SMALL)
    content = path.read_bytes()
    by_sha256 = published.Published("mosi", "f.pkl", hashlib.sha256(content).hexdigest()[:8], "none")
    by_sha1 = published.Published("mosei", "f.pkl", "none", hashlib.sha1(content).hexdigest())
    monkeypatch.setattr(published, "PUBLISHED", (by_sha256,))
    with caplog.at_level(logging.INFO, "mmsa.data"):
        open_corpus(config(path))
    assert "the published f.pkl of mosi" in caplog.text
    monkeypatch.setattr(published, "PUBLISHED", (by_sha1,))
    with pytest.raises(DataError, match="write name: mosei"):
        open_corpus(config(path))


def test_the_digest_follows_the_content_of_a_path(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for content in (b"one", b"three"):
        path.write_bytes(content)
        assert published.identify(path) == (hashlib.sha256(content).hexdigest(), None)


def write_pom(path: Path, **changes: Any) -> dict[str, Any]:
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "audio": random.standard_normal((8, 20, 4)).astype(np.float32),
        "vision": random.standard_normal((8, 20, 3)).astype(np.float32),
        "labels": random.uniform(1, 7, (8, 2)).astype(np.float32),
        "label_names": np.array(["vivid", "sentiment"]),
        "split": np.array(["train", "test"] * 3 + ["valid"] * 2),
    }
    arrays |= changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return arrays


def test_one_of_the_ratings_of_pom_is_the_label(tmp_path: Path) -> None:
    ratings = write_pom(tmp_path / "f.npz")["labels"]
    for settings, column in (({}, 1), ({"target": "vivid"}, 0)):
        corpus = open_corpus(config(tmp_path / "f.npz", "pom", **settings))
        np.testing.assert_array_equal(corpus["train"].labels, ratings[[0, 2, 4], column])
        np.testing.assert_array_equal(corpus["valid"].labels, ratings[6:, column])
        assert list(corpus["train"].modalities()) == ["audio", "vision"]
        assert corpus["valid"].ids.tolist() == corpus["valid"].groups.tolist() == ["6", "7"]


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({}, {"target": "vivd"}, r"data\.target: 'vivd'\n +is not a label here\n +Did you mean 'vivid'"),
        ({}, {"target": None}, r"'label'\n +is not in the file\n +Name one of `label_names` in data.target"),
        ({"label_names": None}, {}, "'label_names'"),
        ({"labels": np.ones((8, 3))}, {}, r"shape \(3, 3\) for 2 label_names"),
        ({"labels": np.ones(8)}, {}, r"shape \(3,\) for 2 label_names"),
    ],
)
def test_ratings_that_are_not_there_are_refused(
    tmp_path: Path, changes: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    write_pom(tmp_path / "f.npz", **changes)
    with pytest.raises(DataError, match=message):
        open_corpus(config(tmp_path / "f.npz", "pom", **settings))


def test_a_pickle_of_mmsa_has_no_choice_of_labels(
    tmp_path: Path, write_mmsa_pickle: Callable[..., Any]
) -> None:
    write_mmsa_pickle(tmp_path / "f.pkl", **SMALL)
    with pytest.raises(DataError, match=r"data\.target: 'sentiment'[\s\S]*Leave it out"):
        open_corpus(config(tmp_path / "f.pkl", target="sentiment"))


@pytest.mark.real_data
def test_real_pom() -> None:
    corpus = open_corpus(config("${MMSA_DATA}/pom_av.npz", "pom"), ("train", "valid", "test"))
    assert {name: len(split) for name, split in corpus.splits.items()} == {
        "train": 600,
        "valid": 100,
        "test": 203,
    }
    assert (corpus["train"].audio.dim, corpus["train"].vision.dim) == (43, 41)  # type: ignore[union-attr]
    assert corpus["train"].audio.lengths()[:4].tolist() == [18, 18, 11, 19]  # type: ignore[union-attr]


def test_modalities_that_are_not_used_are_absent(
    tmp_path: Path, write_mmsa_pickle: Callable[..., Any]
) -> None:
    write_mmsa_pickle(tmp_path / "f.pkl", **SMALL)
    corpus = open_corpus(config(tmp_path / "f.pkl", modalities=["vision"]))
    assert list(corpus["train"].modalities()) == ["vision"]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"modalities": []}, "modalities"),
        ({"modalities": ["video"]}, "modalities.0"),
        ({"texts": "x"}, "text"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        config("f.pkl", **settings)


def test_rows_of_every_data_set_fit_the_contract(
    tmp_path: Path, write_mmsa_pickle: Callable[..., Any]
) -> None:
    def narrow(content: dict[str, Any]) -> None:
        for table in content.values():
            table["regression_labels"] = table["regression_labels"] / 3

    write_mmsa_pickle(tmp_path / "f.pkl", change=narrow, **SMALL)
    write_pom(tmp_path / "f.npz")
    for name in ("planted", "mosi", "mosei", "sims", "simsv2", "pom"):  # trees of others: test_generated.py
        path = tmp_path / ("f.npz" if name == "pom" else "f.pkl")
        corpus = open_corpus(DATA_SETS[name].Config() if name == "planted" else config(path, name))
        low, high = corpus.label_range
        assert corpus.name == name
        for split in corpus.splits.values():
            assert np.all((split.labels >= low) & (split.labels <= high))
            assert len(set(split.ids.tolist())) == len(split) >= len(set(split.groups.tolist())) > 1


def everything(name: str, folder: Path, write_mmsa_pickle: Callable[..., Any], **columns: Any) -> FileConfig:
    """A file of 12, 6 and 6 rows in the layout ``name``; ``columns`` change those of its test split."""
    if name == "mmsa":
        write_mmsa_pickle(folder / "f.pkl", change=lambda content: content["test"].update(columns), **SMALL)
        return config(folder / "f.pkl")
    splits = np.repeat(["train", "valid", "test"], [12, 6, 6])
    arrays = {
        "id": np.array([f"-{split}_{row // 3}$_${row % 3}" for row, split in enumerate(splits)]),
        "video_id": np.array([f"-{split}_{row // 3}" for row, split in enumerate(splits)]),
        "raw_text": np.array(["word"] * 24),
        "audio": np.ones((24, 4)),
        "vision": np.ones((24, 4)),
        "label": np.linspace(-1, 1, 24),
        "split": splits,
    }
    if "id" in columns:
        arrays["id"] = np.concatenate([arrays["id"][:18], columns["id"]])
        arrays["video_id"] = np.array([row.split("$_$")[0] for row in arrays["id"]])
    np.savez(folder / "f.npz", **arrays)
    return config(folder / "f.npz")


@pytest.mark.parametrize("layout", ["mmsa", "npz"])
@pytest.mark.parametrize("opened", [("train", "valid"), ("test",), ("train", "valid", "test")])
def test_rows_and_videos_of_test_that_lie_elsewhere_too_are_found_by_whoever_opens_the_file(
    tmp_path: Path, write_mmsa_pickle: Callable[..., Any], layout: str, opened: tuple[Any, ...]
) -> None:
    ids = np.array(["-train_0$_$0", "-train_0$_$9", *(f"-t$_${row}" for row in range(4))])
    block = everything(layout, tmp_path, write_mmsa_pickle, id=ids)
    with pytest.raises(DataError) as error:
        open_corpus(block, opened)
    assert r"id: '-train_0$_$0 (train, test)'" in str(error.value)
    assert r"groups: '-train_0 (train, test)'" in str(error.value)
    shared = block.model_copy(update={"allow_shared_groups": True})
    with pytest.raises(DataError, match="each id must occur once") as error:
        open_corpus(shared, opened)
    assert "groups:" not in str(error.value)
    assert set(open_corpus(everything(layout, tmp_path, write_mmsa_pickle), opened).splits) == set(opened)


@pytest.mark.parametrize("opened", [("train", "valid"), ("test",)])
@pytest.mark.parametrize(
    ("split", "widths"), [("test", "train 3, valid 3, test 2"), ("valid", "train 3, valid 2")]
)
def test_widths_that_differ_between_splits_are_found_when_the_file_is_opened(
    tmp_path: Path, write_mmsa_pickle: Callable[..., Any], split: str, widths: str, opened: tuple[Any, ...]
) -> None:
    def narrow(content: dict[str, Any]) -> None:
        content[split]["audio"] = content[split]["audio"][:, :, :2]

    write_mmsa_pickle(tmp_path / "f.pkl", change=narrow, **SMALL)
    with pytest.raises(DataError, match=f"audio: '{widths}.*\n +every split must have the same number"):
        open_corpus(config(tmp_path / "f.pkl"), opened)


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"audio": np.ones((5, 6, 3))}, r"test\.audio: \(5, 6, 3\)\n +must have a row for each of 6 ids"),
        ({"audio": [np.ones((6, 3))] * 5 + [np.ones((7, 3))]}, r"test\.audio: None\n +has rows of different"),
        ({"vision": np.ones(6)}, r"test\.vision: \(6,\)\n +must be \(N, T, D\) or \(N, D\)"),
        (
            {"regression_labels": np.ones((6, 3))},
            r"test\.regression_labels: \(6, 3\)\n +a label is one number",
        ),
        ({"raw_text": ["word"] * 4}, r"test\.raw_text: \(4,\)\n +must have a row"),
        ({"id": np.arange(6)}, r"test\.id: [\s\S]*not a string but of type int"),
    ],
)
def test_a_test_split_that_could_not_be_opened_is_said_by_a_search(
    tmp_path: Path,
    write_mmsa_pickle: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    columns: dict[str, Any],
    problem: str,
) -> None:
    corpus = open_corpus(everything("mmsa", tmp_path, write_mmsa_pickle, **columns))
    assert re.search(rf"f\.pkl test cannot be opened as it is: +{problem}", caplog.text)
    assert len(corpus.outlines["test"].problems) == caplog.text.count("cannot be opened")
    with pytest.raises(DataError):
        open_corpus(config(tmp_path / "f.pkl"), ("test",))


def test_a_file_without_test_can_be_searched(
    tmp_path: Path, write_mmsa_pickle: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    write_mmsa_pickle(tmp_path / "f.pkl", change=lambda content: content.pop("test"), **SMALL)
    assert set(open_corpus(config(tmp_path / "f.pkl")).outlines) == {"train", "valid"}
    assert "f.pkl has no test split: what is found can be searched, but not retrained" in caplog.text


def test_the_outlines_of_planted_data_are_those_of_what_is_drawn() -> None:
    block = parse(DATA_SETS["planted"].Config, {"modalities": ["audio"], "rows_train": 12}, "test")
    sealed, opened = open_corpus(block), open_corpus(block, ("train", "valid", "test"))
    for name, split in opened.splits.items():
        outline = sealed.outlines[name]
        assert outline.ids.tolist() == split.ids.tolist()
        assert outline.groups.tolist() == split.groups.tolist()
        assert outline.widths == {"audio": split.audio.dim}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "settings", "suite"),
    [
        ("mosi", {}, "mosi"),
        ("sims", {}, "sims"),
        ("mosi", {"metrics": "regression"}, "regression"),
        ("sims", {"metrics": "mosi"}, "mosi"),
    ],
)
def test_the_data_set_decides_what_is_measured_and_not_the_range_of_its_labels(
    tmp_path: Path, write_mmsa_pickle: Callable[..., Any], name: str, settings: dict[str, Any], suite: str
) -> None:
    def narrow(content: dict[str, Any]) -> None:
        for table in content.values():
            table["regression_labels"] = table["regression_labels"] / 3

    write_mmsa_pickle(tmp_path / "f.pkl", change=narrow, **SMALL)
    corpus = open_corpus(config(tmp_path / "f.pkl", name, modalities=["audio"], **settings))
    assert corpus.suite == suite
    assert pickle.loads(pickle.dumps(corpus)).suite == suite
    assert encode_text(corpus, LateFusion.Config(), None).suite == suite


def test_a_corpus_of_ones_own_has_the_metrics_that_need_no_classes() -> None:
    planted = open_corpus(DATA_SETS["planted"].Config())
    assert planted.suite == "mosi"
    assert Corpus("mine", (-1.0, 1.0), planted.splits).suite == "regression"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("f.h5", b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        ("f.pkl", b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        ("f.csv", b"id,label\na,1\n", r"is a text file \(\.csv\)"),
        ("f.npy", b"\x93NUMPY\x01\x00", "is a single npy array"),
        ("f.pkl.gz", b"\x1f\x8b\x08", "is packed with gzip"),
        ("f.pt", None, "is a zip file without npy arrays"),
        ("f.pkl", b"version https://git-lfs.github.com/spec/v1", "is a pointer of Git LFS"),
    ],
)
def test_what_a_file_of_another_kind_is_and_how_to_go_on(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is None:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("archive/data.pkl", b"\x80\x02}.")
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{message}.*np.savez as the arrays id, video_id, split"):
        open_corpus(config(tmp_path / name))


def test_a_folder_says_what_it_holds(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"unaligned_{number}.pkl").touch()
    with pytest.raises(DataError, match=r"of unaligned_0\.pkl, .* and 4 more; name one of unaligned_0"):
        open_corpus(config(tmp_path))


def sample(width: int) -> tuple[Any, ...]:
    """A row as MISA (4 inner items), MMIM (6) and MAG-BERT (3) write them."""
    inner = (["good", "film"], np.ones((2, 47)), np.ones((2, 74)), ["good", "film"], 2, 2)[:width]
    return inner, np.array([[1.0]]), "vid[3]"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {split: [sample(3)] * 9 for split in ("train", "dev", "test")},
            r"'train' holds a list of 9 rows, each \(\(words, .*, as MAG-BERT.* Set data.layout: mag_bert",
        ),
        ([sample(4)] * 9, "holds a list of 9 rows.*as MISA.* Set data.layout: misa"),
        ([sample(6)] * 9, "holds a list of 9 rows.*as MMIM"),
        ((1, 2, 3), "holds a tuple of 3 items"),
        ({f"utterance {row}": {"text": [1]} for row in range(10166)}, "utterance 4 and 10161 more"),
        ({"x" * 5000: 1}, "x{80}[.]{3}"),
        ({"train": {"id": ["a"]}, "test": {"id": ["b"]}}, "has no split valid.*A search chooses by valid"),
        ({"train": {}, "valid": {}, "dev": {}}, "'dev' is not the only key for valid"),
        (
            {
                split: {
                    "labels": np.ones((9, 1, 1)),
                    "id": np.array([f"{split}{row}" for row in range(9)]),
                    **dict.fromkeys(("text", "audio", "vision"), np.ones((9, 5, 4))),
                }
                for split in ("train", "valid", "test")
            },
            r"train\.regression_labels: None\n.*\n +'labels' is what MulT's and MultiBench's files have",
        ),
    ],
)
def test_pickles_that_are_not_mmsa_s_are_named_on_few_lines(
    tmp_path: Path, content: Any, message: str
) -> None:
    (tmp_path / "f.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=message) as error:
        open_corpus(config(tmp_path / "f.pkl", layout="mmsa"))
    assert len(str(error.value).removeprefix(str(tmp_path))) < 1000
