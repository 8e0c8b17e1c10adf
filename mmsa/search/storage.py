"""Where a study is kept: a journal file in its folder, or any database that SQLAlchemy opens."""

from __future__ import annotations

from pathlib import Path

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from mmsa.errors import StudyError
from mmsa.search.locks import Held, ProcessLock

JOURNAL = "study.journal"


def lock_study(folder: Path) -> ProcessLock:
    """The right to write to the study in ``folder``.

    Raises:
        StudyError: when another driver has it.
    """
    try:
        return ProcessLock(folder / "driver.lock")
    except Held as error:
        raise StudyError(
            f"{folder}: {error.holder} is searching this study. "
            "Wait for it, or stop it and run the same command again."
        ) from None


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
