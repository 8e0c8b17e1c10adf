"""CMDC and MPDD have no valid, so that the contract of readers does not fit them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsa.config import parse
from mmsa.data import DATA_SETS, Corpus, Features, open_corpus
from mmsa.data.corpus import Strings
from mmsa.data.generated.clinics import cmdc_name, write_cmdc, write_mpdd
from mmsa.data.generated.people import invent_people, track
from mmsa.data.readers.sniffing import recognise
from mmsa.errors import DataError

PEOPLE = invent_people(20, seed=0)


def opened(name: str, path: Path, splits: Any = ("train",), **settings: Any) -> Corpus:
    return open_corpus(parse(DATA_SETS[name].Config, {"path": str(path), **settings}, "test"), splits)


@pytest.fixture
def cmdc(tmp_path: Path) -> Path:
    write_cmdc(tmp_path, PEOPLE)
    return tmp_path


@pytest.fixture
def mpdd(tmp_path: Path) -> Path:
    write_mpdd(tmp_path, PEOPLE)
    return tmp_path


def test_answers_frames_and_scores_of_cmdc_are_those_that_were_written(cmdc: Path) -> None:
    assert recognise(cmdc) == ("cmdc", cmdc)
    corpus = opened("cmdc", cmdc, pseudonyms=False)
    train, by_name = corpus["train"], {cmdc_name(person): person for person in PEOPLE}
    assert sorted(train.ids.tolist()) == sorted(by_name)
    people = [by_name[name] for name in train.ids.tolist()]
    assert train.labels.tolist() == [person.score for person in people]
    depressed = [float(person.score >= 10) for person in people]
    assert corpus.values("train", "depressed").tolist() == depressed
    assert isinstance(train.text, Strings)
    assert train.text.values[0] == " ".join(turn.text for turn in people[0].turns if turn.participant)
    assert isinstance(train.audio, Features)
    voice = track(people[0], 2.0, 25, people[0].voice, 0)[1]
    read = train.audio.values[: train.audio.offsets[1]]
    np.testing.assert_allclose(np.sort(read, axis=0), np.sort(voice, axis=0), rtol=1e-6)
    assert not set(opened("cmdc", cmdc)["train"].ids.tolist()) & set(by_name)


def test_folds_of_cmdc_are_dealt_or_those_of_its_table(cmdc: Path) -> None:
    corpus = opened("cmdc", cmdc, ("train", "valid"), pseudonyms=False, folds={"array": "fold"})
    numbers = {cmdc_name(person): number % 5 for number, person in enumerate(PEOPLE)}
    assert len(corpus.folds) == 5
    for number, fold in enumerate(corpus.folds):
        assert {numbers[name] for name in corpus["valid"].ids[fold.held_out].tolist()} == {number}
    (cmdc / "labels.csv").unlink()
    without = opened("cmdc", cmdc, ("train", "valid"), folds={"k": 4})
    assert [target.name for target in without.targets] == ["depressed"]
    assert len(without.folds) == 4


def test_categories_and_frames_of_mpdd_are_those_that_were_written(mpdd: Path) -> None:
    assert recognise(mpdd) == ("mpdd", mpdd)
    corpus = opened("mpdd", mpdd, pseudonyms=False)
    people = [person for person in PEOPLE if person.split != "test"]
    train = corpus["train"]
    assert train.ids.tolist() == [f"train:{person.id}_001" for person in people]
    assert train.labels.tolist() == [float(person.score >= 10) for person in people]
    assert corpus.values("train", "three").tolist() == [min(person.score // 8, 2) for person in people]
    assert isinstance(train.vision, Features)
    faces = [track(person, 1.0, 17, person.face, 0)[1] for person in people]
    np.testing.assert_allclose(train.vision.values, np.concatenate(faces), rtol=1e-6)
    assert opened("mpdd", mpdd, target="three").target.classes == ("normal", "mild", "severe")
    assert not [name for name in opened("mpdd", mpdd)["train"].ids.tolist() if PEOPLE[0].id in name[:10]]


def test_test_of_mpdd_stays_closed_since_it_has_no_categories(mpdd: Path) -> None:
    assert len(opened("mpdd", mpdd).outlines["test"]) == sum(person.split == "test" for person in PEOPLE)
    with pytest.raises(DataError, match="have no such category"):
        opened("mpdd", mpdd, ("test",))


def test_a_table_of_mpdd_cannot_name_files_outside_of_its_folder(mpdd: Path) -> None:
    table = mpdd / "Training" / "labels" / "labels.json"
    name = f"{PEOPLE[0].id}_001.npy"
    table.write_text(table.read_text().replace(f'"{name}"', f'"../../../../{name}"', 2))
    np.testing.assert_array_equal(
        opened("mpdd", mpdd)["train"].audio.lengths(),  # type: ignore[union-attr]
        [len(track(person, 1.0, 64, 0.0, 0)[1]) for person in PEOPLE if person.split != "test"],
    )
