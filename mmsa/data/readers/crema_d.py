"""Reader of CREMA-D: actors who say sentences in six emotions, and what people heard and saw in them.

=====================================  =====================================================================
file                                   content
=====================================  =====================================================================
summaryTable.csv, here or in           FileName; VoiceVote, FaceVote and MultiModalVote: the emotion that most
processedResults/                      people heard, saw, and saw and heard, by its letter; ``A:D`` is a tie
VideoDemographics.csv                  ActorID, Sex
audio/<clip>.npy, vision/<clip>.npy    frames (T, D), or one vector, which users make of the recordings
=====================================  =====================================================================

A clip is called ``<actor>_<sentence>_<emotion>_<level>``, such as ``1001_DFA_ANG_XX``. The emotion that was
acted is the primary target, so that a name tells it, and ids are digests: a search knows those of a closed
test split, too. There is no published split by actor: actors are dealt to train, valid and test by digests of
their numbers, seven, one and two tenths of them.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import SPLITS, Features, SplitName
from mmsa.data.known_targets import ACTED, GENDER, VOTES
from mmsa.data.readers.base import FileConfig, pseudonym
from mmsa.data.readers.columns import Column, Columns, ColumnsReader, InputName, Labels, ragged
from mmsa.data.readers.delimited import needed, read_texts
from mmsa.data.readers.npy import array_in
from mmsa.data.readers.settings import CremaConfig
from mmsa.data.target_spec import TargetSpec
from mmsa.data.validation import first_few
from mmsa.errors import DataError, shown

logger = logging.getLogger("mmsa.data")

_TABLES = ("summaryTable.csv", "processedResults/summaryTable.csv")
_DEMOGRAPHICS = "VideoDemographics.csv"
_CLIP = re.compile(r"([0-9]+)_([A-Z]{3})_([A-Z]{3})_([A-Z]{2})")
_CODES = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")  # in the order of the classes
_LETTERS = "ADFHNS"
# All names are published, so no key could hide whose digest it is; and a clip shall have one id with whatever
# features.
_KEY = b"crema_d"
_VOTE_COLUMNS = dict(
    zip((vote.name for vote in VOTES), ("VoiceVote", "FaceVote", "MultiModalVote"), strict=True)
)
_GENDERS = {"female": 0.0, "male": 1.0}
_INPUTS: tuple[InputName, ...] = ("audio", "vision")


def split_of_actor(actor: str) -> SplitName:
    """The split that an actor is dealt to, the same wherever and whenever that is asked."""
    place = int.from_bytes(hashlib.sha256(f"crema_d/{actor}".encode()).digest()[:8], "big") % 10
    return "train" if place < 7 else "valid" if place == 7 else "test"


class CremaReader(ColumnsReader):
    """Reader of the layout above."""

    Config: ClassVar[type[FileConfig]] = CremaConfig

    config: Any

    def named_targets(self) -> Sequence[TargetSpec]:
        """The emotion that was acted, those that were perceived, and gender where the table is there."""
        return (ACTED, *VOTES, *((GENDER,) if (self.path / _DEMOGRAPHICS).is_file() else ()))

    def columns(self) -> Mapping[SplitName, Columns]:
        """The columns of each split."""
        homes = [split_of_actor(actor) for actor, *_ in self._clips]
        rows = {split: [row for row, home in enumerate(homes) if home == split] for split in SPLITS}
        return {split: self._columns_of(split, chosen) for split, chosen in rows.items() if chosen}

    @cached_property
    def _file(self) -> Path:
        file = next((self.path / name for name in _TABLES if (self.path / name).is_file()), None)
        if file is None:
            raise DataError(f"{self.path}: has no summaryTable.csv, neither here nor in processedResults/")
        return file

    @cached_property
    def _table(self) -> Mapping[str, list[str]]:
        return read_texts(self._file)

    @cached_property
    def _names(self) -> list[str]:
        return needed(self._table, self._file, "FileName")

    @cached_property
    def _clips(self) -> list[tuple[str, str]]:
        """Actor and code of the emotion of each clip.

        Raises:
            DataError: for names of another grammar.
        """
        matches = [_CLIP.fullmatch(name) for name in self._names]
        wrong = [
            name
            for name, match in zip(self._names, matches, strict=True)
            if match is None or match[3] not in _CODES
        ]
        if wrong:
            rule = f"must be <actor>_<sentence>_<emotion>_<level>, with an emotion of {', '.join(_CODES)}"
            raise DataError(f"{self._file}: FileName {first_few(map(shown, wrong))}; {rule}")
        return [(match[1], match[3]) for match in matches if match is not None]

    def _columns_of(self, split: SplitName, rows: Sequence[int]) -> Columns:
        names = [self._names[row] for row in rows]
        actors = np.array([self._clips[row][0] for row in rows], np.str_)
        inputs: dict[InputName, Column] = {}
        for kind in _INPUTS:
            if width := self._widths[kind]:
                source = f"{self.path.name} {split} {kind}"
                inputs[kind] = Column(width, partial(self._frames, names, kind, width, source))
        labels: dict[str, Labels] = {
            ACTED.name: lambda: np.array([_CODES.index(self._clips[row][1]) for row in rows], np.float32),
            GENDER.name: lambda: self._genders(actors),
        }
        for target, name in _VOTE_COLUMNS.items():
            labels[target] = partial(self._votes, rows, name)
        ids = [pseudonym(name, _KEY) for name in names] if self.config.pseudonyms else names
        return Columns(np.array(ids, np.str_), actors, labels, inputs)

    @cached_property
    def _widths(self) -> Mapping[InputName, int]:
        """Columns of the frames of each modality; 0 where no clip has any."""
        found: dict[InputName, int] = {}
        for kind in _INPUTS:
            files = (self._place(name, kind) for name in self._names)
            first = next((file for file in files if file.is_file()), None)
            shape = (0,) if first is None else array_in(first).shape
            found[kind] = int(shape[-1]) if shape else 0
        return found

    def _place(self, name: str, kind: InputName) -> Path:
        return self.path / kind / f"{name}.npy"

    def _frames(self, names: Sequence[str], kind: InputName, width: int, source: str) -> Features:
        rows = []
        for name in names:
            file = self._place(name, kind)
            frames = np.atleast_2d(array_in(file)) if file.is_file() else np.empty((0, width), np.float32)
            if frames.ndim != 2 or frames.shape[1] != width:
                raise DataError(f"{file}: shape {frames.shape}; must be (T, {width}) or ({width},)")
            rows.append(frames)
        return ragged(rows, width, source)

    def _votes(self, rows: Sequence[int], name: str) -> NDArray[np.float32]:
        """(N,) the class that most people voted for; NaN for a tie.

        Raises:
            DataError: for what is neither a letter of an emotion nor several of them.
        """
        cells = [needed(self._table, self._file, name)[row] for row in rows]
        wrong = sorted({cell for cell in cells if cell and not set(cell.split(":")) <= set(_LETTERS)})
        if wrong:
            rule = f"must be a letter of {', '.join(_LETTERS)}, or such letters with a colon between"
            raise DataError(f"{self._file}: {name} is {first_few(map(shown, wrong))}; {rule}")
        votes = [_LETTERS.index(cell) if len(cell) == 1 else np.nan for cell in cells]
        ties = int(np.isnan(votes).sum())
        if ties:
            logger.info("%s: %s of %d clips is a tie, which is a missing value", self._file.name, name, ties)
        return np.array(votes, np.float32)

    def _genders(self, actors: NDArray[np.str_]) -> NDArray[np.float32]:
        file = self.path / _DEMOGRAPHICS
        table = read_texts(file)
        told = dict(zip(needed(table, file, "ActorID"), needed(table, file, "Sex"), strict=True))
        return np.array(
            [_GENDERS.get(told.get(actor, "").lower(), np.nan) for actor in actors.tolist()], np.float32
        )
