"""What every registered reader has to do. A new reader joins with a class that writes its files."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmsa.data.corpus import SPLITS
from mmsa.data.readers import LAYOUTS
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
    CASES = {"mmsa": {}}

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        content = {}
        for split in SPLITS:
            chosen = [row for row in rows if row.split == split]
            if not chosen:
                continue
            content[split] = {
                "id": np.array([row.id for row in chosen]),
                "raw_text": np.array([row.text for row in chosen]),
                "regression_labels": np.array([row.label for row in chosen]),
            }
            for name in ("audio", "vision"):
                frames = [getattr(row, name) for row in chosen]
                padded = [np.pad(values, [(0, 5 - len(values)), (0, 0)]) for values in frames]
                content[split][name] = np.stack(padded)
                content[split][f"{name}_lengths"] = [len(values) for values in frames]
        path.write_bytes(pickle.dumps(content))


def test_every_layout_has_a_class() -> None:
    assert {*TestNpz.CASES, *TestMmsa.CASES} == set(LAYOUTS)
