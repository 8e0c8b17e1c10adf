from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
from launched import launched

from mmsa.config import parse
from mmsa.data import DATA_SETS, Corpus, Features, open_corpus
from mmsa.data.conversion import convert
from mmsa.data.inputs import InputSpec
from mmsa.errors import DataError, SealedTest

MUTANTS = int(os.environ.get("MMSA_MUTANTS", "200"))


def config(path: Path, name: str = "mosi", **settings: Any) -> Any:
    return parse(DATA_SETS[name].Config, {"path": str(path), **settings}, "test")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, write_mmsa_pickle: Callable[..., Any]) -> Path:
    """A folder with a pickle and its store."""
    folder = tmp_path_factory.mktemp("made")
    write_mmsa_pickle(folder / "f.pkl", steps=(5, 6, 7), dims=(4, 3, 2))
    convert(config(folder / "f.pkl"), folder / "store")
    return folder


@pytest.fixture
def original(made: Path) -> Path:
    return made / "f.pkl"


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made / "store", tmp_path / "store")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"text": "tokens"},
        {"text": "features"},
        {"modalities": ["audio"]},
        {"modalities": ["text", "vision"]},
    ],
)
def test_a_store_is_the_same_corpus_as_its_original(
    original: Path, store: Path, settings: dict[str, Any]
) -> None:
    """With its digest, by which a study knows its data, and the statistics that a model is built from."""
    theirs, ours = open_corpus(config(original, **settings)), open_corpus(config(store, **settings))
    assert ours.digest == theirs.digest
    assert ours.targets == theirs.targets
    assert InputSpec.of(ours) == InputSpec.of(theirs)
    recomputed = {name: pickle.loads(pickle.dumps(split)) for name, split in ours.splits.items()}
    for split in recomputed.values():
        split.__dict__.pop("digest", None)
    assert Corpus("mosi", (-3, 3), recomputed, "mosi", targets=ours.targets).digest == theirs.digest
    with pytest.raises(SealedTest):
        ours["test"]
    assert {name: len(outline) for name, outline in ours.outlines.items()} == {
        name: len(outline) for name, outline in theirs.outlines.items()
    }


def test_frames_are_mapped_and_travel_as_the_name_of_their_file(store: Path) -> None:
    train = open_corpus(config(store))["train"]
    audio = train.audio
    assert isinstance(audio, Features)
    assert audio.mapped is not None
    assert not audio.values.flags.writeable
    sent = pickle.dumps(audio)
    assert audio.values.tobytes() not in sent
    np.testing.assert_array_equal(pickle.loads(sent).values, audio.values)
    part = Features(audio.values[2:5], np.array([0, 3]))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(part)).values, audio.values[2:5])
    shutil.rmtree(store)
    with pytest.raises(DataError, match="is not on this machine"):
        pickle.loads(sent)


def test_frames_are_read_once_after_a_change_and_then_no_more(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmsa.data import store_reader

    read: list[str] = []
    real = store_reader.sha256_of
    monkeypatch.setattr(store_reader, "sha256_of", lambda path: read.append(path.name) or real(path))

    def files_read() -> list[str]:
        # Here and not in the process that reads files, which knows nothing of what is patched.
        read.clear()
        store_reader.StoreReader(store, config(store)).read(("train", "valid"))
        return read

    assert files_read() == []
    os.utime(store / "valid.audio.npy")
    assert files_read() == ["valid.audio.npy"]
    assert files_read() == []
    content = bytearray((store / "train.vision.npy").read_bytes())
    content[-1] ^= 1
    (store / "train.vision.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"train\.vision\.npy: its content is not what the card says"):
        open_corpus(config(store))
    assert open_corpus(config(store, modalities=["audio"]))["train"].audio is not None


def test_a_folder_that_is_there_is_not_written_to(original: Path, store: Path) -> None:
    with pytest.raises(DataError, match="is there already"):
        convert(config(original), store)


def test_a_store_says_what_it_was_told_to_say(
    original: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    out = original.parent / "warned"
    text = "vision was learnt with the labels of train"
    launched(
        monkeypatch,
        "data.py",
        "convert",
        str(original),
        "--name",
        "mosi",
        "--out",
        str(out),
        "--warning",
        text,
    )
    caplog.clear()
    open_corpus(config(out, modalities=["vision"]))
    assert text in caplog.text


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda store: (store / "card.json").write_text("{"), "card.json"),
        (lambda store: (store / "card.json").write_text('{"format": "x"}'), "card.json"),
        (lambda store: (store / "train.ids.npy").unlink(), "train.ids.npy"),
        (lambda store: (store / "train.audio.npy").write_bytes(b""), "train.audio.npy"),
        (lambda store: edit(store, ("splits", "train", "rows"), 5), "must rise from 0"),
        (lambda store: edit(store, ("splits", "train", "columns"), []), "has no"),
        (lambda store: edit(store, ("files", "train.audio.npy", "shape"), [1, 3]), "the card says"),
        (lambda store: edit(store, ("targets",), [{"name": "label", "kind": "other"}]), "targets"),
        (lambda store: edit(store, ("statistics", "audio", "scale"), [0.0] * 3), "statistics of audio"),
        (lambda store: edit(store, ("version",), 2), "version"),
    ],
)
def test_a_damaged_store_is_refused(store: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(store)
    with pytest.raises(DataError, match=re.escape(message)):
        open_corpus(config(store))


def edit(store: Path, path: tuple[str, ...], value: Any) -> None:
    card = json.loads((store / "card.json").read_text())
    block = card
    for key in path[:-1]:
        block = block[key]
    block[path[-1]] = value
    (store / "card.json").write_text(json.dumps(card))


@pytest.mark.timeout(120 + MUTANTS)
def test_a_changed_store_is_read_or_refused(store: Path) -> None:
    from mmsa.data.store_reader import StoreReader

    refused = 0
    for name in ("card.json", "train.audio.npy", "train.audio.offsets.npy", "train.ids.npy", "verified.json"):
        content = (store / name).read_bytes()
        for number, changed in enumerate(hostile.mutants(content, MUTANTS // 5, seed=7)):
            (store / name).write_bytes(changed)
            message = ""
            try:
                StoreReader(store, config(store)).read(("train", "valid"))
            except DataError as error:
                message = str(error)
            refused += bool(message)
            assert len(message) < 3000, (name, number)
            if name != "verified.json":
                assert (store / name).read_bytes() == changed
        (store / name).write_bytes(content)
    assert refused > MUTANTS // 2
