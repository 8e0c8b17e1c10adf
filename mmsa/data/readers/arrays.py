"""Columns of unpickled content: numbers, ids and the videos they name, from whatever a project put there.

What a file holds is looked at before numpy sees it, since numpy makes an array of anything.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.readers.base import strings
from mmsa.errors import DataError, shown

logger = logging.getLogger("mmsa.data")

_CLIP = re.compile(r"(.+?)(?:\$_\$[^$]*|\[[0-9]+\]|_[0-9]+)", re.DOTALL)
"""The grammars of ids: ``video$_$clip``, ``video[clip]``, ``video_clip``; videos may hold such signs too."""


def numbers(found: Any, what: str, ndim: int | None = None) -> NDArray[Any]:
    """``found`` as an array of numbers.

    Args:
        found: an array, or nested lists of numbers.
        what: for messages.
        ndim: number of dimensions it must have.

    Raises:
        DataError: for anything else, and for rows of different shapes.
    """
    if not isinstance(found, np.ndarray) and not holds_only(found, (int, float, np.generic), "biuf"):
        raise DataError(f"{what}: {shown(found)}; must be an array or nested lists of numbers")
    try:
        values = np.asarray(found)
    except (ValueError, OverflowError, MemoryError) as error:
        raise DataError(f"{what}: rows of different shapes: {error}") from None
    if values.dtype.kind not in "biuf" or ndim not in (None, values.ndim):
        raise DataError(
            f"{what}: {values.dtype} of shape {values.shape}; must be numbers"
            + (f" in {ndim} dimensions" if ndim else "")
        )
    return values


def holds_only(values: Any, leaves: tuple[type, ...], kinds: str) -> bool:
    """Whether ``values`` are nested lists of ``leaves`` and of arrays whose dtype is of ``kinds``.

    Checked before numpy sees them: with one long string among a million numbers, each of them would take the
    width of that string.
    """
    if not isinstance(values, (list, tuple)):
        return False
    # A stack and not recursion, and each shared list once: a file may nest deeply, or share a list a million
    # times.
    pending, seen = [values], {id(values)}
    while pending:
        for item in pending.pop():
            if isinstance(item, (list, tuple)):
                if id(item) not in seen:
                    seen.add(id(item))
                    pending.append(item)
            elif isinstance(item, np.ndarray):
                if item.dtype.kind not in kinds:
                    return False
            elif not isinstance(item, leaves):
                return False
    return True


def videos_of(ids: Sequence[str] | NDArray[np.str_], source: str) -> NDArray[np.str_]:
    """The video that each id names, (N,); an id of another grammar is a group of its own, which is logged."""
    matches = [_CLIP.fullmatch(name) for name in ids]
    plain = [name for name, match in zip(ids, matches, strict=True) if match is None]
    if plain:
        logger.warning(
            "%s: %d ids such as %r name no video and clip; each such row is a group of its own",
            *(source, len(plain), str(plain[0])),
        )
    videos = [match[1] if match else str(name) for name, match in zip(ids, matches, strict=True)]
    return np.array(videos, dtype=np.str_)


def row_numbers(split: str, count: int, source: str) -> NDArray[np.str_]:
    """Names for rows that have none, ``split:number``, and a warning of what that means."""
    if count:
        logger.warning(
            "%s: rows have no ids; each is a group of its own, and nobody can see whether a speaker is in "
            "two splits",
            source,
        )
    return np.array([f"{split}:{number}" for number in range(count)], dtype=np.str_)


def numbered(names: NDArray[np.str_], source: str) -> NDArray[np.str_]:
    """``names``, of which those that occur again get their number among their likes: ``video[2]``.

    Projects that keep only the video of a row write the same id many times.
    """
    counts = Counter(names.tolist())
    if len(counts) == len(names):
        return names
    logger.warning(
        "%s: only %d different ids for %d rows; rows of one id are numbered in the order of the file",
        *(source, len(counts), len(names)),
    )
    seen: Counter[str] = Counter()
    unique = []
    for name in names.tolist():
        unique.append(name if counts[name] == 1 else f"{name}[{seen[name]}]")
        seen[name] += 1
    return np.array(unique, dtype=np.str_)


def id_parts(values: Any, what: str) -> NDArray[np.str_]:
    """Strings or bytes in (N,) or (N, K), as (N, K) unicode.

    Raises:
        DataError: for anything but one number of strings for each row.
    """
    if isinstance(values, np.ndarray) or holds_only(values, (str, bytes), "SUO"):
        # As objects until their lengths are checked: a str array pads all ids to the longest one.
        values = np.asarray(values, dtype=object)
        num_rows = len(np.atleast_1d(values))
        if values.ndim in (1, 2) and num_rows:
            return strings(values.reshape(-1), what).reshape(num_rows, -1)
        values = values.reshape(-1)
    return strings(values, what)[:, None]
