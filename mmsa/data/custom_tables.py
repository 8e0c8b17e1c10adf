"""Files of one's own as tables: text, numbers and frames of rows under names.

Shapes: N rows, L frames of all rows, T steps that rows are padded to, D features.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Features
from mmsa.data.readers.base import checked_lengths, frames, strings
from mmsa.data.readers.npy import Header
from mmsa.data.readers.npz_file import NpzFile
from mmsa.data.validation import finite_features, first_few
from mmsa.errors import DataError, did_you_mean, shown

Chosen = NDArray[np.bool_]
Kind = Literal["text", "numbers", "frames"]

LENGTHS = ("{}_length", "{}_lengths", "length", "lengths")
"""Names of arrays with the number of frames of each row of a column, the first that is there is taken."""


class ColumnTable(ABC):
    """Rows with named columns. Nothing of a column is read but what is asked for.

    Attributes:
        path: the file or folder, for messages.
        warning: what the file says to everybody who opens it.
    """

    path: Path
    warning: str = ""

    @property
    @abstractmethod
    def names(self) -> list[str]:
        """Names of the columns that the file lists."""

    @abstractmethod
    def count(self, name: str) -> int:
        """Rows of a column: N, or the steps of frames that lie one after the other."""

    @abstractmethod
    def kind(self, name: str) -> Kind:
        """What a column holds: text, a number a row, or more than one number a row.

        Raises:
            DataError: for a column that is not there, or is neither of these.
        """

    @abstractmethod
    def text(self, name: str, chosen_N: Chosen) -> NDArray[np.str_]:
        """The text of chosen rows."""

    @abstractmethod
    def numbers(self, name: str, chosen_N: Chosen) -> NDArray[Any]:
        """The numbers of chosen rows, (n,) or (n, K); NaN where there is none."""

    def cells(self, name: str, chosen_N: Chosen) -> NDArray[Any]:
        """The text or the numbers of chosen rows, whichever they are."""
        return (self.text if self.kind(name) == "text" else self.numbers)(name, chosen_N)

    @abstractmethod
    def width(self, name: str) -> int:
        """D of a column of frames."""

    @abstractmethod
    def frames(self, name: str, chosen_N: Chosen, source: str) -> Features:
        """The frames of chosen rows."""

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return name in self.names

    def missing(self, name: str) -> DataError:
        """The error for a column that is not there."""
        held = first_few(self.names, 12) or "none"
        return DataError(
            f"{self.path}: has no {shown(name)}; it has {held}. {did_you_mean(name, self.names)}"
        )


class ArrayTable(ColumnTable):
    """Arrays of all rows, of which each has a header.

    Args:
        path: of the file.
        headers: of all arrays.
        read: reads rows of an array.
        lists: columns of text that lie beside the arrays.
    """

    def __init__(
        self,
        path: Path,
        headers: Mapping[str, Header],
        read: Callable[[str, Chosen | None], NDArray[Any]],
        lists: Mapping[str, list[str]],
        warning: str,
    ):
        self.path, self._headers, self._read, self._lists = path, headers, read, lists
        self.warning = warning

    @property
    def names(self) -> list[str]:
        """All arrays, and columns of text."""
        return [*self._lists, *self._headers]

    def count(self, name: str) -> int:
        """The first axis of an array."""
        return len(self._lists[name]) if name in self._lists else (*self._header(name).shape, 0)[0]

    def kind(self, name: str) -> Kind:
        """By the dtype and the number of axes."""
        if name in self._lists:
            return "text"
        header = self._header(name)
        if not header.shape or not (header.holds_text or header.holds_numbers) or len(header.shape) > 3:
            raise DataError(f"{self.path}: array {shown(name)} is {header}, which means nothing here")
        if header.holds_text:
            return "text"
        return "numbers" if len(header.shape) == 1 else "frames"

    def text(self, name: str, chosen_N: Chosen) -> NDArray[np.str_]:
        """An array of str or bytes, or a list beside the arrays."""
        if name in self._lists:
            texts = self._lists[name]
            self._same(name, len(texts), len(chosen_N))
            return strings([texts[row] for row in np.flatnonzero(chosen_N)], f"{self.path}: {name}")
        return strings(self._rows(name, chosen_N), f"{self.path}: {name}")

    def cells(self, name: str, chosen_N: Chosen) -> NDArray[Any]:
        """As of any table, and a matrix of text."""
        rows_NK = None if name in self._lists else self._rows(name, chosen_N)
        if rows_NK is None or rows_NK.ndim < 2 or self.kind(name) != "text":
            return super().cells(name, chosen_N)
        return np.stack([strings(row_K, f"{self.path}: {name}") for row_K in rows_NK])

    def numbers(self, name: str, chosen_N: Chosen) -> NDArray[Any]:
        """An array of numbers."""
        return self._rows(name, chosen_N)

    def width(self, name: str) -> int:
        """The last axis."""
        return self._header(name).shape[-1]

    def frames(self, name: str, chosen_N: Chosen, source: str) -> Features:
        """(N, D), (N, T, D), or (L, D) with lengths that add up to L."""
        header, lengths_N = self._header(name), self._lengths(name, len(chosen_N))
        if len(header.shape) == 1:
            raise no_features(self.path, f"array {shown(name)} is {header}")
        if 0 in header.shape[1:]:
            raise DataError(f"{self.path}: array {shown(name)} is {header}; a row needs at least one number")
        if len(header.shape) == 3:
            padded = self._rows(name, chosen_N)
            if lengths_N is not None:
                kept = checked_lengths(lengths_N[chosen_N], name, len(padded), padded.shape[1], source)
                return frames(padded, kept, source)
            return frames(padded, None, source)
        if header.shape[0] == len(chosen_N):
            return vectors(self._rows(name, chosen_N), source)
        if lengths_N is None:
            wanted = " or ".join(form.format(name) for form in LENGTHS[::2])
            raise DataError(
                f"{self.path}: array {shown(name)} has {header.shape[0]} rows, not {len(chosen_N)}; "
                f"frames of all rows one after the other need {wanted}, the number of frames of each row"
            )
        total = header.shape[0]
        kept_N = checked_lengths(lengths_N, f"lengths of {name}", len(chosen_N), total, source)
        if kept_N.sum() != total:
            raise DataError(
                f"{self.path}: {shown(name)} has {total} frames, and lengths add up to {kept_N.sum()}"
            )
        values = float32(self._read(name, np.repeat(chosen_N, kept_N)))
        return finite_features(values, offsets_of(kept_N[chosen_N]), source)

    def _lengths(self, name: str, rows: int) -> NDArray[Any] | None:
        for form in LENGTHS:
            length = form.format(name)
            if length in self._headers and self._headers[length].shape == (rows,):
                return self._read(length, None)
        return None

    def _rows(self, name: str, chosen_N: Chosen) -> NDArray[Any]:
        self._same(name, self.count(name), len(chosen_N))
        return self._read(name, chosen_N)

    def _same(self, name: str, found: int, rows: int) -> None:
        if found != rows:
            raise DataError(f"{self.path}: {shown(name)} has {found} rows, and there are {rows}")

    def _header(self, name: str) -> Header:
        if name not in self._headers:
            raise self.missing(name)
        return self._headers[name]


def no_features(path: Path, what: str) -> DataError:
    """The error for features that are a single number in each row, or are flattened to one axis."""
    return DataError(
        f"{path}: {what}; features are (N, D), (N, T, D), or (sum of lengths, D), and text is strings. "
        "If it is one number a row, save it as (N, 1)"
    )


def float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """A copy in float32."""
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold becomes inf, and then 0
        converted: NDArray[np.float32] = np.array(values, np.float32)
    return converted


def offsets_of(lengths_N: NDArray[Any]) -> NDArray[np.int64]:
    """(N + 1,) where the frames of each row begin."""
    return np.concatenate([[0], np.cumsum(lengths_N)]).astype(np.int64)


def vectors(values_ND: NDArray[Any], source: str) -> Features:
    """One frame a row; a row of nothing but NaN lacks the modality."""
    floats_ND = float32(values_ND)
    there_N = np.asarray(~np.isnan(floats_ND).all(axis=1))
    offsets = offsets_of(there_N.astype(np.int64))
    return finite_features(np.ascontiguousarray(floats_ND[there_N]), offsets, source)


def open_npz(path: Path) -> ArrayTable:
    """The arrays of an npz file.

    Raises:
        DataError: for a file that is damaged.
    """
    file = NpzFile(path)
    if not file.names:
        raise DataError(
            f"{path}: is a zip file without npy arrays (torch, Excel); save an npz file with np.savez"
        )
    headers = {name: file.header(name) for name in file.names}
    warning = ""
    if "warning" in headers and headers["warning"].holds_text and headers["warning"].shape in ((), (1,)):
        found = file.rows("warning") if headers["warning"].shape else np.array([""])
        warning = str(strings(found, f"{path}: warning")[0])
    return ArrayTable(path, headers, file.rows, {}, warning)


def open_safetensors(path: Path) -> ArrayTable:
    """The tensors of a safetensors file; columns of text are JSON lists in its metadata.

    Raises:
        DataError: for a file that is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        file: Any = safe_open(str(path), framework="np")
        metadata = file.metadata() or {}
        headers = {name: _tensor_header(file.get_slice(name)) for name in file.keys()}  # noqa: SIM118
        lists = {name: _text_list(text) for name, text in metadata.items() if name != "warning"}
    except (SafetensorError, OSError, ValueError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path}: is not a safetensors file, or is damaged: {shown(str(error), 300)}"
        ) from None

    def read(name: str, chosen_N: Chosen | None) -> NDArray[Any]:
        try:
            values: NDArray[Any] = file.get_tensor(name)
        except (SafetensorError, OSError, ValueError, TypeError) as error:
            raise DataError(f"{path}: {shown(name)} cannot be read: {shown(str(error), 300)}") from None
        return values if chosen_N is None else values[chosen_N]

    known = {name: texts for name, texts in lists.items() if texts is not None}
    return ArrayTable(path, headers, read, known, str(metadata.get("warning", "")))


_TENSOR_TYPES = {"BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4"}
_TENSOR_TYPES |= {"U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8"}


def _tensor_header(piece: Any) -> Header:
    kind = piece.get_dtype()
    if kind not in _TENSOR_TYPES:
        raise ValueError(f"a tensor is of type {kind}; save it as F32")
    return Header(tuple(piece.get_shape()), np.dtype(_TENSOR_TYPES[kind]), 0, 0)


def _text_list(text: str) -> list[str] | None:
    """A column of text; None for other metadata, such as the name of the program that wrote the file."""
    if not text.startswith("["):
        return None
    values = json.loads(text)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("a list in the metadata holds something else than strings")
    return values
