"""What stands for -inf and NaN: 0 by default, or means of the rows that are trained on."""

from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from launched import launched

from mmsa.config import parse
from mmsa.data import DATA_SETS, Features, open_corpus
from mmsa.data.checks import column_notes, findings
from mmsa.data.conversion import convert, noted
from mmsa.data.inspection import inspection_lines, opened_to_look
from mmsa.data.store import CARD
from mmsa.errors import DataError

ROWS, SPLITS = 40, np.repeat(["train", "valid", "test"], [24, 8, 8])


def values(seed: int = 0) -> np.ndarray:
    """(ROWS, 3, 3): the column 1 lies in -0.5 to -0.06, and is -inf here and there; column 2 is constant."""
    drawn = np.random.default_rng(seed)
    audio = drawn.normal(size=(ROWS, 3, 3))
    audio[..., 1] = drawn.uniform(-0.5, -0.06, (ROWS, 3))
    audio[..., 2] = 7.0
    audio[::4, 1, 1] = -np.inf
    audio[2, 0, 1] = np.nan
    return audio.astype(np.float32)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own.npz"
    np.savez(
        path,
        id=np.array([f"r{n}" for n in range(ROWS)]),
        split=SPLITS,
        label=np.arange(ROWS, dtype=np.float32),
        audio=values(),
    )
    return path


def config(path: Path, **settings: Any) -> Any:
    block = {"path": str(path), "modalities": ["audio"], **settings}
    return parse(DATA_SETS["custom"].Config, block, "test")


def audio_of(split: Any) -> np.ndarray:
    assert isinstance(split.audio, Features)
    return split.audio.values.reshape(-1, 3, 3)


def mean_of(rows: np.ndarray) -> float:
    column = values()[rows, :, 1]
    return float(column[np.isfinite(column)].mean(dtype=np.float64))


