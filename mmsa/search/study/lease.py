"""Who may write to a study: a lease in the study's own storage, kept alive by a heartbeat.

The holder keeps counting a number up. A newcomer takes the lease over if the holder is dead: for a process on
this machine the kernel knows, for any other the number must have stood still for ``TERM`` seconds of the
newcomer's own monotonic clock. Clocks of two machines are never compared. A driver that loses its lease finds
out before it writes, since every write is fenced by the token in the same transaction.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from mmsa.errors import StudyError
from mmsa.places import machine_of, place_of_process

TERM = 20.0
"""Seconds without a heartbeat after which the holder counts as dead."""
BEAT = 2.0
"""Seconds between two heartbeats."""


class LeaseLost(StudyError):
    """Another driver has taken the study over; nothing more may be written."""


@dataclass(frozen=True)
class Holder:
    """A driver that holds, or held, a study.

    Attributes:
        token: unique to the driver.
        beat: counts up while the driver lives.
        host: name of its machine, for people.
        pid: of its process there, for people.
        since: when it took the lease, by its own clock, for people.
        place: identifies the boot of its machine and the process there; empty where the kernel does not tell.
    """

    token: str
    beat: int
    host: str
    pid: int
    since: str
    place: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} (since {self.since})"


class LeaseStore(Protocol):
    """Where a lease is stored; every method is one atomic step."""

    def read(self) -> Holder | None:
        """The current holder; None if nobody holds it."""

    def take(self, seen: Holder | None, new: Holder) -> bool:
        """Give the lease to ``new`` if it is unchanged since it was ``seen``, beat included; False if not."""

    def beat(self, token: str) -> bool:
        """Count the heartbeat up; False if somebody else holds the lease."""

    def drop(self, token: str) -> None:
        """Give the lease back if this driver still holds it."""


class Lease:
    """A lease that is held from its construction until it is released, by a thread that sends heartbeats.

    Args:
        store: of the study.
        each_beat: called by the thread after each heartbeat.
        place: of this process; tests pretend to be on another machine with it.
        term: seconds without a heartbeat after which a holder counts as dead.
        interval: seconds between two heartbeats.

    Raises:
        StudyError: if another driver holds the study.
    """

    def __init__(
        self,
        store: LeaseStore,
        each_beat: Callable[[], None] = lambda: None,
        *,
        place: str | None = None,
        term: float = TERM,
        interval: float = BEAT,
    ):
        self._store, self._each_beat, self._interval = store, each_beat, interval
        here = place_of_process(os.getpid()) if place is None else place
        since = datetime.now(UTC).isoformat(timespec="seconds")
        self._mine = Holder(uuid.uuid4().hex, 0, socket.gethostname(), os.getpid(), since, here)
        self._take(term)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    @property
    def token(self) -> str:
        """The token by which writes are fenced."""
        return self._mine.token

    def release(self) -> None:
        """Let another driver take the study at once, or after the term if the storage cannot be reached."""
        self._closing.set()
        self._thread.join()
        with suppress(SQLAlchemyError, OSError, StudyError):  # the next driver says what is wrong with it
            self._store.drop(self.token)

    def _take(self, term: float) -> None:
        seen, since = self._store.read(), time.monotonic()
        while not (self._free(seen, time.monotonic() - since, term) and self._store.take(seen, self._mine)):
            time.sleep(min(self._interval, term) / 8)
            now = self._store.read()
            # A number that moved shows a living driver, and so does another token: no need to wait for the
            # term.
            if now is not None and now != seen:
                raise _held(now)
            seen = now

    def _free(self, seen: Holder | None, silent: float, term: float) -> bool:
        if seen is None:
            return True
        if machine_of(seen.place) and machine_of(seen.place) == machine_of(self._mine.place):
            # The kernel knows more than a heartbeat: a driver of this machine that is stopped is silent and
            # not dead.
            if seen.place == place_of_process(seen.pid):
                raise _held(seen)
            return True
        return silent >= term

    def _keep(self) -> None:
        while not self._closing.wait(self._interval):
            try:
                if not self._store.beat(self.token):
                    return  # the next write says so
                self._each_beat()
            except StudyError:  # so it does then
                return
            except (SQLAlchemyError, OSError):  # it is away; writes have their own patience
                continue


def lease_lost(study: str, holder: Holder | None) -> LeaseLost:
    """The error for a driver whose study was taken over; the caller raises it."""
    return LeaseLost(
        f"study {study!r} was taken over by {holder or 'another driver'} while this process did not answer; "
        "nothing more was written here. Watch the other one, or stop it and run the same command again."
    )


def _held(holder: Holder) -> StudyError:
    return StudyError(
        f"{holder} is searching this study. Wait for it, or stop it (on {holder.host}: kill {holder.pid}; "
        "kill -9 if it does not answer any more) and run the same command again."
    )


def advanced(holder: Holder) -> Holder:
    """The same holder, one heartbeat later."""
    return replace(holder, beat=holder.beat + 1)
