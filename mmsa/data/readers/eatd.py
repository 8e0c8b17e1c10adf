"""Reader of EATD-Corpus: a folder for each student, ``t_<n>`` of train and ``v_<n>`` of valid.

=====================================  =====================================================================
file                                   meaning
=====================================  =====================================================================
positive.txt, negative.txt and         what was answered to three questions, in Chinese
neutral.txt
new_label.txt, or label.txt            the score of the SDS, and the raw one, which is 1/1.25 of it
=====================================  =====================================================================

The recordings beside them hold no features, so a row has text only. There is no test split: the corpus is
searched by valid, or on folds of all rows.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import SplitName, Strings
from mmsa.data.known_targets import DEPRESSED, SDS, SDS_CUT
from mmsa.data.readers.base import FileConfig, pseudonym, strings
from mmsa.data.readers.columns import Column, Columns, ColumnsReader, Labels
from mmsa.data.readers.settings import EatdConfig
from mmsa.data.target_spec import TargetSpec
from mmsa.data.validation import first_few
from mmsa.errors import DataError, Problem, shown

_FOLDER = re.compile(r"(t|v)_[0-9]+")
_ANSWERS = ("positive", "negative", "neutral")
_SPLITS: Mapping[str, SplitName] = {"t": "train", "v": "valid"}
_RAW = 1.25
_LONGEST = 1 << 20  # bytes


class EatdReader(ColumnsReader):
    """Reader of the layout above."""

    Config: ClassVar[type[FileConfig]] = EatdConfig

    config: Any

    def named_targets(self) -> Sequence[TargetSpec]:
        """The score, and whether it counts as depressed."""
        return SDS, DEPRESSED

    def columns(self) -> Mapping[SplitName, Columns]:
        """The columns of both splits."""
        folders = sorted(
            (entry for entry in self.path.iterdir() if entry.is_dir() and _FOLDER.fullmatch(entry.name)),
            key=lambda entry: (entry.name[0], len(entry.name), entry.name),
        )
        by_split = {
            split: [folder for folder in folders if folder.name[0] == letter]
            for letter, split in _SPLITS.items()
        }
        return {split: self._columns_of(split, chosen) for split, chosen in by_split.items() if chosen}

    def _columns_of(self, split: SplitName, folders: Sequence[Path]) -> Columns:
        problems = []
        lost = [folder.name for folder in folders if _label_file(folder) is None]
        if lost:
            rule = f"{len(lost)} of {len(folders)} have neither new_label.txt nor label.txt"
            problems.append(Problem(f"{split} labels", first_few(lost), rule, "Remove such folders."))
        ids = np.array([self._shown(folder.name) for folder in folders], dtype=np.str_)
        text = Column(None, partial(_texts, folders, f"{self.path.name} {split}"))
        labels: Mapping[str, Labels] = {
            SDS.name: partial(_scores, folders),
            DEPRESSED.name: lambda: _is_depressed(_scores(folders)),
        }
        return Columns(ids, ids, labels, {"strings": text}, tuple(problems))

    def _shown(self, name: str) -> str:
        if not self.config.pseudonyms:
            return name
        # Only who has the answers of somebody can tell whose digest it is.
        own = b"".join(_content(self.path / name / f"{answer}.txt") for answer in _ANSWERS)
        return pseudonym(name, hashlib.sha256(own).digest())


def _content(file: Path) -> bytes:
    if not file.is_file():
        return b""
    with file.open("rb") as stream:
        return stream.read(_LONGEST)


def _texts(folders: Sequence[Path], source: str) -> Strings:
    """The answers of each student; a file that is missing is an answer that is."""
    answers = [
        [_content(folder / f"{answer}.txt").decode("utf-8-sig", "replace").strip() for answer in _ANSWERS]
        for folder in folders
    ]
    return Strings(strings([" ".join(filter(None, parts)) for parts in answers], f"{source} answers"))


def _label_file(folder: Path) -> Path | None:
    files = (folder / "new_label.txt", folder / "label.txt")
    return next((file for file in files if file.is_file()), None)


def _scores(folders: Sequence[Path]) -> NDArray[np.float32]:
    """(N,) scores of the SDS.

    Raises:
        DataError: for files that hold no number.
    """
    scores, wrong = [], []
    for folder in folders:
        file = _label_file(folder)
        text = b"" if file is None else _content(file)[:100].strip()
        try:
            score = float(text)
        except ValueError:
            wrong.append(f"{folder.name}: {shown(text.decode('utf-8', 'replace'))}")
            continue
        scores.append(score * (_RAW if file is not None and file.name == "label.txt" else 1.0))
    if wrong:
        raise DataError(f"{folders[0].parent}: labels {first_few(wrong)}; each file must hold one number")
    return np.array(scores, np.float32)


def _is_depressed(scores_N: NDArray[np.float32]) -> NDArray[np.float32]:
    return (scores_N >= SDS_CUT).astype(np.float32)
