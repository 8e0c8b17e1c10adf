"""Every global that a pickle read by ``mmsa.data.unpickling`` may name, and what stands for it.

Nothing of numpy that takes a pickled state is called: dtypes and arrays are described by plain objects first,
and built from checked parts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.errors import UnsafePickle

_DTYPE = re.compile(r"[|<>=]?(b1|[iu][1248]|f[248]|c8|c16|[SU]\d+|O8?)")
_KEYS = (str, bytes, int, float, type(None), np.generic)  # nested tuples as keys could take for ever to hash


class DTypeDescription:
    """A dtype being described: numpy pickles its letter code first, and its byte order as a state."""

    def __init__(self, code: object, *flags: object):
        if not isinstance(code, str) or not _DTYPE.fullmatch(code):
            raise UnsafePickle(
                f"asks for arrays of type {code!r}; only numbers, strings and objects are read"
            )
        self.dtype: np.dtype[Any] = np.dtype(code)

    def build(self, state: Any) -> DTypeDescription:
        """Take the byte order from ``(version, order, subarray, names, fields, ...)``."""
        _, order, subarray, names, fields = state[:5]
        if (subarray, names, fields) != (None, None, None) or order not in ("<", ">", "|", "="):
            raise UnsafePickle("asks for structured arrays; only numbers, strings and objects are read")
        self.dtype = self.dtype.newbyteorder("<" if order == "=" else order)
        return self


class ArrayDescription:
    """An array being described: numpy pickles an empty one first, and its content as a state."""

    def __init__(self, *arguments: object):
        self.memo_keys: list[int] = []

    def build(self, state: Any) -> NDArray[Any]:
        """The array of ``(version, shape, dtype, is Fortran order, content)``."""
        _, shape, dtype, fortran, content = state
        return _array(content, dtype, shape, "F" if fortran else "C")


class _Name:
    """A global that is only ever an argument, such as ``numpy.ndarray``."""


def _array(content: Any, dtype: Any, shape: Any, order: str, *axis_order: object) -> NDArray[Any]:
    if not isinstance(dtype, DTypeDescription) or not all(
        isinstance(size, int) and size >= 0 for size in shape
    ):
        raise ValueError(f"an array of type {dtype!r} and shape {shape!r}")
    if dtype.dtype.hasobject:
        return _object_array(content, shape, order)
    raw = content.encode("latin1") if isinstance(content, str) else content
    if not isinstance(raw, (bytes, memoryview)):
        raise ValueError(f"an array with a {type(raw).__name__} as its content")
    if math.prod(shape) == 0:
        return np.zeros(shape, dtype.dtype)
    return np.frombuffer(raw, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")


def _object_array(content: Any, shape: Any, order: str) -> NDArray[Any]:
    if not isinstance(content, list) or len(content) != math.prod(shape):
        raise ValueError(f"the content of an array does not fill its shape {shape!r}")
    array = np.empty(len(content), dtype=object)
    array[:] = [None] * len(content)
    for position, item in enumerate(content):
        array[position] = item
    return array.reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: Any, content: Any) -> Any:
    return _array(content, dtype, (1,), "C")[0]


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise UnsafePickle(f"asks for the codec {encoding!r}")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    """How Python 3 writes ``b""`` in the protocols of Python 2."""
    return b""


def new_dict(*arguments: Any) -> dict[Any, Any]:
    """``dict``, ``OrderedDict(pairs)`` and ``defaultdict(factory)``, whose factory is left out."""
    pairs = [pair for argument in arguments if isinstance(argument, list) for pair in argument]
    return {_key(key): value for key, value in pairs}


def new_set(items: Iterable[Any] = ()) -> set[Any]:
    """``set`` and ``frozenset``."""
    return {_key(item) for item in items}


def _key(key: Any) -> Any:
    if not isinstance(key, _KEYS):
        raise ValueError(f"a key of type {type(key).__name__}")
    return key


def _allowed() -> dict[tuple[str, str], Any]:
    """Every global a pickle may name, and what stands for it."""
    allowed: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): _Name(),
        ("numpy", "dtype"): DTypeDescription,
        ("_codecs", "encode"): _encode,
        ("collections", "OrderedDict"): new_dict,
        ("collections", "defaultdict"): new_dict,
    }
    for core in ("numpy.core", "numpy._core"):
        allowed[f"{core}.multiarray", "_reconstruct"] = ArrayDescription
        allowed[f"{core}.multiarray", "scalar"] = _scalar
        allowed[f"{core}.numeric", "_frombuffer"] = _array
    for builtins in ("builtins", "__builtin__"):
        allowed |= {(builtins, name): _Name() for name in ("int", "float", "str", "bool")}
        allowed |= {(builtins, "list"): list, (builtins, "dict"): new_dict, (builtins, "bytes"): _empty_bytes}
        allowed |= {(builtins, "set"): new_set, (builtins, "frozenset"): new_set}
    return allowed


_ALLOWED: Mapping[tuple[str, str], Any] = _allowed()
CONSTRUCTORS = tuple(entry for entry in _ALLOWED.values() if not isinstance(entry, _Name))


def find(module: object, name: object) -> Any:
    """What stands for a global.

    Raises:
        UnsafePickle: for one that is not allowed.
    """
    if (module, name) in _ALLOWED:
        return _ALLOWED[module, name]  # type: ignore[index]
    advice = (
        "it holds torch tensors: save it again with numpy arrays (MMSA-FET: return_type 'np')"
        if str(module).startswith("torch")
        else "convert it to numpy arrays, containers, strings and numbers where its code is known and trusted"
    )
    raise UnsafePickle(f"asks for {module}.{name}, which mmsa does not run; {advice}")
