"""What every reader has to do: give back what was written, only what was asked for, or a DataError."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from mmsa.data.corpus import SPLITS, Features, ModalityName, Split, SplitName, Strings
from mmsa.data.generated.recordings import Recording
from mmsa.data.isolation import read_apart
from mmsa.data.readers import LAYOUTS, Reader
from mmsa.errors import DataError
from mmsa.testing.contract import Case, Contract

DIMS = {"audio": 3, "vision": 2}
ROWS: dict[SplitName, int] = {"train": 6, "valid": 4, "test": 4}
NOTABLE: dict[tuple[SplitName, int], int] = {("train", 0): 5, ("train", 1): 0}
"""Frames of some rows, by split and position."""


def recordings(seed: int = 0, aligned: bool = False) -> list[Recording]:
    """Rows of all splits with 0 to 5 frames. The longest ends with a frame of zeros, which is no padding.

    ``aligned`` rows have as many frames of audio as of vision.
    """
    random = np.random.default_rng(seed)
    rows = []
    for split, count in ROWS.items():
        for number in range(count):
            lengths = {"audio": int(random.integers(1, 5)), "vision": int(random.integers(1, 5))}
            if (split, number) in NOTABLE:
                lengths = dict.fromkeys(DIMS, NOTABLE[split, number])
            elif aligned:
                lengths = dict.fromkeys(DIMS, lengths["audio"])
            frames = {
                name: random.standard_normal((lengths[name], dim)).astype(np.float32)
                for name, dim in DIMS.items()
            }
            for values in frames.values():
                values[4:] = 0.0
            group = f"{split}-{number // 2}"
            label, words = float(random.uniform(-3, 3)), " ".join(random.choice(["good", "bad", "film"], 4))
            rows.append(Recording(f"{group}$_${number % 2}", group, split, label, words, **frames))
    return rows


class ReaderContract(Contract):
    """Suite of readers; ``CASES`` gives the settings of ``data`` with which ``write``'s files are read.

    Attributes:
        ALIGNED: whether a row of the layout has as many frames of audio as of vision.
        SPLITS: that the layout has.
        KEEPS: what can be compared with what was written: audio and vision, and text if it is strings.
    """

    ALIGNED: ClassVar[bool] = False
    SPLITS: ClassVar[tuple[SplitName, ...]] = SPLITS
    KEEPS: ClassVar[tuple[ModalityName, ...]] = ("text", "audio", "vision")

    def kept(self, row: Recording) -> Recording:
        """What the layout keeps of a row; its ids have a grammar of their own, for instance."""
        return row

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        """Write a file of the layout that holds these rows."""
        raise NotImplementedError

    def rows(self, seed: int = 0) -> list[Recording]:
        """What is written."""
        return recordings(seed, self.ALIGNED)

    def reader(self, case: Case, path: Path, **settings: Any) -> Reader:
        """The reader of a file."""
        values = {"path": str(path), "layout": case.name, "modalities": list(self.KEEPS)}
        values |= {**case.settings, **settings}
        layout = LAYOUTS[case.name]
        return layout(path, layout.Config.model_validate(values))

    @pytest.fixture
    def path(self, case: Case, tmp_path: Path) -> Path:
        """A file of the layout."""
        self.write(case, tmp_path / "file", self.rows())
        return tmp_path / "file"

    def test_it_is_a_reader(self, case: Case, path: Path) -> None:
        assert isinstance(self.reader(case, path), Reader)

    def test_what_is_read_is_what_was_written(self, case: Case, path: Path) -> None:
        for split, found in self.reader(case, path).read(self.SPLITS).items():
            rows = [self.kept(row) for row in self.rows() if row.split == split]
            assert found.ids.tolist() == [row.id for row in rows]
            assert found.groups.tolist() == [row.group for row in rows]
            assert found.labels.tolist() == pytest.approx([row.label for row in rows], abs=1e-6)
            if "text" in self.KEEPS:
                assert isinstance(found.text, Strings)
                assert found.text.values.tolist() == [row.text for row in rows]
            for name in DIMS.keys() & set(self.KEEPS):
                features = getattr(found, name)
                assert isinstance(features, Features)
                written = [getattr(row, name) for row in rows]
                assert features.lengths().tolist() == [len(frames) for frames in written], name
                np.testing.assert_allclose(features.values, np.concatenate(written), rtol=1e-6)

    @pytest.mark.parametrize("splits", [("train",), ("valid", "train")], ids="-".join)
    def test_only_the_splits_that_are_asked_for_are_read(
        self, case: Case, path: Path, splits: tuple[SplitName, ...]
    ) -> None:
        whole, found = self.reader(case, path).read(self.SPLITS), self.reader(case, path).read(splits)
        assert set(found) == set(splits)
        assert all(found[split].digest == whole[split].digest for split in splits)

    def test_outlines_are_those_of_the_splits(self, case: Case, path: Path) -> None:
        reader = self.reader(case, path)
        outlines, opened = reader.outlines(), reader.read(self.SPLITS)
        assert set(outlines) == set(self.SPLITS)
        for split, outline in outlines.items():
            expected = opened[split].outline()
            assert outline.ids.tolist() == expected.ids.tolist()
            assert outline.groups.tolist() == expected.groups.tolist()
            assert dict(outline.widths) == dict(expected.widths)
            assert not outline.problems

    def test_a_sealed_test_split_changes_nothing_that_a_search_sees(
        self, case: Case, path: Path, tmp_path: Path
    ) -> None:
        """Labels, text and frames of test are others; its ids, groups and widths are the same."""
        other = {row.id: row for row in self.rows(seed=1)}
        rows = [
            replace(other[row.id], label=-row.label) if row.split == "test" else row for row in self.rows()
        ]
        self.write(case, tmp_path / "other", rows)
        seen = []
        for file in (path, tmp_path / "other"):
            reader = self.reader(case, file)
            outlines = {
                split: (outline.ids.tolist(), outline.groups.tolist(), dict(outline.widths))
                for split, outline in reader.outlines().items()
            }
            digests = {name: split.digest for name, split in reader.read(("train", "valid")).items()}
            seen.append((outlines, digests))
        assert seen[0] == seen[1]

    def test_modalities_that_are_not_used_are_not_read(self, case: Case, path: Path) -> None:
        name = "audio" if "audio" in self.KEEPS else self.KEEPS[0]
        found = self.reader(case, path, modalities=[name]).read(("train",))["train"]
        assert list(found.modalities()) == [name]

    def test_a_split_that_is_missing_is_told(self, case: Case, tmp_path: Path) -> None:
        self.write(case, tmp_path / "file", [row for row in self.rows() if row.split != "valid"])
        reader = self.reader(case, tmp_path / "file")
        assert set(reader.outlines()) == set(self.SPLITS) - {"valid"}
        with pytest.raises(DataError, match="valid"):
            reader.read(("train", "valid"))

    def cut(self, path: Path) -> Path:
        """The file that is cut short, in a folder one that train cannot be read without."""
        return path if path.is_file() else max(path.rglob("train*"), key=lambda file: file.stat().st_size)

    def test_a_file_that_was_cut_is_refused(self, case: Case, path: Path) -> None:
        file = self.cut(path)
        content = file.read_bytes()
        for kept in (0, len(content) // 2):
            file.write_bytes(content[:kept])
            with pytest.raises(DataError):
                self.reader(case, path).read(("train", "valid"))

    def test_the_process_that_reads_files_gives_the_same(self, case: Case, path: Path) -> None:
        reader = self.reader(case, path)
        opened, outlines = read_apart(reader, ("read", [["train", "valid"]]), ("outlines", []))
        expected: dict[SplitName, Split] = reader.read(("train", "valid"))
        assert {name: split.digest for name, split in opened.items()} == {
            name: split.digest for name, split in expected.items()
        }
        assert set(outlines) == set(self.SPLITS)
