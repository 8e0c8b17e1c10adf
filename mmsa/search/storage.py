"""Where a study is kept: a journal file in its folder, or any database that SQLAlchemy opens."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from mmsa.errors import StudyError

JOURNAL = "study.journal"


class DriverLock:
    """The right to write to a study. The kernel takes it back when the process that holds it dies.

    Raises:
        StudyError: when another process holds it.
    """

    def __init__(self, folder: Path):
        path = folder / "driver.lock"
        self._file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise StudyError(
                f"{folder}: {holder} is searching this study. "
                "Wait for it, or stop it and run the same command again."
            ) from None
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._file.flush()

    def release(self) -> None:
        """Give the right back."""
        self._file.close()


def open_storage(folder: Path, url: str | None) -> BaseStorage:
    """The storage of the study in ``folder``; the file is created when missing.

    Raises:
        StudyError: when the database cannot be reached.
    """
    if url is None:
        return JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    try:
        return RDBStorage(url)
    except Exception as error:
        raise StudyError(f"--storage {without_password(url)}: {error}") from error


def mend_journal(folder: Path) -> None:
    """Remove what a driver that died while writing left behind. Call it with the driver's lock held.

    The last line may be half written: nobody was told that it was stored, so it is cut off. The journal's own
    lock would keep the next writer waiting for half a minute.
    """
    path = folder / JOURNAL
    path.with_name(JOURNAL + ".lock").unlink(missing_ok=True)
    if not path.exists():
        return
    with path.open("rb+") as journal:
        text = journal.read()
        journal.truncate(text.rfind(b"\n") + 1)


def without_password(url: str) -> str:
    """The URL of a database, fit to be printed."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url
