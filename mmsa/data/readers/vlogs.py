"""Readers of video logs, D-Vlog and LMVD: two npy arrays a person, and a table that says who is depressed.

==============  ============================================  ===========================================
part            D-Vlog                                        LMVD
==============  ============================================  ===========================================
labels.csv      index or video_id, label (depression or       likewise; ids may have leading zeros
                normal, or 0 and 1), duration, gender, fold
audio           <i>/<i>_acoustic.npy (T, 25), 1 Hz            audio/<id>.npy (T, 128)
vision          <i>/<i>_visual.npy (T, 136)                   visual/<id>_visual.npy (T, 136)
==============  ============================================  ===========================================

The 136 columns of a face are x0 to x67, then y0 to y67; a row of zeros is a second without a face. The two T
differ, and what is longer is cut. There is no text.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import SPLITS, Features, SplitName
from mmsa.data.known_targets import DEPRESSED, GENDER
from mmsa.data.readers.base import FileConfig, split_of
from mmsa.data.readers.columns import Column, Columns, ColumnsReader, InputName, ragged
from mmsa.data.readers.delimited import column, needed, read_texts
from mmsa.data.readers.npy import array_in
from mmsa.data.readers.settings import VlogConfig
from mmsa.data.readers.windows import Stream, pooled_windows, standardised_stream
from mmsa.data.target_spec import TargetSpec
from mmsa.data.validation import first_few
from mmsa.errors import DataError, Problem, shown

logger = logging.getLogger("mmsa.data")

_CLASSES: Mapping[str, float] = {"normal": 0.0, "0": 0.0, "depression": 1.0, "depressed": 1.0, "1": 1.0}
_GENDERS: Mapping[str, float] = {"f": 0.0, "female": 0.0, "m": 1.0, "male": 1.0}


class VlogReader(ColumnsReader):
    """Base of both readers.

    Attributes:
        WIDTHS: columns of audio and vision.
    """

    Config: ClassVar[type[FileConfig]] = VlogConfig
    WIDTHS: ClassVar[Mapping[InputName, int]]

    config: Any

    def file(self, person: str, name: InputName) -> Path:
        """Where the frames of a person are."""
        raise NotImplementedError

    def named_targets(self) -> Sequence[TargetSpec]:
        """Whether somebody is depressed, and gender where the table has it."""
        return (DEPRESSED, GENDER) if column(self._table, self._labels, "gender") else (DEPRESSED,)

    def columns(self) -> Mapping[SplitName, Columns]:
        """The columns of each split."""
        folds = needed(self._table, self._labels, "fold", "split")
        unknown = sorted({fold for fold in folds if not split_of(fold)})
        if unknown:
            raise DataError(
                f"{self._labels}: fold is {first_few(map(shown, unknown))}; must be train, valid or test. "
                "Deal the rows to three splits by people, or search on folds of train with data.folds"
            )
        logger.warning(
            "%s: has no column of speakers, so nobody can see whether one is in two splits", self._labels.name
        )
        rows = {split: [row for row, fold in enumerate(folds) if split_of(fold) == split] for split in SPLITS}
        return {split: self._columns_of(split, chosen) for split, chosen in rows.items() if chosen}

    @cached_property
    def _labels(self) -> Path:
        return self.path / "labels.csv"

    @cached_property
    def _table(self) -> Mapping[str, list[str]]:
        return read_texts(self._labels)

    @cached_property
    def _people(self) -> list[str]:
        return needed(self._table, self._labels, "index", "video_id", "id", "column 0")

    def _columns_of(self, split: SplitName, rows: Sequence[int]) -> Columns:
        people = [self._people[row] for row in rows]
        ids = np.array(people, dtype=np.str_)
        source = f"{self.path.name} {split}"
        problems = []
        lost = [
            person for person in people if not any(self.file(person, name).is_file() for name in self.WIDTHS)
        ]
        if lost:
            rule = f"{len(lost)} of {len(people)} have neither audio nor vision"
            advice = f"Their files are to be called as {self.file('<id>', 'audio').relative_to(self.path)}."
            problems.append(Problem(f"{split} files", first_few(lost), rule, advice))
        inputs: dict[InputName, Column] = {
            name: Column(self._width(name), partial(self._frames, people, name, source))
            for name in self.WIDTHS
        }
        labels = {
            DEPRESSED.name: partial(self._coded, rows, _CLASSES, "label"),
            GENDER.name: partial(self._coded, rows, _GENDERS, "gender"),
        }
        return Columns(ids, ids, labels, inputs, tuple(problems))

    def _width(self, name: InputName) -> int:
        return self.WIDTHS[name] if self.config.seconds is None else 2 * self.WIDTHS[name] + 1

    def _coded(self, rows: Sequence[int], codes: Mapping[str, float], name: str) -> NDArray[np.float32]:
        cells = [needed(self._table, self._labels, name)[row] for row in rows]
        wrong = sorted({cell for cell in cells if cell.lower() not in codes})
        if wrong:
            known = ", ".join(codes)
            raise DataError(
                f"{self._labels}: {name} is {first_few(map(shown, wrong))}; must be one of {known}"
            )
        return np.array([codes[cell.lower()] for cell in cells], np.float32)

    def _frames(self, people: Sequence[str], name: InputName, source: str) -> Features:
        rows, cut = [], 0
        for person in people:
            own, other = (self._array(person, kind) for kind in (name, _other(name)))
            if own is None:
                rows.append(np.empty((0, self._width(name)), np.float32))
                continue
            length = len(own) if other is None else min(len(own), len(other))
            cut += length < len(own)
            rows.append(self._pooled(own[:length], name))
        if cut:
            logger.info(
                "%s %s: %d people have more of it than of %s, and it is cut", source, name, cut, _other(name)
            )
        return ragged(rows, self._width(name), f"{source} {name}")

    def _pooled(self, frames: NDArray[np.float32], name: InputName) -> NDArray[np.float32]:
        # A second without a face is zeros, which have no part in means.
        stream = Stream(np.arange(len(frames), dtype=float), frames, (frames != 0).any(axis=1))
        if self.config.normalise == "participant":
            stream = standardised_stream(stream)
        if self.config.seconds is None:
            return stream.values
        starts = np.arange(0, max(len(frames), 1), self.config.seconds, dtype=float)
        return pooled_windows(stream, np.stack([starts, starts + self.config.seconds], axis=1))

    def _array(self, person: str, name: InputName) -> NDArray[np.float32] | None:
        file = self.file(person, name)
        if not file.is_file():
            return None
        frames = array_in(file)
        if frames.ndim != 2 or frames.shape[1] != self.WIDTHS[name]:
            raise DataError(f"{file}: shape {frames.shape}; must be (T, {self.WIDTHS[name]})")
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf, and then 0
            return frames.astype(np.float32)


def _other(name: InputName) -> InputName:
    return "vision" if name == "audio" else "audio"


class DVlogReader(VlogReader):
    """Reader of D-Vlog."""

    WIDTHS: ClassVar[Mapping[InputName, int]] = {"audio": 25, "vision": 136}

    def file(self, person: str, name: InputName) -> Path:
        """``<i>/<i>_acoustic.npy`` or ``<i>/<i>_visual.npy``."""
        return self.path / person / f"{person}_{'acoustic' if name == 'audio' else 'visual'}.npy"


class LmvdReader(VlogReader):
    """Reader of LMVD."""

    WIDTHS: ClassVar[Mapping[InputName, int]] = {"audio": 128, "vision": 136}

    def file(self, person: str, name: InputName) -> Path:
        """``audio/<id>.npy`` or ``visual/<id>_visual.npy``."""
        if name == "audio":
            return self.path / "audio" / f"{person}.npy"
        return self.path / "visual" / f"{person}_visual.npy"
