"""Where leases are stored: in a file beside a journal, or in a table of the study's database.

Both stores also fence writes: a driver that lost its lease is refused in the same atomic step in which it
would have written. A check before the write would leave a gap in which another driver can take over.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, Update, event
from sqlalchemy.exc import DBAPIError, IntegrityError

from mmsa.errors import StudyError
from mmsa.search.locks import locked_within
from mmsa.search.study.lease import Holder, advanced, lease_lost

_HOLDER = TypeAdapter(Holder)
_RECORD = 1024  # bytes, written in one call, so that a dying process leaves the old record or the new one


def locked_out(seconds: float) -> str:
    """Advice about a file that another process keeps locked."""
    return (
        f"Some process has kept it so for {seconds:.0f} seconds, as one does that was stopped in the middle "
        "of a write. `fuser` with the file's path names it: let it go on, or end it, and run the same "
        "command again."
    )


class FileLease:
    """A lease in a file, changed under the file's kernel lock.

    Every method raises ``StudyError`` for a file that holds something other than a lease.

    Args:
        path: of the file.
        patience: seconds to wait for the lock before raising ``TimeoutError``.
    """

    def __init__(self, path: Path, patience: float = 60.0):
        self._path, self._patience = path, patience

    def read(self) -> Holder | None:
        """The current holder; None if nobody holds it."""
        with self._locked() as file:
            return self._stored(file)

    def take(self, seen: Holder | None, new: Holder) -> bool:
        """Give the lease to ``new`` if it is unchanged since it was ``seen``; False if not."""
        with self._locked() as file:
            if self._stored(file) != seen:
                return False
            _store(file, new)
            return True

    def beat(self, token: str) -> bool:
        """Count the heartbeat up; False if somebody else holds the lease."""
        with self._locked() as file:
            holder = self._stored(file)
            if holder is None or holder.token != token:
                return False
            _store(file, advanced(holder))
            return True

    def drop(self, token: str) -> None:
        """Give the lease back if this driver still holds it."""
        with self._locked() as file:
            holder = self._stored(file)
            if holder is not None and holder.token == token:
                _store(file, None)

    @contextmanager
    def fenced(self, token: str) -> Iterator[None]:
        """Keep the study from being taken over within the context.

        Raises:
            LeaseLost: if somebody has taken it over.
        """
        with self._locked() as file:
            holder = self._stored(file)
            if holder is None or holder.token != token:
                raise lease_lost(self._path.parent.name, holder)
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
            if not locked_within(self._patience, file, pause=0.01):  # held for one write at a time
                raise TimeoutError(f"{self._path} is locked. {locked_out(self._patience)}")
            yield file
        finally:
            os.close(file)


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
    """A lease in a row of the database that holds the study."""

    def __init__(self, engine: Engine, study: str):
        self._engine, self._study = engine, study
        try:
            _LEASES.metadata.create_all(engine)
        except DBAPIError:  # another driver created the table at this moment, or the error comes again
            _LEASES.metadata.create_all(engine)

    def read(self) -> Holder | None:
        """The current holder; None if nobody holds it."""
        with self._engine.begin() as connection:
            return self._stored(connection)

    def take(self, seen: Holder | None, new: Holder) -> bool:
        """Give the lease to ``new`` if it is unchanged since it was ``seen``; False if not."""
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
        """Count the heartbeat up; False if somebody else holds the lease."""
        with self._engine.begin() as connection:
            counted = self._update(token).values(beat=_LEASES.c.beat + 1)
            return connection.execute(counted).rowcount == 1

    def drop(self, token: str) -> None:
        """Give the lease back if this driver still holds it."""
        mine = (_LEASES.c.study == self._study) & (_LEASES.c.token == token)
        with self._engine.begin() as connection:
            connection.execute(_LEASES.delete().where(mine))

    def fence(self, engine: Engine, token: str) -> None:
        """Make each writing transaction of ``engine`` lock the lease's row, and fail without the lease.

        A takeover waits for such a transaction to end, so it sees what was written.
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
                raise lease_lost(self._study, self._stored(connection))

    def _update(self, token: str) -> Update:
        return _LEASES.update().where(_LEASES.c.study == self._study, _LEASES.c.token == token)

    def _stored(self, connection: Connection) -> Holder | None:
        row = connection.execute(_LEASES.select().where(_LEASES.c.study == self._study)).mappings().first()
        return None if row is None else Holder(**{name: row[name] for name in row if name != "study"})
