"""The globals that a pickle read by ``mmsa.data.unpickling`` may name, and their stand-ins.

Nothing of numpy that takes a pickled state is called: dtypes and arrays are described by plain objects first,
and then built from checked parts. An argument is used only once its type is known, since comparing, hashing
or printing what a file made may take for ever.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.errors import UnsafePickle, shown

_DTYPE = re.compile(r"[|<>=]?(b1|[iu][1248]|f[248]|c8|c16|[SU][0-9]{1,7}|O8?)")
_KEYS = (str, bytes, int, float, type(None), np.bool_, np.integer, np.floating, np.str_, np.bytes_)
_MAX_AXES = 64  # as in numpy
_MAX_EMPTY = 10_000_000  # rows that an array without content may have
_LAST_CHARACTER = 0x10FFFF
_HASH_MODULUS = 2**61 - 1  # integers beyond it can be chosen to all have one hash
_MAX_CLASHING = 1000


class DTypeDescription:
    """A dtype under construction: numpy pickles its letter code first, then its byte order as a state."""

    def __init__(self, code: object, *flags: object):
        if not isinstance(code, str) or not _DTYPE.fullmatch(code):
            raise UnsafePickle(
                f"asks for arrays of type {shown(code)}; only numbers, strings and objects are read"
            )
        self.dtype: np.dtype[Any] = np.dtype(code)

    def build(self, state: Any) -> DTypeDescription:
        """Apply the byte order of the state ``(version, order, subarray, names, fields, ...)``."""
        if not isinstance(state, tuple) or len(state) < 5:
            raise ValueError(f"a dtype with the state {shown(state)}")
        order = state[1]
        known = isinstance(order, str) and order in ("<", ">", "|", "=")
        if not known or any(part is not None for part in state[2:5]):
            raise UnsafePickle("asks for structured arrays; only numbers, strings and objects are read")
        self.dtype = self.dtype.newbyteorder("<" if order == "=" else order)
        return self


class ArrayDescription:
    """An array under construction: numpy pickles an empty one first, then its content as a state."""

    def __init__(self, *arguments: object):
        self.memo_keys: list[int] = []
        self._built = False

    def build(self, state: Any) -> NDArray[Any]:
        """The array of the state ``(version, shape, dtype, is Fortran order, content)``."""
        if self._built or not isinstance(state, tuple) or len(state) != 5:
            raise ValueError(f"an array with the state {shown(state)}")
        self._built = True  # or a few bytes could build it again and again
        _, shape, dtype, fortran, content = state
        return _array(content, dtype, shape, "F" if isinstance(fortran, int) and fortran else "C")


class _Name:
    """Stand-in for a global that is only ever passed on, such as ``numpy.ndarray``."""


def _array(content: Any, dtype: Any, shape: Any, order: Any, *axis_order: object) -> NDArray[Any]:
    if not isinstance(dtype, DTypeDescription):
        raise ValueError(f"an array of type {shown(dtype)}")
    if (
        not isinstance(shape, (tuple, list))
        or len(shape) > _MAX_AXES
        or not all(isinstance(size, int) and 0 <= size < 2**63 for size in shape)
        or (0 in shape and math.prod(max(size, 1) for size in shape) > _MAX_EMPTY)
    ):
        raise ValueError(f"an array of shape {shown(shape)}")
    order = "F" if isinstance(order, str) and order == "F" else "C"
    if dtype.dtype.hasobject:
        return _object_array(content, tuple(shape), order)
    raw = content.encode("latin1") if isinstance(content, str) else content
    if not isinstance(raw, (bytes, memoryview)):
        raise ValueError(f"an array with {shown(raw)} as its content")
    if 0 in shape:
        return np.zeros(shape, dtype.dtype)
    flat = np.frombuffer(raw, dtype.dtype)
    if dtype.dtype.kind == "U":
        check_characters(flat)
    return flat.reshape(shape, order=order)


def check_characters(flat: NDArray[np.str_]) -> None:
    """Check that all characters exist; numpy would find out only when an item is looked at.

    Raises:
        ValueError: for a code point beyond 0x10FFFF.
    """
    codes = flat.view(np.dtype(np.uint32).newbyteorder(flat.dtype.byteorder))
    if codes.max(initial=0) > _LAST_CHARACTER:
        raise ValueError("an array of strings with characters that do not exist")


def _object_array(content: Any, shape: tuple[int, ...], order: Any) -> NDArray[Any]:
    if not isinstance(content, list) or len(content) != math.prod(shape):
        raise ValueError(f"the content of an array does not fill its shape {shown(shape)}")
    # Item by item: np.array(content, dtype=object) would look into items that are lists, and make axes of
    # them.
    array = np.empty(len(content), dtype=object)
    array[:] = [None] * len(content)
    for position, item in enumerate(content):
        array[position] = item
    return array.reshape(shape, order=order)


def _scalar(dtype: Any, content: Any) -> Any:
    return _array(content, dtype, (1,), "C")[0]


def _encode(text: object, encoding: object) -> bytes:
    if not isinstance(text, str) or not isinstance(encoding, str) or encoding not in ("latin1", "latin-1"):
        raise UnsafePickle(f"asks for the codec {shown(encoding)}")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    """``bytes()``, which is how Python 3 writes ``b""`` in the protocols of Python 2."""
    return b""


def _new_list(items: object = ()) -> list[Any]:
    if not isinstance(items, (list, tuple)):
        raise ValueError(f"a list of {shown(items)}")
    return list(items)


def new_dict(*arguments: Any) -> dict[Any, Any]:
    """Stand-in for ``dict``, ``OrderedDict(pairs)`` and ``defaultdict(factory)``; the factory is dropped."""
    pairs = [pair for argument in arguments if isinstance(argument, list) for pair in argument]
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise ValueError("a dict of what are not pairs")
    check_keys([key for key, _ in pairs], len(pairs))
    return dict(pairs)


def new_set(items: object = ()) -> set[Any]:
    """Stand-in for ``set`` and ``frozenset``."""
    if not isinstance(items, (list, tuple, set)):
        raise ValueError(f"a set of {shown(items)}")
    check_keys(items, len(items))
    return set(items)


def check_keys(keys: Iterable[Any], size: int) -> None:
    """Check that keys hash and compare quickly, for a dict or set of ``size`` of them.

    Integers beyond 2**61 - 1 can be chosen to share one hash, which makes a large dict quadratic.

    Raises:
        ValueError: for keys of other types than strings and numbers, and for many such integers.
    """
    for key in keys:
        if not isinstance(key, _KEYS):
            raise ValueError(f"a key of type {type(key).__name__}")
        if size > _MAX_CLASHING and isinstance(key, int) and abs(key) >= _HASH_MODULUS:
            raise ValueError(f"{size} keys, with integers of {key.bit_length()} bits among them")


def cost(arguments: Collection[Any]) -> int:
    """Upper bound on the bytes that a constructor allocates for ``arguments``, or looks at."""
    strings = sum(len(part) for part in arguments if isinstance(part, (str, bytes, memoryview)))
    return strings + 128 * sum(len(part) for part in arguments if isinstance(part, (list, tuple, set, dict)))


def _allowed() -> dict[tuple[str, str], Any]:
    """Stand-ins by module and name of the global."""
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
        allowed |= {(builtins, "list"): _new_list, (builtins, "dict"): new_dict}
        allowed |= {(builtins, "set"): new_set, (builtins, "frozenset"): new_set}
        allowed[builtins, "bytes"] = _empty_bytes
    return allowed


ALLOWED: Mapping[tuple[str, str], Any] = _allowed()
CONSTRUCTORS = tuple(entry for entry in ALLOWED.values() if not isinstance(entry, _Name))