def test_zeros_that_no_column_has_are_told_of_with_the_setting(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = open_corpus(config(file))
    assert (audio_of(corpus["train"])[::4, 1, 1] == 0).all()
    assert corpus["train"].audio.holes is None
    assert "lies outside of all other values of the columns 1 (-0.498 to -0.0673)" in caplog.text
    assert "data.nonfinite: impute" in caplog.text


def test_means_are_of_the_finite_values_of_train_in_every_split(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = np.float32(mean_of(np.flatnonzero(SPLITS == "train")))
    for names in (("train", "valid"), ("test",)):
        corpus = open_corpus(config(file, nonfinite="impute"), names)
        assert tuple(corpus.splits) == names
        for name in names:
            found, whole = audio_of(corpus[name]), values()[name == SPLITS]
            missing = ~np.isfinite(whole)
            assert missing.any()
            np.testing.assert_allclose(found[missing], expected, rtol=1e-6)
            np.testing.assert_array_equal(found[~missing], whole[~missing])
    assert "the mean of the rows that are trained on stands for 7 of them" in caplog.text
    assert "lies outside" not in caplog.text


def test_each_fold_takes_the_mean_of_its_own_rows(file: Path) -> None:
    corpus = open_corpus(config(file, nonfinite="impute", folds={"k": 4, "stratify": []}))
    means = set()
    for number, fold in enumerate(corpus.folds):
        train = np.array([int(name[1:]) for name in corpus["train"].ids[fold.train]])
        expected = mean_of(train)
        means.add(round(expected, 6))
        own = corpus.fold(number)
        for split in own.splits.values():
            whole = values()[[int(name[1:]) for name in split.ids]]
            missing = ~np.isfinite(whole)
            np.testing.assert_allclose(audio_of(split)[missing], expected, rtol=1e-6)
            np.testing.assert_array_equal(audio_of(split)[~missing], whole[~missing])
    assert len(means) > 1
    # Test has no part in any fold: its means are of all rows of development.
    test = audio_of(open_corpus(config(file, nonfinite="impute", folds={"k": 4}), ("test",))["test"])
    missing = ~np.isfinite(values()[SPLITS == "test"])
    np.testing.assert_allclose(test[missing], mean_of(np.flatnonzero(SPLITS != "test")), rtol=1e-6)


def test_rows_that_are_taken_or_pickled_keep_their_holes() -> None:
    drawn = np.random.default_rng(1)
    lengths = drawn.integers(0, 4, 30)
    whole = drawn.normal(size=(lengths.sum(), 5)).astype(np.float32)
    holes = np.flatnonzero(drawn.random(whole.size) < 0.2)
    features = Features(whole, np.concatenate([[0], np.cumsum(lengths)]), holes=holes)
    marked = Features(features.filled(np.full(5, np.inf, np.float32)).values, features.offsets)
    rows = drawn.permutation(30)[:17]
    taken = pickle.loads(pickle.dumps(features)).take(rows)
    np.testing.assert_array_equal(taken.holes, np.flatnonzero(np.isinf(marked.take(rows).values)))


def test_what_nothing_is_missing_from_is_the_same_corpus_by_either_setting(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, split=SPLITS, label=np.arange(ROWS, dtype=np.float32), audio=np.nan_to_num(values()))
    zero, impute = (open_corpus(config(path, nonfinite=setting)) for setting in ("zero", "impute"))
    assert zero.digest == impute.digest


def test_a_store_knows_what_was_not_finite_and_leaves_the_choice_open(file: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    convert(config(file, nonfinite="impute"), store)
    for setting in ("zero", "impute"):
        settings = {"path": str(store), "modalities": ["audio"], "nonfinite": setting}
        kept = open_corpus(parse(DATA_SETS["custom"].Config, settings, "test"))
        assert kept.digest == open_corpus(config(file, nonfinite=setting)).digest
    card = json.loads((store / CARD).read_text())
    del card["nonfinite"]
    (store / CARD).write_text(json.dumps(card))
    with pytest.raises(DataError, match="Convert the original file again"):
        open_corpus(config(store, nonfinite="impute"))


def test_inspect_and_check_name_the_columns(file: Path) -> None:
    look = opened_to_look(config(file))
    lines = "\n".join(inspection_lines(look))
    assert "1 of 3 columns are constant: 2" in lines
    assert "6 -inf and 1 NaN set to 0, in columns 1" in lines
    assert "data.nonfinite: impute puts means in its place" in lines
    notes = "\n".join(column_notes(look.corpus, look.path))
    assert "own.npz train audio: values are not finite in the columns 1 (7 of 72)" in notes
    assert "own.npz valid audio: 1 of 3 columns are constant: 2" in notes
    found = [str(finding) for finding in findings(look.path, look.corpus, None, {})]
    assert any("zeros outside of a column" in finding for finding in found)
    look = opened_to_look(config(file, nonfinite="impute"))
    assert not [finding for finding in findings(look.path, look.corpus, None, {}) if "zeros" in str(finding)]


def test_inspect_and_check_say_a_note_once_and_where_reading_fails_it_is_logged(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: Any
) -> None:
    settings = ("--name", "custom", "--set", "data.modalities=[audio]")
    for command, code in (("inspect", 0), ("check", 1)):
        assert launched(monkeypatch, "data.py", command, str(file), *settings) == code
        said = capsys.readouterr().out
        assert said.count("1 of 3 columns are constant: 2") == 2  # of train, and of valid
        assert said.count("lies outside of all other values") == 2
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    reading = noted(held_back=True)
    reading.__enter__()
    logging.getLogger("mmsa.data").warning("odd")
    assert "odd" not in caplog.messages
    refused = DataError("cannot be read")
    assert not reading.__exit__(DataError, refused, None)
    assert caplog.messages[-1] == "odd"


def test_a_flag_tells_what_part_of_a_frame_is_a_mean_whatever_a_file_lacks(
    file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for settings in ({}, {"folds": {"k": 4, "stratify": []}}):
        plain, flagged = (
            open_corpus(config(file, nonfinite=setting, **settings)) for setting in ("impute", "flag")
        )
        assert plain.digest != flagged.digest
        if settings:
            plain, flagged = plain.fold(1), flagged.fold(1)
        for name, split in flagged.splits.items():
            whole = values()[[int(row[1:]) for row in split.ids]]
            audio = split.audio.values.reshape(-1, 3, 4)
            np.testing.assert_allclose(audio[..., 3], (~np.isfinite(whole)).mean(axis=2), rtol=1e-6)
            np.testing.assert_array_equal(audio[..., :3], audio_of(plain[name]))
    assert "train audio: column 3 is the part of a frame that was filled in, which is above 0 in 7 of 24" in (
        caplog.text
    )
    whole = tmp_path / "whole.npz"
    np.savez(whole, split=SPLITS, label=np.arange(ROWS, dtype=np.float32), audio=np.nan_to_num(values()))
    corpus = open_corpus(config(whole, nonfinite="flag"), ("train", "test"))
    assert [split.audio.dim for split in corpus.splits.values()] == [4, 4]  # type: ignore[union-attr]
    assert not corpus["test"].audio.values[:, 3].any()  # type: ignore[union-attr]


def test_a_store_has_the_same_flags_as_the_file(file: Path, tmp_path: Path) -> None:
    convert(config(file), tmp_path / "store")
    settings = {"path": str(tmp_path / "store"), "modalities": ["audio"], "nonfinite": "flag"}
    kept = open_corpus(parse(DATA_SETS["custom"].Config, settings, "test"))
    assert kept.digest == open_corpus(config(file, nonfinite="flag")).digest
