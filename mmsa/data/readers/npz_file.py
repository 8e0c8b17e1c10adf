"""The npz format: a zip archive of npy arrays, read without trusting what it says of itself.

``numpy.load`` unpickles, trusts headers and inflates without a limit. Here a header is parsed by a regular
expression, compared with the size of its entry, and paid for from a budget of memory before anything is read.

Shapes: N rows.
"""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data import budget
from mmsa.data.pickled_globals import check_characters
from mmsa.data.unpickling import DAMAGE
from mmsa.errors import DataError, shown

_DAMAGE = (*DAMAGE, OSError, RuntimeError, zipfile.BadZipFile, zlib.error)
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what numpy writes
_ENCRYPTED = 1  # a flag of a zip entry
_LENGTH_BYTES = {b"\x93NUMPY\x01\x00": 2, b"\x93NUMPY\x02\x00": 4, b"\x93NUMPY\x03\x00": 4}
_MAX_HEADER = 10_000  # bytes; numpy refuses longer ones too
_HEADER = re.compile(
    r"""\{(?:(?:
        (?P<q>['"])descr(?P=q):(?P<p>['"])(?P<descr>[^'"]{1,40})(?P=p)
        |['"]fortran_order['"]:(?P<fortran>True|False)
        |['"]shape['"]:\((?P<shape>(?:[0-9]{1,18}L?,?){0,64})\)
    ),?){3}\}""",
    re.VERBOSE,
)
_READ_TYPE = re.compile(r"[|<>=]?(b1|[iu][1248]|f(2|4|8|16)|[SU][0-9]{1,7})")


@dataclass(frozen=True)
class Header:
    """What an array says of itself before its content.

    Attributes:
        shape: of the array.
        dtype: real numbers, str or bytes.
        start: where in the entry the content begins, in bytes.
        end: where the entry ends, in bytes.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int
    end: int

    def __str__(self) -> str:
        kind = {"U": "text", "S": "bytes"}.get(self.dtype.kind, self.dtype.name)
        return f"{kind} of shape {self.shape}"

    @property
    def holds_text(self) -> bool:
        """Whether its items are str or bytes."""
        return self.dtype.kind in "US"

    @property
    def holds_numbers(self) -> bool:
        """Whether its items are real numbers, bool included."""
        return self.dtype.kind in "biuf"

    @property
    def row_bytes(self) -> int:
        """Size of one row, an item of the first axis, in bytes."""
        return (self.end - self.start) // self.shape[0]


class NpzFile:
    """The arrays of an npz file, of which single rows can be read.

    An array is read only if its header fits its entry, and a file may inflate to a size in proportion to its
    own only. In a compressed entry, rows that are not wanted are inflated and dropped, never kept.

    Raises:
        DataError: for a file that is not a zip archive.
    """

    def __init__(self, path: Path):
        try:
            self._archive = zipfile.ZipFile(path)
            self._budget = budget.for_inflation(path.stat().st_size)
        except _DAMAGE as error:
            raise DataError(f"{path}: is not an npz file, or is damaged: {_reason(error)}") from None
        self.path = path
        entries = (name for name in self._archive.namelist() if name.endswith(".npy"))
        self.names = [name.removesuffix(".npy") for name in entries]
        self._headers: dict[str, Header] = {}

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def header(self, name: str) -> Header:
        """Header of the array ``name``.

        Raises:
            DataError: for an array that is damaged, too large, or of anything but real numbers and text.
        """
        if name not in self._headers:
            self._headers[name] = self._reading(name, self._read_header)
        return self._headers[name]

    def rows(self, name: str, chosen_N: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """Rows of the array ``name`` where ``chosen_N`` (N,) is True; all rows without it.

        Raises:
            DataError: as ``header``, and for an array whose number of rows is not N.
        """
        header = self.header(name)
        array: NDArray[Any] = self._reading(name, lambda stream, _: _read_rows(stream, header, chosen_N))
        return array

    def _reading(self, name: str, read: Callable[[IO[bytes], zipfile.ZipInfo], Any]) -> Any:
        try:
            entry = self._archive.getinfo(f"{name}.npy")
            if entry.compress_type not in _PACKINGS or entry.flag_bits & _ENCRYPTED:
                raise ValueError("it is encrypted or packed as numpy packs nothing; save it with np.savez")
            with self._archive.open(entry) as stream:
                return read(stream, entry)
        except _DAMAGE as error:
            raise DataError(f"{self.path}: array {shown(name)} cannot be read: {_reason(error)}") from None

    def _read_header(self, stream: IO[bytes], entry: zipfile.ZipInfo) -> Header:
        length = int.from_bytes(stream.read(_length_bytes(stream.read(8))), "little")
        if length > _MAX_HEADER:
            raise ValueError(
                f"its header has {length} bytes; the longest of an array of numbers or text has 200"
            )
        header = _parse(stream.read(length).decode("latin1"), stream.tell(), entry.file_size)
        # Paid once per array, before its content is read: many arrays, each within bounds, add up.
        self._budget.spend(entry.file_size)
        return header


def _reason(error: BaseException) -> str:
    return str(error)[:500] or type(error).__name__


def _length_bytes(magic: bytes) -> int:
    if magic not in _LENGTH_BYTES:
        raise ValueError(f"it begins with {shown(magic)}, as no array of numpy does")
    return _LENGTH_BYTES[magic]


def _parse(text: str, start: int, end: int) -> Header:
    found = _HEADER.fullmatch("".join(text.split()))
    if found is None or None in (found["descr"], found["fortran"], found["shape"]):
        raise ValueError(f"its header is damaged, or that of a structured array: {shown(text.strip())}")
    shape = tuple(int(size.rstrip("L")) for size in found["shape"].split(",") if size)
    descr = found["descr"]
    if descr.lstrip("|<>=").startswith("O"):
        raise ValueError("it holds Python objects; save strings as str_ arrays and ragged rows flattened")
    if not _READ_TYPE.fullmatch(descr):
        raise ValueError(f"its type is {shown(descr)}; only real numbers and text are read")
    if found["fortran"] == "True" and len(shape) > 1:
        raise ValueError("it is in Fortran order; save np.ascontiguousarray of it")
    dtype = np.dtype(descr)
    size = dtype.itemsize * math.prod(shape)
    if start + size != end:
        raise ValueError(f"it has {end - start} bytes, not {size} as its shape {shape} says")
    return Header(shape, dtype, start, end)


def _read_rows(stream: IO[bytes], header: Header, chosen_N: NDArray[np.bool_] | None) -> NDArray[Any]:
    shape = header.shape
    if chosen_N is None:
        chosen_N = np.ones(shape[0] if shape else 0, np.bool_)
    if shape[:1] != chosen_N.shape:
        raise ValueError(f"its shape is {shape}, but there are {len(chosen_N)} rows")
    content = bytearray()
    for first, end in _runs(chosen_N):
        stream.seek(header.start + first * header.row_bytes)
        content += stream.read((end - first) * header.row_bytes)
    stream.seek(header.end)  # a compressed array is checked against its checksum when its end is reached
    array = np.frombuffer(content, header.dtype)
    if header.dtype.kind == "U":
        check_characters(array)
    return array.reshape(int(chosen_N.sum()), *shape[1:])


def _runs(chosen_N: NDArray[np.bool_]) -> NDArray[np.int64]:
    """First and end positions of the runs of True, (R, 2): each run is read in one piece."""
    edges = np.diff(np.concatenate([[False], chosen_N, [False]]).astype(np.int8))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)
