"""Reader of CMDC: interviews in Chinese, a folder for each participant.

=====================================  =====================================================================
file                                   meaning
=====================================  =====================================================================
HC<n>/ or MDD<n>/                      a healthy or a depressed participant
Q<k>.txt in it                         the answer to a question
audio/Q<k>.npy, vision/Q<k>.npy        frames (T, D) of the answer, or one vector
labels.csv                             id, score (PHQ-9), and perhaps fold; without it there is no score
=====================================  =====================================================================

**This layout is not verified**: nobody here has seen the files, and only the names of folders are known from
descriptions. There is no published split, so all rows are train, to be searched on folds that are dealt, or
that the column ``fold`` has (``data.folds.array: fold``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Features, SplitName, Strings
from mmsa.data.folds import shipped_folds
from mmsa.data.known_targets import DEPRESSED, PHQ9
from mmsa.data.readers.base import FileConfig, pseudonym, strings
from mmsa.data.readers.columns import Column, Columns, ColumnsReader, InputName, Labels, ragged
from mmsa.data.readers.delimited import as_numbers, column, needed, read_texts
from mmsa.data.readers.npy import array_in
from mmsa.data.readers.settings import CmdcConfig
from mmsa.data.target_spec import TargetSpec
from mmsa.data.validation import first_few
from mmsa.errors import DataError

_FOLDER = re.compile(r"(HC|MDD)[0-9]+")
_QUESTION = re.compile(r"Q([0-9]+)")
_LABELS = "labels.csv"
_LONGEST = 1 << 20  # bytes of an answer
_INPUTS: tuple[InputName, ...] = ("audio", "vision")


class CmdcReader(ColumnsReader):
    """Reader of the layout above."""

    Config: ClassVar[type[FileConfig]] = CmdcConfig

    config: Any

    def named_targets(self) -> Sequence[TargetSpec]:
        """The score where there is a table of them, and whether somebody is depressed."""
        return (PHQ9, DEPRESSED) if self._table else (DEPRESSED,)

    def columns(self) -> Mapping[SplitName, Columns]:
        """The columns of train, which is everybody."""
        people, source = self._people, self.path.name
        inputs: dict[InputName, Column] = {"strings": Column(None, partial(self._texts, f"{source} answers"))}
        for kind in _INPUTS:
            if width := self._width(kind):
                inputs[kind] = Column(width, partial(self._frames, kind, width, f"{source} {kind}"))
        labels: Mapping[str, Labels] = {
            PHQ9.name: lambda: self._cells("score", "phq9", "phq-9").astype(np.float32),
            DEPRESSED.name: lambda: np.array(
                [folder.name.startswith("MDD") for folder in people], np.float32
            ),
        }
        ids = np.array([self._shown(folder.name) for folder in people], np.str_)
        return {"train": Columns(ids, ids, labels, inputs, folds=self._shipped())}

    @cached_property
    def _people(self) -> list[Path]:
        """Folders of participants.

        Raises:
            DataError: where there are none.
        """
        found = [entry for entry in self.path.iterdir() if entry.is_dir() and _FOLDER.fullmatch(entry.name)]
        if not found:
            raise DataError(f"{self.path}: has no folder of a participant, such as HC01 or MDD01")
        return sorted(
            found, key=lambda folder: (folder.name.rstrip("0123456789"), len(folder.name), folder.name)
        )

    @cached_property
    def _table(self) -> Mapping[str, list[str]]:
        file = self.path / _LABELS
        return read_texts(file) if file.is_file() else {}

    def _cells(self, *names: str) -> NDArray[np.float64]:
        """(N,) numbers of a column, in the order of people.

        Raises:
            DataError: for people whom the table does not have.
        """
        file = self.path / _LABELS
        rows = dict(
            zip(
                needed(self._table, file, "id", "participant"), needed(self._table, file, *names), strict=True
            )
        )
        lost = [folder.name for folder in self._people if folder.name not in rows]
        if lost:
            raise DataError(f"{file}: {len(lost)} participants have no row in it: {first_few(lost)}")
        return as_numbers([rows[folder.name] for folder in self._people], file, names[0])

    def _shipped(self) -> Callable[[], NDArray[np.int8]] | None:
        array = None if self.config.folds is None else self.config.folds.array
        if array is None or column(self._table, self.path / _LABELS, array) is None:
            return None

        def read() -> NDArray[np.int8]:
            values = self._cells(array)
            whole = np.where(np.isnan(values), -1, values).astype(np.int64)
            return shipped_folds(whole, f"{self.path / _LABELS}: {array}", len(self._people))

        return read

    def _texts(self, source: str) -> Strings:
        return Strings(strings([" ".join(filter(None, _answers(folder))) for folder in self._people], source))

    def _width(self, kind: InputName) -> int:
        files = (file for folder in self._people for file in _questions(folder / kind, ".npy"))
        first = next(files, None)
        shape = (0,) if first is None else array_in(first).shape
        return int(shape[-1]) if shape else 0

    def _frames(self, kind: InputName, width: int, source: str) -> Features:
        rows = []
        for folder in self._people:
            parts = [np.empty((0, width), np.float32)]
            for file in _questions(folder / kind, ".npy"):
                frames = np.atleast_2d(array_in(file))
                if frames.ndim != 2 or frames.shape[1] != width:
                    raise DataError(f"{file}: shape {frames.shape}; must be (T, {width}) or ({width},)")
                parts.append(frames)
            rows.append(np.concatenate(parts))
        return ragged(rows, width, source)

    def _shown(self, name: str) -> str:
        if not self.config.pseudonyms:
            return name
        # Only who has the answers of somebody can tell whose digest it is.
        own = "\n".join(_answers(self.path / name)).encode()
        return pseudonym(name, hashlib.sha256(own).digest())


def _questions(folder: Path, ending: str) -> list[Path]:
    """The files of answers, by the number of the question."""
    if not folder.is_dir():
        return []
    found = [
        (int(match[1][:9]), file)
        for file in folder.iterdir()
        if file.suffix == ending and (match := _QUESTION.fullmatch(file.stem)) and file.is_file()
    ]
    return [file for _, file in sorted(found)]


def _answers(folder: Path) -> list[str]:
    texts = []
    for file in _questions(folder, ".txt"):
        with file.open("rb") as stream:
            texts.append(stream.read(_LONGEST).decode("utf-8-sig", "replace").strip())
    return texts
