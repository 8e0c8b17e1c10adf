"""Readers of lists of rows that MISA, MMIM and MAG-BERT pickle: ``((words, visual, ...), label, id)``.

=============  ======================================================  ===================================
layout         first part of a row                                     files
=============  ======================================================  ===================================
``misa``       word ids, visual (T, D), acoustic (T, D), T words       train.pkl, dev.pkl, test.pkl
``mmim``       nothing, visual (T, D), acoustic (T', D), words, T, T'  the same names
``mag_bert``   T words, visual (T, D), acoustic (T, D)                 one: {train, dev, test: rows}
=============  ======================================================  ===================================

A label is one number, or the seven of CMU-MOSEI: sentiment, then how strong six emotions are. MISA's files of
UR-FUNNY have no ids, and 0 or 1 for a label. Word ids count in an ``embedding_and_mapping.pt`` that holds
torch tensors and a function of MISA's; it is not opened, and the words themselves are the text.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Features, SplitName, Strings
from mmsa.data.known_targets import EMOTIONS, HUMOR, MOSEI_EMOTIONS, SENTIMENT
from mmsa.data.published import identify
from mmsa.data.readers.arrays import numbered, numbers, row_numbers, videos_of
from mmsa.data.readers.base import shape_of, split_of, strings
from mmsa.data.readers.columns import Column, Columns, InputName, Labels, ragged
from mmsa.data.readers.pickled import PickledReader, split_pickles
from mmsa.data.target_spec import TargetSpec
from mmsa.data.validation import first_few
from mmsa.errors import DataError, shown

logger = logging.getLogger("mmsa.data")


_FRAMES: tuple[InputName, ...] = ("vision", "audio")
Row = Sequence[Any]


class TuplesReader(PickledReader):
    """Base of the readers of the layouts above.

    Attributes:
        PARTS: what the first part of a row holds, in order.
    """

    PARTS: ClassVar[tuple[str, ...]]

    def columns(self) -> Mapping[SplitName, Columns]:
        """The columns of each split."""
        return {split: self._columns_of(split, rows) for split, rows in self._rows().items()}

    def named_targets(self) -> Sequence[TargetSpec]:
        """Sentiment and emotions of CMU-MOSEI, or humour; else the one label has no name."""
        row = next((rows[0] for rows in self._rows().values() if rows), None)
        if row is None or len(row) < 2:
            return ()
        if len(row) == 2:
            return (HUMOR,)
        return (SENTIMENT, EMOTIONS) if _of_mosei(row) else ()

    @property
    def origin(self) -> str:
        """The file itself where rows have no ids and are numbered."""
        if HUMOR not in self.named_targets():
            return ""
        files = split_pickles(self.path) if self.path.is_dir() else {"": self.path}
        return identify(next(iter(files.values())))[0]

    def _rows(self) -> Mapping[SplitName, list[Row]]:
        """The rows of each split.

        Raises:
            DataError: for content that is not rows by split.
        """
        content = self.content
        if isinstance(content, list):
            content = {_split_in(self.path): content}
        if not isinstance(content, dict):
            raise DataError(f"{self.path}: holds a {type(content).__name__}, not rows of train, dev and test")
        found: dict[SplitName, list[Row]] = {}
        for name, rows in content.items():
            if not (split := split_of(name)):
                continue
            if split in found or not isinstance(rows, list):
                raise DataError(f"{self.path}: {name!r} must be the only list of rows of {split}")
            found[split] = rows
        return found

    def _columns_of(self, split: SplitName, rows: list[Row]) -> Columns:
        source = f"{self.path.name} {split}"
        self._check(rows, source)
        if rows and len(rows[0]) > 2:
            names = strings([row[2] for row in rows], f"{source} id")
            ids, groups = numbered(names, source), videos_of(names, source)
        else:
            ids = groups = row_numbers(split, len(rows), source)
        inputs: dict[InputName, Column] = {}
        if "text" in self.PARTS:
            inputs["strings"] = Column(None, partial(self._strings, rows, source))
        for name in _FRAMES:
            shapes = [shape_of(self._part(row, name)) or () for row in rows]
            width = next((shape[1] for shape in shapes if len(shape) == 2), 0)
            inputs[name] = Column(width, partial(self._frames, rows, name, width, source))
        return Columns(ids, groups, self._labels(rows, source), inputs)

    def _check(self, rows: list[Row], source: str) -> None:
        """Raise for rows of another form than the first one's, which is this layout's."""
        form = len(rows[0]) if rows and isinstance(rows[0], (tuple, list)) else 3
        wrong = [
            f"{number} ({shown(row, 40)})"
            for number, row in enumerate(rows)
            if not isinstance(row, (tuple, list))
            or len(row) != form
            or not isinstance(row[0], (tuple, list))
            or len(row[0]) != len(self.PARTS)
        ]
        if wrong or form not in (2, 3):
            raise DataError(
                f"{source}: row {first_few(wrong or [0], 2)}: must be (({', '.join(self.PARTS)}), label, id)"
            )

    def _part(self, row: Row, name: str) -> Any:
        return row[0][self.PARTS.index(name)]

    def _strings(self, rows: list[Row], source: str) -> Strings:
        texts = [self._part(row, "text") for row in rows]
        wrong = [
            number for number, words in enumerate(texts) if not isinstance(words, (list, tuple, np.ndarray))
        ]
        if wrong:
            raise DataError(f"{source}: the words of row {first_few(wrong)} are no list of strings")
        return Strings(
            strings([" ".join(strings(words, f"{source} words")) for words in texts], f"{source} words")
        )

    def _frames(self, rows: list[Row], name: InputName, width: int, source: str) -> Features:
        frames = []
        for number, row in enumerate(rows):
            values = numbers(self._part(row, name), f"{source} {name} of row {number}")
            if values.ndim != 2 or values.shape[1] != width:
                if values.size:
                    raise DataError(
                        f"{source} {name}: shape {values.shape} in row {number}; must be (T, {width})"
                    )
                values = np.empty((0, width), np.float32)
            frames.append(values)
        return ragged(self._without_padding(rows, frames, name, source), width, f"{source} {name}")

    def _without_padding(
        self, rows: list[Row], frames: list[NDArray[Any]], name: InputName, source: str
    ) -> list[NDArray[Any]]:
        return frames

    def _labels(self, rows: list[Row], source: str) -> Mapping[str, Labels]:
        def column(read: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Labels:
            return lambda: read(self._label_table(rows, source))

        if rows and len(rows[0]) == 2:
            return {HUMOR.name: column(lambda labels_NK: labels_NK[:, 0])}
        if rows and _of_mosei(rows[0]):
            return {
                SENTIMENT.name: column(lambda labels_NK: labels_NK[:, 0]),
                # An emotion that somebody saw at all is present: the labels are means over annotators.
                EMOTIONS.name: column(lambda labels_NK: (labels_NK[:, 1:] > 0).astype(np.float32)),
            }
        return {"": column(lambda labels_NK: labels_NK[:, 0])}

    def _label_table(self, rows: list[Row], source: str) -> NDArray[np.float32]:
        """(N, 1) or (N, 7).

        Raises:
            DataError: for rows with another number of labels than the first one has.
        """
        found = [row[1] if isinstance(row[1], (np.ndarray, list, tuple)) else [row[1]] for row in rows]
        table = [numbers(labels, f"{source} label").reshape(-1) for labels in found]
        if wrong := [number for number, labels in enumerate(table) if len(labels) not in (1, 7)]:
            count = len(table[wrong[0]])
            raise DataError(f"{source}: {count} labels in row {first_few(wrong)}; must be 1, or MOSEI's 7")
        if len({len(labels) for labels in table}) > 1:
            raise DataError(f"{source}: some rows have 1 label and some 7; all must have as many")
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf, and is refused as a label
            return np.array(table).astype(np.float32)


def _of_mosei(row: Row) -> bool:
    return math.prod(shape_of(row[1]) or ()) == 1 + len(MOSEI_EMOTIONS)


def _split_in(path: Path) -> str:
    """The split that the name of a file ends with: ``dev`` of ``misa_mosi_dev.pkl``."""
    name = path.stem.replace("-", "_").replace(".", "_").rpartition("_")[2]
    if not split_of(name):
        raise DataError(
            f"{path}: is a list of rows, whose split is told by the name of the file; call it train.pkl, "
            "dev.pkl or test.pkl, and name the folder in data.path"
        )
    return name


class MisaReader(TuplesReader):
    """Reader of MISA's files, of CMU-MOSI, CMU-MOSEI and UR-FUNNY."""

    PARTS = ("ids", "vision", "audio", "text")


class MagBertReader(TuplesReader):
    """Reader of MAG-BERT's files."""

    PARTS = ("text", "vision", "audio")


class MmimReader(TuplesReader):
    """Reader of MMIM's files, whose frames were counted by which of them are not zero."""

    PARTS = ("ids", "vision", "audio", "text", "vision_length", "audio_length")

    def _without_padding(
        self, rows: list[Row], frames: list[NDArray[Any]], name: InputName, source: str
    ) -> list[NDArray[Any]]:
        """Frames from the first that is not zero; logs where the stored length is another number."""
        kept, other = [], 0
        for row, values in zip(rows, frames, strict=True):
            length = self._part(row, f"{name}_length")
            real = np.flatnonzero((values != 0).any(axis=1))
            # A real frame of zeros inside the row was not counted when the row was made; it stays a frame.
            trimmed = values[real[0] :] if len(real) and len(values) != length else values
            other += len(trimmed) != length
            kept.append(trimmed)
        if other:
            logger.warning(
                "%s %s: %d rows have another number of frames than is stored with them; the frames count",
                *(source, name, other),
            )
        return kept
