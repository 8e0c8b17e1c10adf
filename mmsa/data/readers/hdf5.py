"""HDF5 files, read with care: what links or points out of a file is refused, and only arrays are read.

h5py is an extra, since only few layouts need it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.errors import DataError, shown

INSTALL = "pip install 'mmsa[hdf5]'"
_FILTERS = (None, "gzip", "lzf")
_DAMAGE = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, UnicodeError)


@contextmanager
def opened_hdf5(path: Path) -> Iterator[Mapping[str, Any]]:
    """The root group of a file.

    Raises:
        DataError: for a file that is damaged, and where h5py is not installed.
    """
    try:
        h5py: Any = importlib.import_module("h5py")
    except ImportError:
        raise DataError(
            f"{path}: is an HDF5 file, which is read by h5py, and h5py is not installed: {INSTALL}"
        ) from None
    try:
        file = h5py.File(path, "r")
    except _DAMAGE as error:
        raise DataError(f"{path}: is no HDF5 file, or is damaged: {shown(str(error), 200)}") from None
    try:
        yield file
    except _DAMAGE as error:
        raise DataError(f"{path}: is damaged: {shown(str(error), 200)}") from None
    finally:
        file.close()


def members(group: Any, what: str) -> Mapping[str, Any]:
    """What lies in a group, by name; nothing that only points somewhere else.

    Raises:
        DataError: for a dataset in the place of a group, and for links.
    """
    if not hasattr(group, "keys"):
        raise DataError(f"{what}: is an array; must be a group")
    names = list(group.keys())
    links = [name for name in names if type(group.get(name, getlink=True)).__name__ != "HardLink"]
    if links:
        raise DataError(f"{what}: {shown(links[0], 60)} is a link; arrays must lie in the file itself")
    return {name: group[name] for name in names}


def array_of(node: Any, what: str, kinds: str = "biuf") -> NDArray[Any]:
    """The array of a dataset.

    Args:
        node: of the file.
        what: for messages.
        kinds: of dtypes that are accepted.

    Raises:
        DataError: for a group, an array of another type, or one that lies in another file.
    """
    dtype = getattr(node, "dtype", None)
    if dtype is None:
        raise DataError(f"{what}: is a group; must be an array")
    if node.external or node.is_virtual or node.compression not in _FILTERS:
        raise DataError(f"{what}: lies in another file, or is packed by a filter that is not gzip or lzf")
    if dtype.kind not in kinds or (dtype.kind == "O" and "O" not in kinds):
        raise DataError(f"{what}: is of type {dtype}; must be {'numbers' if 'f' in kinds else 'text'}")
    return np.asarray(node[()])
