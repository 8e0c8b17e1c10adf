"""Single npy arrays: a header that is checked before anything is believed of it, and rows that are picked.

``numpy.load`` unpickles, trusts headers and evaluates their text. Here a header is parsed by a regular
expression and compared with the bytes there are.

Shapes: N rows.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.pickled_globals import check_characters
from mmsa.errors import DataError, shown

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


def read_header(stream: IO[bytes], end: int) -> Header:
    """Header of the array that begins where ``stream`` stands, at its start, and ends at byte ``end``.

    Raises:
        ValueError: for anything but an array of real numbers or text that has just these bytes.
    """
    if end == stream.tell():
        raise ValueError("it is empty")
    length = int.from_bytes(stream.read(_length_bytes(stream.read(8))), "little")
    if length > _MAX_HEADER:
        raise ValueError(f"its header has {length} bytes; the longest of an array of numbers or text has 200")
    return _parse(stream.read(length).decode("latin1"), stream.tell(), end)


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


def read_rows(stream: IO[bytes], header: Header, chosen_N: NDArray[np.bool_] | None = None) -> NDArray[Any]:
    """Rows of an array where ``chosen_N`` (N,) is True; all rows without it.

    Raises:
        ValueError: for an array whose number of rows is not N, and for characters that do not exist.
    """
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


def array_in(file: Path) -> NDArray[Any]:
    """The array of numbers in an npy file.

    Raises:
        DataError: for anything else.
    """
    try:
        with file.open("rb") as stream:
            header = read_header(stream, file.stat().st_size)
            if not header.holds_numbers:
                raise ValueError(f"it is {header}, not numbers")
            return read_rows(stream, header)
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: is no npy array of numbers, or is damaged: {error}") from None


def _runs(chosen_N: NDArray[np.bool_]) -> NDArray[np.int64]:
    """First and end positions of the runs of True, (R, 2): each run is read in one piece."""
    edges = np.diff(np.concatenate([[False], chosen_N, [False]]).astype(np.int8))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)
