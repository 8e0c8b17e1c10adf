"""Rows that a study saw cannot be test rows of its configurations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsa.config import parse
from mmsa.data import open_corpus
from mmsa.data.ledger import LEDGER, Ledger, Opening
from mmsa.data.rows import Rows
from mmsa.errors import DataError
from mmsa.experiment import RunConfig
from mmsa.results.exported import Exported, Provenance, load_export, save_export
from mmsa.results.retrain import retrain

SPLITS = np.repeat(["train", "valid", "test"], [30, 15, 15])
ROWS = np.arange(60)


def write(path: Path) -> None:
    """60 rows of 12 videos. Under ``split_other_row`` test is the one row of a video that was not used."""
    random = np.random.default_rng(0)
    np.savez(
        path,
        audio=random.standard_normal((60, 3)),
        label=random.uniform(-3, 3, 60),
        id=np.array([f"row{row}" for row in ROWS]),
        video_id=np.array([f"video{row // 5}" for row in ROWS]),
        split_1=np.where(ROWS == 4, "none", SPLITS),
        split_2=np.roll(SPLITS, 15),
        split_other_row=np.where(ROWS == 4, "test", np.where((ROWS < 5) | (ROWS >= 45), "none", SPLITS)),
    )


def exported(path: Path, **changes: Any) -> Exported:
    """Of a study that searched under ``split_1``."""
    run = {
        "data": {"name": "mosi", "path": str(path), "modalities": ["audio"], "split": "split_1"},
        "model": {"name": "late_fusion"},
        "train": {"epochs": 1, "device": "cpu"},
        "information": {"quantities": []},
    }
    config = parse(RunConfig, run, "test")
    corpus = open_corpus(config.data)
    known = {
        "study": "small",
        "trial": 0,
        "metric": "valid/mae",
        "value": 1.0,
        "best_epoch": 1,
        "seed": 0,
        "threads": 1,
        "corpus_digest": corpus.digest,
        "git_commit": None,
        "git_dirty": None,
        "versions": {},
        "date": "",
        "seen": Rows.of(corpus, "train", "valid").to_dict(),
    }
    return Exported(config=config, provenance=parse(Provenance, {**known, **changes}, "test"))


def again(file: Exported, runs: Path, **overrides: Any) -> list[str]:
    said: list[str] = []
    retrain(file, num_seeds=1, overrides=overrides, runs=runs, say=said.append)
    return said


@pytest.mark.parametrize("of_before", [False, True])
@pytest.mark.parametrize(
    ("split", "found"),
    [
        ("split_2", "14 of its 15 rows and 3 of its 3 videos or speakers"),
        ("split_other_row", "1 of its 1 videos or speakers"),
    ],
)
def test_a_split_whose_test_was_seen_stays_closed_and_nothing_is_trained(
    tmp_path: Path, split: str, found: str, of_before: bool
) -> None:
    write(tmp_path / "f.npz")
    file = exported(tmp_path / "f.npz", **({"seen": None} if of_before else {}))
    said: list[str] = []
    with pytest.raises(DataError, match=f"chose by, {found}, .*Leave out --set data.split={split}, or"):
        retrain(file, num_seeds=1, overrides={"data.split": split}, runs=tmp_path, say=said.append)
    assert said == []
    assert not (tmp_path / LEDGER).exists()


def test_test_rows_that_were_never_seen_are_opened_and_written_down(tmp_path: Path) -> None:
    write(tmp_path / "f.npz")
    file, ledger = exported(tmp_path / "f.npz"), Ledger(tmp_path / LEDGER)
    again(file, tmp_path)
    shared = {"data.split": "split_other_row", "data.allow_shared_groups": True}
    again(file, tmp_path, **shared)
    first, second = ledger.openings()
    corpus = open_corpus(file.config.data)
    assert ledger.openings_of_rows(Rows.of(corpus, "test").rows) == [first]
    assert ledger.openings_of_rows(Rows.of(corpus, "train").rows) == []
    assert second.test_rows not in ("", first.test_rows)


def test_openings_of_the_same_rows_for_others_are_told_by_study(tmp_path: Path) -> None:
    write(tmp_path / "f.npz")
    file, ledger = exported(tmp_path / "f.npz"), Ledger(tmp_path / LEDGER)
    corpus = open_corpus(file.config.data)
    test, train = (Rows.of(corpus, split).rows.text() for split in ("test", "train"))
    for study, rows in (("other", test), ("other", test), (None, test), ("apart", train), ("small", train)):
        ledger.open(Opening("mosi", "c", "d", study, None, [0], {}, test_rows=rows))
    with np.load(tmp_path / "f.npz") as arrays:  # features of another extraction: the rows are the same
        np.savez(tmp_path / "f.npz", **{**arrays, "audio": arrays["audio"] + 1})
    config = file.config  # of no study, so that the first look of another configuration counts as another's
    report = retrain(Exported(config=config), num_seeds=1, overrides={}, runs=tmp_path, say=lambda line: None)
    assert (report.earlier, report.elsewhere) == (0, {"other": 2, None: 1})
    assert "opened 3 times before for others (study other 2, configurations of no study 1)" in report.text()


def test_labels_that_hardly_use_the_scale_are_told_beside_the_result(tmp_path: Path) -> None:
    write(tmp_path / "f.npz")
    with np.load(tmp_path / "f.npz") as arrays:
        np.savez(tmp_path / "g.npz", **{**arrays, "label": arrays["label"] / 10})
    for name, told in (("f.npz", False), ("g.npz", True)):
        config = exported(tmp_path / name).config
        report = retrain(
            Exported(config=config), num_seeds=1, overrides={}, runs=tmp_path, say=lambda line: None
        )
        assert ("test: one class holds nearly all labels (100.0% of acc7" in report.text()) is told


def test_what_a_study_saw_travels_with_the_file(tmp_path: Path) -> None:
    write(tmp_path / "f.npz")
    file = exported(tmp_path / "f.npz")
    save_export(file, tmp_path / "best.yaml")
    assert load_export(tmp_path / "best.yaml") == file
    assert "row1" not in (tmp_path / "best.yaml").read_text(encoding="utf-8")


def test_a_file_of_before_whose_data_are_gone_says_what_is_not_known(tmp_path: Path) -> None:
    write(tmp_path / "f.npz")
    file = exported(tmp_path / "f.npz", seen=None, corpus_digest="0" * 64)
    said = again(file, tmp_path, **{"data.split": "split_2"})
    assert said[0].startswith("which rows study 'small' saw is not known, so that test may not be unseen")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("test"), "mosi has no test split to measure on"),
        (lambda content: content["test"].pop("audio"), r"test\.audio: None\n +is not in the file"),
        (lambda content: content["test"].update(audio=np.ones((5, 6, 3))), r"a row for each of 6 ids"),
        (lambda content: content["test"].update(audio=np.ones((6, 6, 2))), r"train 3, valid 3, test 2"),
    ],
)
def test_what_test_lacks_is_known_before_a_seed_is_trained(
    tmp_path: Path,
    write_mmsa_pickle: Callable[..., Any],
    change: Callable[[dict[str, Any]], Any],
    message: str,
) -> None:
    write_mmsa_pickle(tmp_path / "f.pkl", change=change, steps=(5, 6, 7), dims=(4, 3, 2))
    run = {
        "data": {"name": "mosi", "path": str(tmp_path / "f.pkl"), "modalities": ["audio"]},
        "model": {"name": "late_fusion"},
        "train": {"epochs": 1, "device": "cpu"},
    }
    said: list[str] = []
    file = Exported(config=parse(RunConfig, run, "test"))
    with pytest.raises(DataError, match=message):
        retrain(file, num_seeds=1, overrides={}, runs=tmp_path, say=said.append)
    assert said == []
    assert not (tmp_path / LEDGER).exists()
