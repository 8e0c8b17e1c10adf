from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsa.config import parse
from mmsa.data import DATA_SETS, open_corpus, published
from mmsa.data.isolation import read_apart
from mmsa.data.readers import FileConfig, Reader
from mmsa.errors import ConfigError, DataError, SealedTest

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

    monkeypatch.setattr("mmsa.data.catalogue.read_apart", recording)
    open_corpus(config(tmp_path / "f.pkl"))
    assert asked == [("read", [("train", "valid")])]


@pytest.mark.parametrize("name", ["mosi", "mosei", "sims", "simsv2"])
def test_a_missing_file_says_what_is_expected_where_and_where_to_ask(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"unaligned\S*\.pkl[\s\S]*thuiar/") as error:
        open_corpus(config(tmp_path / "none.pkl", name))
    assert str(tmp_path / "none.pkl") in str(error.value)


def test_an_unset_variable_in_the_path_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMSA_NOWHERE", raising=False)
    with pytest.raises(DataError, match="MMSA_NOWHERE is not set"):
        open_corpus(config("${MMSA_NOWHERE}/unaligned_50.pkl"))


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
    for name in DATA_SETS:
        path = tmp_path / ("f.npz" if name == "pom" else "f.pkl")
        corpus = open_corpus(DATA_SETS[name].Config() if name == "planted" else config(path, name))
        low, high = corpus.label_range
        assert corpus.name == name
        for split in corpus.splits.values():
            assert np.all((split.labels >= low) & (split.labels <= high))
            assert len(set(split.ids.tolist())) == len(split) >= len(set(split.groups.tolist())) > 1
