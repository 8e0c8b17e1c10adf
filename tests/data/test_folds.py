"""Folds: rows dealt once, groups whole, deterministic; arrays as data sets ship them; refusals that teach."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsa.config import parse
from mmsa.data.catalogue import Mosi, open_corpus
from mmsa.data.corpus import Corpus, Features, Split
from mmsa.data.folds import FoldsConfig, shipped_folds, with_folds
from mmsa.data.planted import Planted
from mmsa.data.rows import Rows
from mmsa.errors import DataError


def pool(labels: np.ndarray, groups: np.ndarray, folds: np.ndarray | None = None) -> Corpus:
    ids = np.array([f"r{row}" for row in range(len(labels))])
    audio = Features.from_rows([np.full((1 + row % 3, 2), row, np.float32) for row in range(len(ids))], 2)
    split = Split(ids, groups.astype(np.str_), labels.astype(np.float32), audio=audio, folds=folds)
    return Corpus("tiny", (-9.0, 99.0), {"train": split})


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.integers(2, 6), st.integers(1, 3), st.booleans())
def test_every_row_is_held_out_once_a_repeat_by_a_fold_without_its_group(
    seed: int, k: int, repeats: int, stratified: bool
) -> None:
    generator = np.random.default_rng(seed)
    groups = np.arange(80) if stratified else generator.integers(0, 20, 80)
    corpus = pool(generator.integers(0, 24, 80), groups)
    config = FoldsConfig(k=k, repeats=repeats, stratify=("label",) if stratified else (), seed=seed)
    dealt = with_folds(corpus, config)
    assert len(dealt.folds) == k * repeats
    for repeat in range(repeats):
        held = np.concatenate([fold.held_out for fold in dealt.folds if fold.repeat == repeat])
        assert sorted(held.tolist()) == list(range(80))
    for number in range(k * repeats):
        fold = dealt.fold(number)
        assert not set(fold["train"].groups) & set(fold["valid"].groups)
        assert len(fold["train"]) + len(fold["valid"]) == 80
    assert with_folds(corpus, config).digest == dealt.digest != corpus.digest
    assert with_folds(corpus, config.model_copy(update={"seed": seed + 1})).digest != dealt.digest


def test_repeats_that_would_be_equal_are_refused() -> None:
    corpus = pool(np.repeat(np.arange(8.0), np.arange(3, 11)), np.repeat(np.arange(8), np.arange(3, 11)))
    with pytest.raises(DataError, match=r"repeat \d deals the same folds as repeat 0"):
        with_folds(corpus, FoldsConfig(k=2, repeats=20))
    assert len(with_folds(corpus, FoldsConfig(k=2, repeats=3, stratify=())).folds) == 6


def test_classes_are_spread_over_folds_and_rows_keep_what_is_theirs() -> None:
    labels = np.array([1.0] * 30 + [0.0] * 130)
    dealt = with_folds(pool(labels, np.arange(160)), FoldsConfig(k=5))
    for number in range(5):
        valid = dealt.fold(number)["valid"]
        assert valid.labels.sum() == 6
        for place, name in enumerate(valid.ids):
            row = int(name[1:])
            frames = valid.audio.values[valid.audio.offsets[place] : valid.audio.offsets[place + 1]]
            assert np.array_equal(frames, np.full((1 + row % 3, 2), row))
            assert valid.labels[place] == labels[row]


def test_a_second_target_is_spread_within_the_first_where_it_is_frequent_enough() -> None:
    labels = np.arange(120) % 3.0
    gender = (np.arange(120) // 3 % 2).astype(np.float32)
    gender[0] = np.nan  # missing for one person
    plain = pool(labels, np.arange(120))
    split = replace(plain["train"], further_targets={"gender": gender})
    corpus = replace(plain, splits={"train": split}, targets=())
    dealt = with_folds(corpus, FoldsConfig(k=4, stratify=("label", "gender")))
    for number in range(4):
        valid = dealt.fold(number)["valid"]
        both = list(zip(valid.labels.tolist(), valid.further_targets["gender"].tolist(), strict=True))
        assert all(4 <= both.count((label, sex)) <= 6 for label in (0, 1, 2) for sex in (0, 1))


def test_scores_are_spread_by_bins() -> None:
    labels = np.random.default_rng(0).permutation(100).astype(float)
    dealt = with_folds(pool(labels, np.arange(100)), FoldsConfig(k=5))
    means = [dealt.fold(number)["valid"].labels.mean() for number in range(5)]
    assert np.ptp(means) < 6  # the standard error of a mean of 20 is 5.8, so the range of five is about 13


def test_planted_data_pool_train_and_valid_and_leave_test_alone() -> None:
    values = {"name": "planted", "rows_train": 40, "rows_valid": 20, "rows_test": 20}
    plain = open_corpus(Planted.Config(**values))
    config = parse(Planted.Config, {**values, "folds": {"k": 3}}, "test")
    corpus = open_corpus(config)
    assert len(corpus["train"]) == len(corpus["valid"]) == 60
    assert Rows.of(corpus, "train", "valid").to_dict() == Rows.of(plain, "train", "valid").to_dict()
    assert not Rows.of(corpus, "test").rows & Rows.of(corpus, "train", "valid").rows
    assert len(open_corpus(config, ("test",))["test"]) == 20
    there: Corpus = pickle.loads(pickle.dumps(corpus))
    assert there.digest == corpus.digest
    assert there["train"] is there["valid"], "the rows travel once"


@pytest.mark.parametrize(
    ("values", "held"),
    [
        (np.array([0, 1, 2, -1]), [[0], [1], [2]]),
        (np.array(["a", "b", "b", ""]), [[0], [1, 2]]),
        (np.array([[1, 0, 0, 0], [0, 1, 1, 0]]), [[0], [1, 2]]),
        (np.array([[True, False, False, False], [False, False, False, True]]), [[0], [3]]),
        (np.array([["test", "train", "train", "train"], ["valid", "train", "test", "dev"]]), [[0], [0, 3]]),
    ],
)
def test_arrays_as_data_sets_ship_them(values: np.ndarray, held: list[list[int]]) -> None:
    codes_NF = shipped_folds(values, "file", 4)
    assert [np.flatnonzero(column == 1).tolist() for column in codes_NF.T] == held


def test_a_shipped_fold_leaves_its_own_test_rows_out() -> None:
    codes_NF = shipped_folds(np.array([["valid", "train", "test", "train"]]), "file", 4)
    assert codes_NF.T.tolist() == [[1, 0, -1, 0]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 5), int), "N = 4 rows"),
        (np.array([[0, 1, 2, 3]]), r"holds \[0, 1, 2, 3\]"),
        (np.array([["train", "vaild", "test", "train"]]), "vaild.* none of train, valid and test"),
        (np.zeros(4), "of float64"),
    ],
)
def test_arrays_that_deal_nothing_are_refused(values: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        shipped_folds(values, "file", 4)


def test_repeats_of_shipped_folds_begin_where_a_row_is_held_out_again() -> None:
    matrix = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1]])
    codes_NF = shipped_folds(matrix, "file", 4)
    dealt = with_folds(pool(np.arange(4), np.arange(4), codes_NF), FoldsConfig(array="fold"))
    assert [fold.repeat for fold in dealt.folds] == [0, 0, 1, 1]


def test_rows_that_no_fold_holds_out_are_not_evaluated() -> None:
    codes_NF = shipped_folds(np.array([0, 1, -1, 1]), "file", 4)
    dealt = with_folds(pool(np.arange(4), np.arange(4), codes_NF), FoldsConfig(array="fold"))
    assert (len(dealt["train"]), len(dealt["valid"])) == (4, 3)
    assert dealt.fold(1)["valid"].ids.tolist() == ["r1", "r3"]
    assert dealt.fold(1)["train"].ids.tolist() == ["r0", "r2"]


@pytest.mark.parametrize(
    ("config", "groups", "message"),
    [
        ({"k": 5}, [0, 0, 1, 1, 2, 2], r"(?s)data.folds.k.*3 groups .*Write 3 or fewer"),
        ({"k": 2, "by": "row"}, [0, 0, 1, 1, 2, 2], "recognise speakers"),
        ({"k": 2, "stratify": ["lable"]}, [0, 1, 2, 3, 4, 5], "Did you mean 'label'"),
        ({"array": "fold"}, [0, 1, 2, 3, 4, 5], "brings no folds of its own"),
    ],
)
def test_what_cannot_be_dealt_is_refused(config: dict, groups: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        with_folds(pool(np.arange(6), np.array(groups)), parse(FoldsConfig, config, "test"))


def test_a_shipped_fold_that_divides_a_speaker_is_refused() -> None:
    codes_NF = shipped_folds(np.array([0, 1, 0, 1]), "file", 4)
    with pytest.raises(DataError, match="fold 0 trains on rows of videos or speakers that it holds out"):
        with_folds(pool(np.arange(4), np.array([0, 0, 1, 2]), codes_NF), FoldsConfig(array="fold"))


def test_a_class_that_a_fold_cannot_learn_is_refused() -> None:
    labels = np.array([1.0, 0.0, 0.0, 0.0])
    with pytest.raises(DataError, match="a class is absent from its training rows"):
        with_folds(pool(labels, np.arange(4)), FoldsConfig(k=4))


def test_an_npz_file_needs_no_split_where_it_ships_folds(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    columns = {
        "audio": np.random.default_rng(0).standard_normal((12, 3)).astype(np.float32),
        "label": np.linspace(-3, 3, 12),
        "fold": np.arange(12) % 3,
    }
    np.savez(path, **columns)
    values = {"name": "mosi", "path": str(path), "modalities": ["audio"], "metrics": "regression"}
    corpus = open_corpus(parse(Mosi.Config, {**values, "folds": {"array": "fold"}}, "test"))
    assert corpus.fold(1)["valid"].ids.tolist() == ["1", "4", "7", "10"]
    split = np.array(["train"] * 9 + ["test"] * 3)
    np.savez(path, **columns, split=split)
    corpus = open_corpus(parse(Mosi.Config, {**values, "folds": {"k": 3}}, "test"))
    assert len(corpus["train"]) == 9, "train and test without valid"
    with pytest.raises(DataError, match=r"(?s)fodl.*Did you mean 'fold'"):
        open_corpus(parse(Mosi.Config, {**values, "folds": {"array": "fodl"}}, "test"))
