"""What every registered reader has to do. A new reader joins with a class that writes its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmsa.data.corpus import SPLITS, Corpus, Features, Split, Strings
from mmsa.data.generated import pickles
from mmsa.data.readers import LAYOUTS
from mmsa.data.store import write_store
from mmsa.errors import DataError
from mmsa.testing import Case, ReaderContract, Recording


class TestNpz(ReaderContract):
    CASES = {"npz": {}}
    ALIGNED = True

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        columns = {
            "id": [row.id for row in rows],
            "video_id": [row.group for row in rows],
            "split": [row.split for row in rows],
            "raw_text": [row.text for row in rows],
            "label": [row.label for row in rows],
            "length": [len(row.audio) for row in rows],
            "audio": np.concatenate([row.audio for row in rows]),
            "vision": np.concatenate([row.vision for row in rows]),
        }
        with path.open("wb") as file:
            np.savez(file, **columns)


class TestMmsa(ReaderContract):
    CASES = {"mmsa": {}, "pickle": {}}

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        pickles.write_mmsa(path, rows)


class TestMisa(ReaderContract):
    CASES = {"misa": {}}

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        pickles.write_misa(path, rows)

    def kept(self, row: Recording) -> Recording:
        return replace(row, id=pickles.misa_id(row))


class TestMagBert(TestMisa):
    CASES = {"mag_bert": {}}

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        pickles.write_mag_bert(path, rows)


class TestMmim(ReaderContract):
    CASES = {"mmim": {}}

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        pickles.write_mmim(path, rows)

    def kept(self, row: Recording) -> Recording:
        return replace(row, id=pickles.mmim_id(row))


class TestMult(ReaderContract):
    CASES = {"mult": {}, "multibench": {}}
    KEEPS = ("audio", "vision")

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        pickles.write_mult(path, rows)

    def kept(self, row: Recording) -> Recording:
        return replace(row, id=pickles.mmim_id(row))


class TestStore(ReaderContract):
    CASES = {"store": {}}

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        splits = {}
        for split in SPLITS:
            chosen = [row for row in rows if row.split == split]
            if chosen:
                splits[split] = Split(
                    np.array([row.id for row in chosen]),
                    np.array([row.group for row in chosen]),
                    np.array([row.label for row in chosen], np.float32),
                    Strings(np.array([row.text for row in chosen])),
                    Features.from_rows([row.audio for row in chosen], 3),
                    Features.from_rows([row.vision for row in chosen], 2),
                )
        write_store(path, Corpus("mosi", (-3.0, 3.0), splits, "mosi"), "recordings", {}, {})

    def test_a_file_that_was_cut_is_refused(self, case: Case, path: Path) -> None:
        for file in (path / "card.json", path / "train.audio.npy", path / "train.ids.npy"):
            content = file.read_bytes()
            for kept in (0, len(content) // 2):
                file.write_bytes(content[:kept])
                with pytest.raises(DataError):
                    self.reader(case, path).read(("train", "valid"))
            file.write_bytes(content)


def test_every_layout_has_a_class() -> None:
    tested = {
        case.name for suite in (*ReaderContract.__subclasses__(), TestMagBert) for case in suite.cases()
    }
    assert tested == set(LAYOUTS)
