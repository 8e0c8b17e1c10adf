"""A study's journal: Optuna's file, and beside it a running digest of every line.

A line that was changed, lost or inserted leaves the file as readable as before, but gives one trial the
parameters of another. The digests reveal it. They are written after the line, so a driver that dies in
between leaves lines without a digest: those are accepted if they can be read, as is a journal that is older
than the digests.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._storage import JournalOperation
from typing_extensions import override

from mmsa.errors import StudyError, shortened
from mmsa.search.study.lease_stores import FileLease

JOURNAL = "study.journal"
_NOTHING = {"op_code": JournalOperation.DISCARD_TRIALS}  # an entry that Optuna passes over
_DIGEST_BYTES = 8
_RECORD = re.compile(rb"(\d{1,12}) ([0-9a-f]{16})")  # the line's number, and the digest of all up to it


class JournalReader(JournalFileBackend):  # type: ignore[misc]
    """Optuna's journal file; ``line`` is the number of the entry read last."""

    def __init__(self, path: Path):
        super().__init__(str(path))
        self._path = path
        self.line = 0

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The entries after the first ``log_number_from``."""
        entries = super().read_logs(log_number_from)
        for self.line, entry in enumerate(entries, start=log_number_from + 1):
            yield entry

    def replayed(self) -> JournalStorage:
        """The storage that results from all entries.

        Raises:
            StudyError: for an entry that cannot follow those before it.
        """
        try:
            storage = JournalStorage(self)
        except Exception as error:  # whatever Optuna makes of an entry that it never wrote
            what = f"cannot follow on the lines before it ({type(error).__name__}: {error})"
            raise _damaged(self._path, self.line, what) from error
        if self.line and not storage.get_all_studies():
            raise _damaged(self._path, 1, "begins no study")
        return storage


class Journal(JournalReader):
    """The journal for its only writer.

    A write returns when the kernel has the line, which survives the death of any process; ``sync`` waits
    until it is on the disk, which survives a power cut. A writer that died may have left half a line. It is
    cut off, since nobody was told that it was stored.
    """

    def __init__(self, path: Path, lease: FileLease):
        self._is_new = not path.exists()
        super().__init__(path)
        self._lease, self._token = lease, ""
        self._synced = True
        self._count_before = 0

    @override
    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        # Optuna reads back what it writes. Attributes of trials, nearly all of a journal, are hidden from it
        # then: the trial store has them already, and they would be in memory twice.
        for entry in super().read_logs(log_number_from):
            own = self.line > self._count_before and entry["op_code"] == JournalOperation.SET_TRIAL_USER_ATTR
            yield _NOTHING if own else entry

    def begin(self, token: str) -> None:
        """Write as the holder of ``token`` from here on.

        Raises:
            StudyError: for a damaged journal, which stays as it is.
        """
        self._token = token
        with self._lease.fenced(token):
            if self._is_new:  # digests may be left of a journal that somebody removed
                digests_of(self._path).unlink(missing_ok=True)
            content = checked(self._path)
            os.truncate(self._path, content.end)
            _store_digests(self._path, content.digests)
        self._end, self._count = content.end, len(content.digests)
        self._count_before = self._count
        self._digest = content.digests[-1] if content.digests else b""

    def append_logs(self, logs: Sequence[dict[str, Any]]) -> None:
        """Append entries, all of them or none.

        Raises:
            OSError: on a full disk, for example; the files are as they were then.
            LeaseLost: if another driver has the study.
            StudyError: if somebody else wrote into the journal.
        """
        lines = [json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs]
        digests = list(_running(lines, self._digest))
        records = [_record(number, digest) for number, digest in enumerate(digests, start=self._count + 1)]
        with (
            self._lease.fenced(self._token),
            self._path.open("ab", buffering=0) as journal,
            digests_of(self._path).open("ab", buffering=0) as beside,
        ):
            end, end_beside = journal.tell(), beside.tell()
            if end != self._end:
                raise _changed_meanwhile(self._path)
            try:
                _write(journal, b"".join(lines), self._path)
                _write(beside, b"".join(records), digests_of(self._path))
            except OSError:
                beside.truncate(end_beside)
                journal.truncate(end)
                raise
            self._end = journal.tell()
        self._count, self._digest = self._count + len(lines), digests[-1]
        self._synced = False

    def sync(self) -> None:
        """Wait until everything written is on the disk, except digests, which can be computed again."""
        if not self._synced:
            self._synced = True
            with self._path.open("rb") as journal:
                os.fsync(journal.fileno())


@dataclass(frozen=True)
class Content:
    """Content of a journal.

    Attributes:
        end: bytes of its complete lines; half a line may follow.
        digests: one for each line, of that line and all before it.
    """

    end: int
    digests: tuple[bytes, ...]


def checked(path: Path) -> Content:
    """Read the journal at ``path``, and check that it is what was written. A driver may be writing it.

    Raises:
        StudyError: for a damaged journal, naming the line.
    """
    # The digests first: read after the lines, they might cover a line that a driver wrote in between.
    known = _stored_digests(path)
    text = path.read_bytes()
    lines = [line + b"\n" for line in text.split(b"\n")[:-1]]
    digests = tuple(_running(lines))
    proven = max(
        (n for n, digest in known.items() if 0 < n <= len(digests) and digest == digests[n - 1]), default=0
    )
    if proven < max(known, default=0):
        if proven < len(lines):
            raise _damaged(path, proven + 1, f"is not what was written there: {_shown(lines[proven])}")
        raise _damaged(
            path, proven + 1, f"is missing, and so is all that was written up to line {max(known)}"
        )
    for number, line in enumerate(lines[proven:], start=proven + 1):
        if not _is_entry(line):
            raise _damaged(path, number, f"is no entry of a journal: {_shown(line)}")
    return Content(sum(map(len, lines)), digests)


def digests_of(path: Path) -> Path:
    """The file with the digests of the journal at ``path``."""
    return path.with_name(f"{path.name}.digests")


def _stored_digests(path: Path) -> dict[int, bytes]:
    """Digests by line number. Anything that is no record is ignored: the last one may be half written."""
    beside = digests_of(path)
    if not beside.exists():
        return {}
    records = map(_RECORD.fullmatch, beside.read_bytes().split(b"\n")[:-1])
    return {int(record[1]): record[2] for record in records if record}


def _store_digests(path: Path, digests: Sequence[bytes]) -> None:
    """Replace the file of digests; at any moment it is the old one or the new one."""
    text = b"".join(_record(number, digest) for number, digest in enumerate(digests, start=1))
    beside = digests_of(path)
    if beside.exists() and beside.read_bytes() == text:
        return
    new = beside.with_name(f"{beside.name}.new")
    new.write_bytes(text)
    new.replace(beside)


def _running(lines: Sequence[bytes], before: bytes = b"") -> Iterator[bytes]:
    for line in lines:
        before = blake2b(before + line, digest_size=_DIGEST_BYTES).hexdigest().encode()
        yield before


def _record(number: int, digest: bytes) -> bytes:
    return b"%d %s\n" % (number, digest)


def _is_entry(line: bytes) -> bool:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(entry, dict) and isinstance(entry.get("op_code"), int)


def _write(file: io.FileIO, text: bytes, path: Path) -> None:
    if file.write(text) != len(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _damaged(path: Path, number: int, what: str) -> StudyError:
    journal, beside = shlex.quote(str(path)), shlex.quote(str(digests_of(path)))
    copy = shlex.quote(f"{path}.damaged")
    return StudyError(
        f"{path} is damaged: line {number} {what}\nNothing was changed. Bring the file back from a copy; "
        f"without one, what was remembered before that line can be kept:\n"
        f"  mv {journal} {copy} && head -n {number - 1} {copy} > {journal} && rm -f {beside}\n"
        "The same command then goes on from there."
    )


def _changed_meanwhile(path: Path) -> StudyError:
    return StudyError(
        f"{path} was changed by another process while this driver searched the study; nothing more was "
        "written. Run the same command again: it says what is wrong with the file, or goes on."
    )


def _shown(line: bytes) -> str:
    return ascii(shortened(line.decode("utf-8", "replace").rstrip("\n")))
