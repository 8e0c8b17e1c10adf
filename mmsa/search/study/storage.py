"""Where a study is stored: in a journal file in its folder, or in any database that SQLAlchemy opens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.engine import create_engine, make_url
from sqlalchemy.pool import NullPool

from mmsa.errors import StudyError
from mmsa.masking import masked, masked_message
from mmsa.search.study.journal import JOURNAL, Journal, JournalReader, checked
from mmsa.search.study.lease import Lease
from mmsa.search.study.lease_stores import FileLease, SqlLease, locked_out

LEASE = "driver.lease"
_SECONDS_TO_CONNECT = 10
_SECONDS_TO_WAIT = 60  # for a writer that does not end; SQLite itself gives up after five
_WITH_DRIVER = "postgresql+psycopg://user@host/database"


class DriverStorage:
    """The storage of a study for the one driver that holds its lease.

    Args:
        folder: of the study.
        study: its name.
        url: of its database; None for the journal in the folder.

    Raises:
        StudyError: if another driver has the study, or the database cannot be reached.
    """

    def __init__(self, folder: Path, study: str, url: str | None = None):
        self._closing = ExitStack()
        with ExitStack() as opening:
            self.trials = (
                self._open_journal(folder, opening)
                if url is None
                else self._open_database(url, study, opening)
            )
            self._closing = opening.pop_all()

    def _open_journal(self, folder: Path, opening: ExitStack) -> BaseStorage:
        try:
            leases = FileLease(folder / LEASE, _SECONDS_TO_WAIT)
            journal = Journal(folder / JOURNAL, leases)
            lease = Lease(leases, journal.sync)
            opening.callback(lease.release)
            opening.callback(journal.sync)
            journal.begin(lease.token)
        except OSError as error:
            raise StudyError(f"study {folder.name!r} cannot be opened: {error}") from error
        return journal.replayed()

    def _open_database(self, url: str, study: str, opening: ExitStack) -> BaseStorage:
        database = open_database(url)
        opening.callback(database.engine.dispose)
        with _explained(url):
            # The lease writes while the study does, so its connections are its own.
            leases = create_engine(database.url, **_engine_settings(url))
            opening.callback(leases.dispose)
            rows = SqlLease(leases, study)
            lease = Lease(rows)
        opening.callback(lease.release)
        rows.fence(database.engine, lease.token)
        return database

    def close(self) -> None:
        """Release the study."""
        self._closing.close()


def open_storage(folder: Path, url: str | None) -> BaseStorage:
    """The storage of the study in ``folder``, for reading; a journal must be there.

    Raises:
        StudyError: if the database cannot be reached, or the journal is damaged.
    """
    if url is None:
        checked(folder / JOURNAL)
        return JournalReader(folder / JOURNAL).replayed()
    return open_database(
        url, poolclass=NullPool
    )  # a reader never knows when it is done, so no connection stays open


def open_database(url: str, **settings: Any) -> RDBStorage:
    """The database of a URL, with Optuna's tables in it.

    Raises:
        StudyError: if it cannot be reached, or its driver is not installed.
    """
    _refuse_memory(url)
    with _explained(url):
        return RDBStorage(url, engine_kwargs={**_engine_settings(url), **settings})


def _refuse_memory(url: str) -> None:
    """Refuse SQLite in memory: every connection would get a database of its own."""
    with _explained(url):
        address = make_url(url)
    database = address.database or ""
    in_memory = not database or ":memory:" in database or address.query.get("mode") == "memory"
    if address.get_backend_name() == "sqlite" and in_memory:
        raise StudyError(
            f"--storage {masked(url)}: a database in memory is gone with its process. Write "
            "sqlite:////folder/study.db, or leave --storage out: the study is then a file in --runs."
        )


@contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        yield
    except StudyError:
        raise
    except ImportError as error:
        raise StudyError(
            f"--storage {masked(url)}: its driver is not installed ({masked_message(error, url)}). "
            f"For PostgreSQL: pip install 'mmsa[postgres]', and write {_WITH_DRIVER}."
        ) from error
    except Exception as error:
        hint = f". {locked_out(_SECONDS_TO_WAIT)}" if "database is locked" in str(error) else ""
        raise StudyError(f"--storage {masked(url)}: {masked_message(error, url)}{hint}") from error


def _engine_settings(url: str) -> dict[str, Any]:
    """Settings for servers that restart between two uses of a connection, or do not answer at all.

    A process that is stopped in the middle of a write keeps its rows locked, and a takeover would wait for
    ever, so PostgreSQL is told to end such a session.
    """
    address = make_url(url)
    backend = address.get_backend_name()
    if backend == "sqlite":
        return {"connect_args": {"timeout": _SECONDS_TO_WAIT}}
    settings: dict[str, Any] = {"connect_timeout": _SECONDS_TO_CONNECT}
    if backend == "postgresql":
        patience = f"-c idle_in_transaction_session_timeout={_SECONDS_TO_WAIT}s"
        settings["options"] = f"{address.query.get('options', '')} {patience}".strip()
    return {"pool_pre_ping": True, "connect_args": settings}
