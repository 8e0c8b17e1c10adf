"""Limits on the memory that reading an untrusted file may take, in proportion to the size of the file.

An honest file grows little when it is read, and a few hundred megabytes do no harm. A file that would grow a
thousandfold was made to do so, and is refused before anything is allocated.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

_FLOOR = 256 << 20  # bytes that every file may grow to
_BUILT = 32  # bytes of what a pickle's calls make for each of its own
_UNFOLDED = 8  # bytes for each byte of a pickle, with what it shares counted at every place
_INFLATED = 100  # bytes for each byte of a compressed file; padding with zeros makes honest ones 10
_INFLATED_FLOOR = 512 << 20
_MAX_DEPTH = 64  # numpy has no more axes either
_TOO_DEEP = f"containers lie more than {_MAX_DEPTH} deep in each other"
_REFERENCE = 8  # bytes


class MemoryBudget:
    """A number of bytes that reading a file may take for ``what``."""

    def __init__(self, what: str, limit: int):
        self._what, self._limit, self._left = what, limit, limit

    def spend(self, size: int) -> None:
        """Count ``size`` bytes.

        Raises:
            ValueError: when the budget is exceeded.
        """
        self._left -= size
        if self._left < 0:
            raise ValueError(
                f"{self._what} would take more than {self._limit >> 20} MiB, out of proportion to the file"
            )


def for_calls(file_size: int) -> MemoryBudget:
    """Budget for what constructor calls in a pickle make; every other operation makes one object at most."""
    return MemoryBudget("what its calls make", _FLOOR + _BUILT * file_size)


def for_inflation(file_size: int) -> MemoryBudget:
    """Budget for the decompressed content of a file."""
    return MemoryBudget("its content", max(_INFLATED_FLOOR, _INFLATED * file_size))


def check_nesting(content: Any, file_size: int) -> None:
    """Check that nested containers can be walked: not too deep, no cycles, little sharing.

    A list that holds one list ten times, which holds another one ten times, and so on, is small in memory and
    endless to walk. Its size written out is computed bottom-up, so the check takes time in proportion to the
    number of distinct objects.

    Raises:
        ValueError: for content that goes deeper than 64 containers, holds itself, or grows out of proportion.
    """
    limit = _FLOOR + _UNFOLDED * file_size
    unfolded: dict[int, int] = {}  # bytes of each finished container with all that is in it
    heights: dict[int, int] = {}
    children: dict[int, list[Any]] = {}  # of the containers that are being walked through, outermost first
    pending = [content]
    while pending:
        item = pending[-1]
        key = id(item)
        if key in unfolded:
            pending.pop()
        elif key in children:
            inner = children.pop(key)
            heights[key] = 1 + max((heights[id(child)] for child in inner), default=0)
            unfolded[key] = _own_size(item) + sum(unfolded[id(child)] for child in inner)
            if heights[key] > _MAX_DEPTH:  # through a child that was finished by a shorter way
                raise ValueError(_TOO_DEEP)
            if unfolded[key] > limit:
                raise ValueError(f"parts that are shared would take more than {limit >> 20} MiB written out")
            pending.pop()
        else:
            if len(children) == _MAX_DEPTH:
                raise ValueError(_TOO_DEEP)
            inner = children[key] = _containers_in(item)
            if any(id(child) in children for child in inner):
                raise ValueError("a container holds itself")
            pending.extend(child for child in inner if id(child) not in unfolded)


_CONTAINERS = (list, tuple, dict, np.ndarray)


def _containers_in(item: Any) -> list[Any]:
    values: Iterable[Any] = ()
    if isinstance(item, dict):
        values = item.values()
    elif isinstance(item, (list, tuple)):
        values = item
    elif isinstance(item, np.ndarray) and item.dtype.hasobject:
        values = item.ravel().tolist()
    return [value for value in values if isinstance(value, _CONTAINERS)]


def _own_size(item: Any) -> int:
    if isinstance(item, np.ndarray):
        return item.nbytes
    return _REFERENCE * (1 + len(item)) if isinstance(item, (list, tuple, dict)) else _REFERENCE


def check_words(count: int, longest: int, total: int) -> None:
    """Check that ``count`` texts fit into a numpy array, which stores each in the width of the longest.

    Args:
        count: number of texts.
        longest: characters of the longest text.
        total: characters of all texts together.

    Raises:
        ValueError: where the array would take far more memory than the texts themselves.
    """
    limit = max(_INFLATED_FLOOR, _INFLATED * 4 * total)
    if 4 * count * longest > limit:
        raise ValueError(
            f"{count} texts as long as the longest, of {longest} characters, would take more than "
            f"{limit >> 20} MiB; shorten it"
        )
