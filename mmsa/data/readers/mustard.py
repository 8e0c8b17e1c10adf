"""Reader of MUStARD: whether an utterance of a series is sarcastic.

=========================================  =================================================================
file, in the folder or in its ``data/``    content
=========================================  =================================================================
sarcasm_data.json                          {id: utterance, speaker, context, context_speakers, show, sarcasm}
split_indices.p                            five folds of (train, test), each positions in that order
audio_features.p                           {id: (283, T) frames}, a pickle of Python 2
features/utterances_final/                 {id: (T, 2048) frames}
resnet_pool5.hdf5
=========================================  =================================================================

There is no split, only folds, and they share speakers. All rows are train, to be dealt to folds by speaker;
or ``data.split`` names a fold by its number, whose test rows are test. Text is the utterance, and with
``data.context`` what was said before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Features, SplitName, Strings
from mmsa.data.known_targets import SARCASM
from mmsa.data.readers.arrays import numbers
from mmsa.data.readers.base import FileConfig, json_table, strings
from mmsa.data.readers.columns import Column, Columns, ColumnsReader, InputName, Labels, ragged
from mmsa.data.readers.hdf5 import array_of, members, opened_hdf5
from mmsa.data.readers.settings import MustardConfig
from mmsa.data.target_spec import TargetSpec
from mmsa.data.unpickling import load
from mmsa.data.validation import first_few, raise_data_error
from mmsa.errors import DataError, Problem, shown

TABLE, SPLITS_FILE = "sarcasm_data.json", "split_indices.p"
AUDIO, VISION = "audio_features.p", "features/utterances_final/resnet_pool5.hdf5"


class MustardReader(ColumnsReader):
    """Reader of the layout above."""

    Config: ClassVar[type[FileConfig]] = MustardConfig

    config: Any

    def named_targets(self) -> Sequence[TargetSpec]:
        """Whether it is sarcastic."""
        return (SARCASM,)

    def columns(self) -> Mapping[SplitName, Columns]:
        """The columns of train, and of test where a fold says what that is."""
        everything = np.arange(len(self._table))
        if self.config.split is None:
            return {"train": self._columns_of("train", everything)}
        train, test = self._fold(self.config.split)
        return {"train": self._columns_of("train", train), "test": self._columns_of("test", test)}

    def _file(self, name: str) -> Path | None:
        places = (self.path / name, self.path / "data" / name)
        return next((place for place in places if place.is_file()), None)

    @cached_property
    def _table(self) -> Mapping[str, Mapping[str, Any]]:
        """What the json file has of each id, in its order.

        Raises:
            DataError: for a file that is missing, damaged, or holds anything else.
        """
        file = self._file(TABLE)
        if file is None:
            raise DataError(f"{self.path}: has no {TABLE}, neither here nor in data/")
        content = json_table(file)
        if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
            raise DataError(f"{file}: must be an object by id, each with utterance, speaker and sarcasm")
        wanted = {"utterance": str, "speaker": str, "sarcasm": bool}
        wrong = [
            f"{key}: {name} is {shown(entry.get(name), 40)}"
            for key, entry in content.items()
            for name, kind in wanted.items()
            if not isinstance(entry.get(name), kind)
        ]
        if wrong:
            rule = "utterance and speaker must be text, and sarcasm true or false"
            raise DataError(f"{file}: {first_few(wrong)}; {rule}")
        return content

    @cached_property
    def _folds(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Positions of train and test of each fold.

        Raises:
            DataError: for anything but pairs of lists of positions.
        """
        file = self._file(SPLITS_FILE)
        if file is None:
            raise DataError(f"{self.path}: has no {SPLITS_FILE}; deal folds with data.folds instead")
        content = load(file)
        if not isinstance(content, (list, tuple)) or not all(
            isinstance(fold, (list, tuple)) and len(fold) == 2 for fold in content
        ):
            raise DataError(f"{file}: {shown(content, 40)}; must be pairs of train and test")
        return [(self._positions(train, file), self._positions(test, file)) for train, test in content]

    def _positions(self, found: Any, file: Path) -> NDArray[np.int64]:
        places = numbers(found, f"{file}: positions", 1)
        inside = np.isin(places, np.arange(len(self._table)))
        if not inside.all() or len(np.unique(places)) != len(places):
            raise DataError(f"{file}: positions must be different whole numbers below {len(self._table)}")
        return np.sort(places.astype(np.int64))

    def _fold(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        known = [str(number) for number in range(len(self._folds))]
        if name not in known:
            rule = f"must be the number of a fold of {SPLITS_FILE}, {first_few(known)}"
            raise_data_error(str(self.path), [Problem("data.split", name, rule)])
        return self._folds[known.index(name)]

    def _columns_of(self, split: SplitName, rows: NDArray[np.int64]) -> Columns:
        keys = list(self._table)
        chosen = [keys[row] for row in rows]
        entries = [self._table[key] for key in chosen]
        source = f"{self.path.name} {split}"
        ids = strings(chosen, f"{source} ids")
        groups = strings([entry["speaker"] for entry in entries], f"{source} speakers")
        inputs: dict[InputName, Column] = {"strings": Column(None, partial(self._texts, entries, source))}
        for name, frames in self._frames.items():
            width = next((values.shape[1] for values in frames.values()), 0)
            inputs[name] = Column(width, partial(self._read, name, chosen, width, source))
        labels: Mapping[str, Labels] = {
            SARCASM.name: lambda: np.array([entry["sarcasm"] for entry in entries], np.float32)
        }
        return Columns(
            ids, groups if self.config.by_speaker else ids, labels, inputs, folds=self._shipped(rows)
        )

    def _shipped(self, rows: NDArray[np.int64]) -> Callable[[], NDArray[np.int8]] | None:
        if self.config.folds is None or self.config.folds.array is None:
            return None

        def read() -> NDArray[np.int8]:
            codes_NF = np.full((len(self._table), len(self._folds)), -1, np.int8)
            for number, (train, test) in enumerate(self._folds):
                codes_NF[train, number], codes_NF[test, number] = 0, 1
            return codes_NF[rows]

        return read

    def _texts(self, entries: Sequence[Mapping[str, Any]], source: str) -> Strings:
        texts = []
        for entry in entries:
            before = entry.get("context", ()) if self.config.context else ()
            texts.append(" ".join([*strings(list(before), f"{source} context"), entry["utterance"]]))
        return Strings(strings(texts, f"{source} utterances"))

    @cached_property
    def _frames(self) -> Mapping[InputName, Mapping[str, NDArray[Any]]]:
        """Frames (T, D) of each id, of the modalities that are used and there."""
        readers: Mapping[InputName, tuple[str, Callable[[Path], Mapping[str, NDArray[Any]]]]] = {
            "audio": (AUDIO, _sounds),
            "vision": (VISION, _faces),
        }
        found: dict[InputName, Mapping[str, NDArray[Any]]] = {}
        for name, (place, read) in readers.items():
            file = self._file(place)
            if name in self.config.modalities and file is not None:
                found[name] = read(file)
        return found

    def _read(self, name: InputName, keys: Sequence[str], width: int, source: str) -> Features:
        frames = self._frames[name]
        rows = [frames[key] if key in frames else np.empty((0, width), np.float32) for key in keys]
        wrong = [key for key, row in zip(keys, rows, strict=True) if row.shape[1] != width]
        if wrong:
            raise DataError(f"{source} {name} of {first_few(wrong)}: another number of columns than {width}")
        return ragged(rows, width, f"{source} {name}")


def _sounds(file: Path) -> Mapping[str, NDArray[Any]]:
    """Frames of a pickle of arrays (D, T); where only the second axis is as long in all, they are (T, D)."""
    content = load(file)
    if not isinstance(content, dict):
        raise DataError(f"{file}: holds a {type(content).__name__}; must be a dict of arrays by id")
    arrays = {str(key): numbers(values, f"{file}: {shown(key, 40)}", 2) for key, values in content.items()}
    of_axis = [{values.shape[axis] for values in arrays.values()} for axis in (0, 1)]
    turned = len(of_axis[0]) == 1 or len(of_axis[1]) != 1
    return {key: values.T if turned else values for key, values in arrays.items()}


def _faces(file: Path) -> Mapping[str, NDArray[Any]]:
    with opened_hdf5(file) as content:
        found = {key: array_of(node, f"{file}: {key}") for key, node in members(content, str(file)).items()}
    wrong = [key for key, values in found.items() if values.ndim != 2]
    if wrong:
        raise DataError(f"{file}: {first_few(wrong)}: must be frames (T, D)")
    return found
