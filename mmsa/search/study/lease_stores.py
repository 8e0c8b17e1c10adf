"""Where leases are kept: in a file beside a journal, or in a table of the study's database.

Both also fence writes: a driver that lost its lease is refused in the atomic step in which it would write.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, Update, event
from sqlalchemy.exc import DBAPIError, IntegrityError

from mmsa.errors import StudyError
from mmsa.search.study.lease import Holder, advanced, refuse_lost

_HOLDER = TypeAdapter(Holder)
_RECORD = 1024  # bytes, written in one call, so that a dying process leaves the old record or the new one


def locked_out(seconds: float) -> str:
    """What to do about a file that another process keeps locked."""
    return (
        f"Some process has kept it so for {seconds:.0f} seconds, as one does that was stopped in the middle "
        "of a write. `fuser` with the file's path names it: let it go on, or end it, and run the same "
        "command again."
    )


class FileLease:
    """A record in a file, changed under the file's kernel lock, which ends with the process that has it.

    Args:
        path: of the file.
        patience: seconds after which a lock that somebody else holds is a ``TimeoutError``.

    Every method raises ``StudyError`` for a file that holds something else than a lease.
    """

    def __init__(self, path: Path, patience: float = 60.0):
        self._path, self._patience = path, patience

    def read(self) -> Holder | None:
        """Who has it."""
        with self._locked() as file:
            return self._stored(file)

    def take(self, seen: Holder | None, new: Holder) -> bool:
        """Give it to ``new`` if it is still as it was ``seen``."""
        with self._locked() as file:
            if self._stored(file) != seen:
                return False
            _store(file, new)
            return True

    def beat(self, token: str) -> bool:
        """Count up; False when somebody else has it."""
        with self._locked() as file:
            holder = self._stored(file)
            if holder is None or holder.token != token:
                return False
            _store(file, advanced(holder))
            return True

    def drop(self, token: str) -> None:
        """Give it back, if it is still this driver's."""
        with self._locked() as file:
            holder = self._stored(file)
            if holder is not None and holder.token == token:
                _store(file, None)

    @contextmanager
    def fenced(self, token: str) -> Iterator[None]:
        """Nobody can take the study over within the context.

        Raises:
            LeaseLost: when somebody has.
        """
        with self._locked() as file:
            holder = self._stored(file)
            if holder is None or holder.token != token:
                raise refuse_lost(self._path.parent.name, holder)
            yield

    def _stored(self, file: int) -> Holder | None:
        text = os.pread(file, _RECORD, 0).strip()
        if not text:
            return None
        try:
            return _HOLDER.validate_json(text)
        except ValueError as error:
            path = shlex.quote(str(self._path))
            raise StudyError(
                f"{self._path} does not say any more which driver has the study: it is damaged. Make sure "
                f"that none searches it, on no machine; then `rm {path}` and run the same command again."
            ) from error

    @contextmanager
    def _locked(self) -> Iterator[int]:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._lock(file)
            yield file
        finally:
            os.close(file)

    def _lock(self, file: int) -> None:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{self._path} is locked. {locked_out(self._patience)}") from None
                time.sleep(0.01)


def _store(file: int, holder: Holder | None) -> None:
    text = "" if holder is None else json.dumps(asdict(holder))
    os.pwrite(file, text.encode().ljust(_RECORD), 0)


_LEASES = Table(
    "mmsa_leases",
    MetaData(),
    Column("study", String(512), primary_key=True),
    Column("token", String(32), nullable=False),
    Column("beat", Integer, nullable=False),
    Column("host", String(256), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("since", String(64), nullable=False),
    Column("place", String(256), nullable=False),
)


class SqlLease:
    """A row of the database that holds the study."""

    def __init__(self, engine: Engine, study: str):
        self._engine, self._study = engine, study
        try:
            _LEASES.metadata.create_all(engine)
        except (
            DBAPIError
        ):  # another driver makes the table at this moment; it is there now, or the error stays
            _LEASES.metadata.create_all(engine)

    def read(self) -> Holder | None:
        """Who has it."""
        with self._engine.begin() as connection:
            return self._stored(connection)

    def take(self, seen: Holder | None, new: Holder) -> bool:
        """Give it to ``new`` if it is still as it was ``seen``."""
        row = asdict(new)
        try:
            with self._engine.begin() as connection:
                if seen is None:
                    connection.execute(_LEASES.insert().values(study=self._study, **row))
                    return True
                unchanged = self._update(seen.token).where(_LEASES.c.beat == seen.beat)
                return connection.execute(unchanged.values(**row)).rowcount == 1
        except IntegrityError:  # somebody else was faster
            return False

    def beat(self, token: str) -> bool:
        """Count up; False when somebody else has it."""
        with self._engine.begin() as connection:
            counted = self._update(token).values(beat=_LEASES.c.beat + 1)
            return connection.execute(counted).rowcount == 1

    def drop(self, token: str) -> None:
        """Give it back, if it is still this driver's."""
        mine = (_LEASES.c.study == self._study) & (_LEASES.c.token == token)
        with self._engine.begin() as connection:
            connection.execute(_LEASES.delete().where(mine))

    def fence(self, engine: Engine, token: str) -> None:
        """Let each transaction of ``engine`` that writes hold the lease's row; one without the lease fails.

        A takeover waits for such a transaction to end, so that it sees what was written.
        """
        untouched = self._update(token).values(token=token)

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.info["fenced"] = False

        @event.listens_for(engine, "before_cursor_execute")
        def before(connection: Connection, _: Any, statement: str, *__: Any) -> None:
            if connection.info["fenced"] or not statement.lstrip().startswith(("INSERT", "UPDATE", "DELETE")):
                return
            connection.info["fenced"] = True
            if connection.execute(untouched).rowcount != 1:
                raise refuse_lost(self._study, self._stored(connection))

    def _update(self, token: str) -> Update:
        return _LEASES.update().where(_LEASES.c.study == self._study, _LEASES.c.token == token)

    def _stored(self, connection: Connection) -> Holder | None:
        row = connection.execute(_LEASES.select().where(_LEASES.c.study == self._study)).mappings().first()
        return None if row is None else Holder(**{name: row[name] for name in row if name != "study"})
