"""Who may write to a study: a lease in the study's own storage, kept alive by a heartbeat.

The holder counts a number up. A newcomer takes a lease over when it sees that the holder is dead: the kernel
says so of a process of this machine, and of any other a number that stands still for ``TERM`` seconds of the
newcomer's own monotonic clock. Clocks of two machines are never compared. Whoever loses a lease finds out
before it writes: every write is fenced by the token, in the same transaction.
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
from pathlib import Path
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from mmsa.errors import StudyError

TERM = 20.0
"""Seconds for which a heartbeat must be silent before its holder is taken for dead."""
BEAT = 2.0
"""Seconds between two beats."""


class LeaseLost(StudyError):
    """Another driver took the study over; nothing more may be written."""


@dataclass(frozen=True)
class Holder:
    """A driver that has, or had, a study.

    token: unlike that of any other driver. beat: counts up while it lives. since: when it came, by its clock,
    for people only. place: its machine since it was started, and its process there, where the kernel tells.
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
    """Where a lease is kept; every method is one atomic step."""

    def read(self) -> Holder | None:
        """Who has it."""

    def take(self, seen: Holder | None, new: Holder) -> bool:
        """Give it to ``new`` if it is still as it was ``seen``, beat included."""

    def beat(self, token: str) -> bool:
        """Count up; False when somebody else has it."""

    def drop(self, token: str) -> None:
        """Give it back, if it is still this driver's."""


class Lease:
    """Held from when it is made, by a thread that beats, until it is released.

    Args:
        store: of the study.
        each_beat: done by the thread after each beat.
        place: of this process; another one stands for another machine.
        term, interval: seconds of silence that mean death, and between beats.

    Raises:
        StudyError: when another driver has the study.
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
        here = _place(os.getpid()) if place is None else place
        since = datetime.now(UTC).isoformat(timespec="seconds")
        self._mine = Holder(uuid.uuid4().hex, 0, socket.gethostname(), os.getpid(), since, here)
        self._take(term)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    @property
    def token(self) -> str:
        """By which writes are fenced."""
        return self._mine.token

    def release(self) -> None:
        """Let others have the study at once; where the storage is away, after the term."""
        self._closing.set()
        self._thread.join()
        with suppress(SQLAlchemyError, OSError, StudyError):  # the next driver says what is wrong with it
            self._store.drop(self.token)

    def _take(self, term: float) -> None:
        seen, since = self._store.read(), time.monotonic()
        while not (self._free(seen, time.monotonic() - since, term) and self._store.take(seen, self._mine)):
            time.sleep(min(self._interval, term) / 8)
            now = self._store.read()
            if now is not None and now != seen:
                raise _held(now)
            seen = now

    def _free(self, seen: Holder | None, silent: float, term: float) -> bool:
        if seen is None:
            return True
        if _machine(seen.place) and _machine(seen.place) == _machine(self._mine.place):
            if seen.place == _place(seen.pid):
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


def refuse_lost(study: str, holder: Holder | None) -> LeaseLost:
    """The error for a driver whose study was taken over."""
    return LeaseLost(
        f"study {study!r} was taken over by {holder or 'another driver'} while this process did not answer; "
        "nothing more was written here. Watch the other one, or stop it and run the same command again."
    )


def _held(holder: Holder) -> StudyError:
    return StudyError(
        f"{holder} is searching this study. Wait for it, or stop it (on {holder.host}: kill {holder.pid}; "
        "kill -9 if it does not answer any more) and run the same command again."
    )


def _place(pid: int) -> str:
    """Machine since its start, process namespace, process; empty where the kernel does not tell.

    A process that has ended but was not waited for is none any more.
    """
    try:
        machine = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/pid").readlink()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else f"{machine} {namespace} {pid}/{fields[19]}"


def _machine(place: str) -> str:
    return place.rpartition(" ")[0]


def advanced(holder: Holder) -> Holder:
    """The same holder, one beat later."""
    return replace(holder, beat=holder.beat + 1)
