"""The npz layout: an array for each column, all rows of all splits in one file, and arrays naming the split.

==============  ==========================  =========================================================
array           shape                       meaning
==============  ==========================  =========================================================
id              (N,) str                    unique names; without it the row number
video_id        (N,) str                    groups; without it each row is a group of its own
raw_text        (N,) str                    strings
text            like audio, or (N,) str     features, or strings where there is no raw_text
audio, vision   (N, D) or (N, T, D)         one vector a row, or zero-padded frames
                (sum of length, D)          frames of all rows one after the other, if there is a length
length          (N,) int                    frames of each row
label           (N,) float                  or, where ``data.target`` names one of several:
labels          (N, K) float                K ratings of each row
label_names     (K,) str                    what they rate
split..., fold  (N,) str                    train, valid (val, dev) or test; any array data.split names
==============  ==========================  =========================================================
"""

from __future__ import annotations

import logging
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mmsa.data.corpus import SPLITS, Features, ModalityName, Outline, Split, SplitName, Strings
from mmsa.data.hazards import finite, refuse, some
from mmsa.data.published import identify
from mmsa.data.readers.base import HOW_TO_SPLIT, Reader, assemble, frames, label_column, split_of, strings
from mmsa.errors import DataError, Problem, did_you_mean

logger = logging.getLogger("mmsa.data")

_STRINGS = "US"  # kinds of dtype
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class Header(NamedTuple):
    """What an array says of itself before its content."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class NpzFile:
    """The arrays of an npz file; chosen rows are read, the others are passed over in the stream."""

    def __init__(self, path: Path):
        try:
            self._archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: is not an npz file, or is damaged: {error}") from None
        self.path = path
        self.names = [name.removesuffix(".npy") for name in self._archive.namelist()]

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def rows(self, name: str, chosen_N: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """The rows of array ``name`` where ``chosen_N`` is True, or all of them.

        Raises:
            DataError: for a damaged array, one that needs pickle, or one with another number of rows.
        """
        try:
            with self._archive.open(f"{name}.npy") as stream:
                return self._read(stream, self._archive.getinfo(f"{name}.npy").file_size, chosen_N)
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{self.path}: array {name!r} cannot be read: {error}") from None

    def header(self, name: str) -> Header:
        """What array ``name`` says of itself.

        Raises:
            DataError: for an array that is damaged or not there.
        """
        try:
            with self._archive.open(f"{name}.npy") as stream:
                shape, _, dtype = self._header(stream)
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{self.path}: array {name!r} cannot be read: {error}") from None
        return Header(shape, dtype)

    @staticmethod
    def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
        version = npy.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"its format {version} is only written for structured arrays")
        return _HEADERS[version](stream)

    def _read(self, stream: IO[bytes], size: int, chosen_N: NDArray[np.bool_] | None) -> NDArray[Any]:
        shape, fortran, dtype = self._header(stream)
        if dtype.hasobject:
            raise ValueError("it holds Python objects; save strings as str_ arrays and ragged rows flattened")
        if fortran and len(shape) > 1:
            raise ValueError("it is in Fortran order; save np.ascontiguousarray of it")
        if chosen_N is None:
            chosen_N = np.ones(shape[0] if shape else 0, np.bool_)
        if shape[:1] != chosen_N.shape:
            raise ValueError(f"its shape is {shape}, but there are {len(chosen_N)} rows")
        start, row_bytes = stream.tell(), dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
        if start + row_bytes * len(chosen_N) != size:
            raise ValueError(f"it has {size - start} bytes, not {row_bytes * len(chosen_N)}")
        content = bytearray()
        for first, end in _runs(chosen_N):
            stream.seek(start + first * row_bytes)
            content += stream.read((end - first) * row_bytes)
        stream.seek(size)  # a compressed array is checked against its checksum when its end is reached
        return np.frombuffer(content, dtype).reshape(int(chosen_N.sum()), *shape[1:])


def _runs(chosen_N: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(R, 2) first and end positions of the runs of True."""
    edges = np.diff(np.concatenate([[False], chosen_N, [False]]).astype(np.int8))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)


