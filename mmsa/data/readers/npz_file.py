"""The npz format: a zip archive of npy arrays, read without trusting what it says of itself.

``numpy.load`` unpickles, trusts headers and inflates without a limit. Here a header is checked against the
size of its entry (``mmsa.data.readers.npy``), and paid for from a budget of memory before anything is read.

Shapes: N rows.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data import budget
from mmsa.data.readers.npy import Header, read_header, read_rows
from mmsa.data.unpickling import DAMAGE
from mmsa.errors import DataError, shown

_DAMAGE = (*DAMAGE, OSError, RuntimeError, zipfile.BadZipFile, zlib.error)
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what numpy writes
_ENCRYPTED = 1  # a flag of a zip entry


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
        array: NDArray[Any] = self._reading(name, lambda stream, _: read_rows(stream, header, chosen_N))
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
        header = read_header(stream, entry.file_size)
        # Paid once per array, before its content is read: many arrays, each within bounds, add up.
        self._budget.spend(entry.file_size)
        return header


def _reason(error: BaseException) -> str:
    return str(error)[:500] or type(error).__name__
