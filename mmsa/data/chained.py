"""An append-only file of JSON lines in which each entry carries the digest of all lines before it.

A line that was changed, taken out, put in or moved no longer fits the entry after it. What only the end
could hide, a changed last line or a tail that was cut off, is found by the head: a file beside it with the
number of lines and their digest. Somebody who rewrites file and head alike is not found: this is a seal and
no signature.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from mmsa.errors import DataError

BEFORE = "before"
"""Key of an entry with the digest of all lines before it; entries of before there was a chain lack it."""

_START = sha256(b"").hexdigest()
_HEAD = re.compile(r"(\d{1,12}) ([0-9a-f]{64})\n")
_RESTORE = (
    "Put back the file as it was, from a backup. If there is none, move it and its .head away and keep both: "
    "a new ledger begins then, and what the old one held has to be told beside every result"
)


class ChainedFile:
    """The file; it need not exist yet.

    Args:
        path: of the file. Its head lies beside it, as ``<name>.head``.
    """

    def __init__(self, path: Path):
        self.path = path
        self._head = path.with_name(f"{path.name}.head")

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add an entry; it is on the disk when this returns.

        Raises:
            DataError: for a file that is not as it was written; nothing is added then.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # two retrainings may share the folder of runs
            file.seek(0)
            content = file.read()
            lines, _, digest = self._checked(content)
            file.truncate(sum(len(line) + 1 for line in lines))
            line = json.dumps({**entry, BEFORE: digest}).encode()
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())  # or a crash of the machine could undo an opening that took place
            self._write_head(len(lines) + 1, _next(digest, line))

    def entries(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Number, counted from 1, and content of each line, without the digest; checked as a whole before.

        Raises:
            DataError: for a line that this class never writes, or a file that is not as it was written; it
                names the line and the way out.
        """
        if not self.path.exists():
            if self._head.exists():
                raise DataError(f"{self.path} is gone, but {self._head.name} is there. {_RESTORE}")
            return
        with self.path.open("rb") as file, _shared(file):
            _, entries, _ = self._checked(file.read())
        yield from enumerate(entries, 1)

    def _checked(self, content: bytes) -> tuple[list[bytes], list[dict[str, Any]], str]:
        """The complete lines, what they say, and the digest of all.

        Half a line at the end is left out: whoever wrote it died before anything was done.
        """
        lines = content.split(b"\n")[:-1]
        digests = [_START]
        entries: list[dict[str, Any]] = []
        chained = 0
        for number, line in enumerate(lines, 1):
            entry = self._parsed(number, line)
            before = entry.pop(BEFORE, None)
            if before is not None and before != digests[-1]:
                raise self._broken(number, chained)
            if before is None and chained:
                raise DataError(
                    f"{self.path}, line {number}: no entry of the ledger: it has no digest of the lines "
                    f"before it, so it was put in by hand or by an earlier version of mmsa. {_RESTORE}"
                )
            chained += before is not None
            entries.append(entry)
            digests.append(_next(digests[-1], line))
        self._check_head(digests, chained)
        return lines, entries, digests[-1]

    def _parsed(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            entry = json.loads(line)
            if not isinstance(entry, dict):
                raise TypeError(f"{type(entry).__name__}, not an object")
        except (ValueError, TypeError, RecursionError) as error:
            raise DataError(
                f"{self.path}, line {number}: no entry of the ledger ({error!r}). {_RESTORE}"
            ) from None
        return entry

    def _broken(self, number: int, chained: int) -> DataError:
        if number == 1:
            return DataError(f"{self.path}, line 1: the lines before it are missing. {_RESTORE}")
        changed = (
            f"line {number - 1} was changed" if chained else f"one of the lines before {number} was changed"
        )
        return DataError(
            f"{self.path}, line {number} does not follow on what is before it: {changed}, or lines between "
            f"{number - 1} and {number} were taken out, put in or moved. {_RESTORE}"
        )

    def _check_head(self, digests: list[str], chained: int) -> None:
        """Compare with the head, which may be behind: whoever wrote the last line may have died."""
        here = f"{len(digests) - 1} {digests[-1]}"
        accept = f"If the file is all there, writing the line '{here}' into {self._head.name} accepts it"
        if not self._head.exists():
            if chained > 1:
                raise DataError(
                    f"{self._head} is missing: without it nobody can tell whether {self.path.name} has lost "
                    f"its last lines. Put it back. {accept}."
                )
            return
        found = _HEAD.fullmatch(self._head.read_text(encoding="utf-8", errors="replace"))
        if found is None:
            raise DataError(f"{self._head} is no head of a ledger. Put it back as it was. {accept}.")
        count, lines = int(found[1]), len(digests) - 1
        if count > lines:
            raise DataError(
                f"{self.path} ends with line {lines}, but lines {lines + 1} to {count} were written. "
                f"{_RESTORE}"
            )
        if digests[count] != found[2]:
            raise DataError(f"{self.path}, line {count}: was changed after it was written. {_RESTORE}")

    def _write_head(self, count: int, digest: str) -> None:
        partial = self._head.with_name(f".{self._head.name}.partial")
        with partial.open("w", encoding="utf-8") as file:
            file.write(f"{count} {digest}\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._head)


@contextmanager
def _shared(file: IO[bytes]) -> Iterator[None]:
    """Keep writers away: between a line and its head the file would look like a damaged one."""
    fcntl.flock(file, fcntl.LOCK_SH)
    yield


def _next(digest: str, line: bytes) -> str:
    return sha256(digest.encode() + line).hexdigest()