class NpzReader(Reader):
    """Reads the layout above."""

    def read(self, splits: Sequence[SplitName]) -> dict[SplitName, Split]:
        """The named splits."""
        with closing(NpzFile(self.path)) as file:
            self._check_names(file)
            names_N = self._split_names(file)
            homes_N = np.array([split_of(name) for name in names_N])
            _report_homeless(names_N[homes_N == ""], f"{self.path.name} {self._split_column(file)}")
            return {split: self._split(file, split, homes_N == split, names_N) for split in splits}

    def outlines(self) -> dict[SplitName, Outline]:
        """Ids and groups of each split; widths are those of the arrays, which all splits share."""
        with closing(NpzFile(self.path)) as file:
            homes_N = np.array([split_of(name) for name in self._split_names(file)])
            ids, groups = _ids_and_groups(file, np.ones(len(homes_N), np.bool_))
            widths = {name: self._width(file, name) for name in self.config.modalities}
            origin = "" if "id" in file.names else identify(self.path)[0]
            return {
                split: Outline(ids[homes_N == split], groups[homes_N == split], widths, origin)
                for split in SPLITS
                if split in homes_N
            }

    def _width(self, file: NpzFile, modality: ModalityName) -> int | None:
        header = file.header(self._array_of(file, modality))
        return None if header.dtype.kind in _STRINGS else header.shape[-1]

    def _check_names(self, file: NpzFile) -> None:
        rated = self.config.target is None and "labels" in file.names
        advice = {"label": "Name one of `label_names` in data.target."} if rated else {}
        if "text" in file.names:
            advice["raw_text"] = "The array 'text' holds features; set data.text: features."
        needed = {"label"} if self.config.target is None else {"labels", "label_names"}
        needed |= {self._array_of(file, name) for name in self.config.modalities}
        refuse(
            str(self.path),
            [
                Problem("array", name, "is not in the file", advice.get(name, did_you_mean(name, file.names)))
                for name in sorted(needed - set(file.names))
            ],
        )

    def _array_of(self, file: NpzFile, modality: ModalityName) -> str:
        if modality != "text":
            return modality
        if self.config.text == "tokens":
            raise DataError(f"{self.path}: an npz file has no tokens; use data.text: strings")
        if self.config.text == "features":
            return "text"
        if "raw_text" in file.names or "text" not in file.names:
            return "raw_text"
        holds_strings = file.header("text").dtype.kind in _STRINGS
        return "text" if self.config.text == "auto" or holds_strings else "raw_text"

    def _split_column(self, file: NpzFile) -> str:
        columns = [name for name in file.names if "split" in name]
        columns = columns or [name for name in file.names if "fold" in name]
        if self.config.split is None and len(columns) == 1:
            return columns[0]
        if self.config.split in file.names:
            return str(self.config.split)
        rule = "must name the array that says which split a row belongs to"
        advice = did_you_mean(str(self.config.split), columns)
        if not columns:
            advice = "No array is called so: add `split`, (N,) of the strings train, valid and test."
        raise DataError(f"{self.path}:\n{Problem('data.split', self.config.split, rule, advice)}")

    def _split_names(self, file: NpzFile) -> NDArray[np.str_]:
        """(N,) what the file calls the split of each row."""
        column = self._split_column(file)
        shape, dtype = file.header(column)
        if dtype.kind not in _STRINGS or len(shape) != 1:
            rule = f"is {dtype} of shape {shape}; must be one string a row: train, valid (val, dev) or test"
            advice = "Fold numbers are no splits: make an array of strings for each way to use the folds."
            raise DataError(f"{self.path}:\n{Problem('data.split', column, rule, advice)}")
        return strings(file.rows(column), column)

    def _split(
        self, file: NpzFile, split: SplitName, chosen_N: NDArray[np.bool_], names_N: NDArray[np.str_]
    ) -> Split:
        if not chosen_N.any():
            found = some(np.unique(names_N).tolist())
            raise DataError(
                f"{self.path}: no row belongs to {split}; {self._split_column(file)} has {found}. "
                f"{HOW_TO_SPLIT[split]}"
            )
        ids, groups = _ids_and_groups(file, chosen_N)
        modalities: dict[str, Any] = {
            name: self._modality(file, name, chosen_N, f"{self.path.name} {split} {name}")
            for name in self.config.modalities
        }
        return assemble(f"{self.path} {split}", ids, groups, self._labels(file, chosen_N), modalities)

    def _labels(self, file: NpzFile, chosen_N: NDArray[np.bool_]) -> NDArray[np.float32]:
        target = self.config.target
        if target is None:
            return label_column(file.rows("label", chosen_N), f"{self.path}: label")
        names = strings(file.rows("label_names"), "label_names").tolist()
        ratings_NK = file.rows("labels", chosen_N)
        if target not in names:
            advice = did_you_mean(target, names)
            raise DataError(f"{self.path}:\n{Problem('data.target', target, 'is not a label here', advice)}")
        if ratings_NK.shape[1:] != (len(names),):
            raise DataError(f"{self.path}: labels have shape {ratings_NK.shape} for {len(names)} label_names")
        return ratings_NK[:, names.index(target)].astype(np.float32)

    def _modality(
        self, file: NpzFile, name: ModalityName, chosen_N: NDArray[np.bool_], source: str
    ) -> Strings | Features:
        array = self._array_of(file, name)
        if array == "raw_text" or (name == "text" and file.header(array).dtype.kind in _STRINGS):
            return Strings(strings(file.rows(array, chosen_N), array))
        if "length" not in file.names:
            return frames(file.rows(array, chosen_N), None, source)
        lengths_N = file.rows("length").astype(np.int64)
        values = file.rows(array, np.repeat(chosen_N, lengths_N)).astype(np.float32)
        offsets = np.concatenate([[0], np.cumsum(lengths_N[chosen_N])]).astype(np.int64)
        return Features(finite(values, source), offsets)


def _ids_and_groups(file: NpzFile, chosen_N: NDArray[np.bool_]) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    ids = np.flatnonzero(chosen_N).astype(np.str_)
    if "id" in file.names:
        ids = strings(file.rows("id", chosen_N), f"{file.path}: id")
    groups = ids
    if "video_id" in file.names:
        groups = strings(file.rows("video_id", chosen_N), f"{file.path}: video_id")
    return ids, groups


def _report_homeless(names: NDArray[np.str_], source: str) -> None:
    if len(names):
        found = some(np.unique(names).tolist())
        logger.warning(
            "%s: %d rows belong to no split and are not used: they say %s", source, len(names), found
        )
