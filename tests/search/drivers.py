"""Other processes that drive a study, told one thing after another."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import drive

_CONTEXT = multiprocessing.get_context("forkserver")
# A server that has the imports once: each process of its own would take seconds for them.
_CONTEXT.set_forkserver_preload(
    [
        "mmsa.search.definition.load",
        "mmsa.search.study.study",
        "optuna.storages._rdb.storage",
        "alembic.command",
    ]
)
_SECONDS_TO_STOP = 60.0


class Driver:
    """A process that has, or wants, a study; ``opened`` is what it said of that."""

    def __init__(self, process: BaseProcess, pipe: Connection):
        self.process, self._pipe = process, pipe
        self.opened = self._answer()

    def do(self, what: str) -> str:
        """``ask``, ``report`` or ``finish``: what it answers."""
        self._pipe.send(what)
        return self._answer()

    def stall(self, *, writing: bool = False) -> None:
        """Stop it between two writes, or in the middle of one; ``go_on`` is its counterpart."""
        assert self.do("stall writing" if writing else "stall") == "None"
        status, deadline = Path(f"/proc/{self.process.pid}/stat"), time.monotonic() + _SECONDS_TO_STOP
        while status.read_text(encoding="ascii").rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < deadline, "it does not stop"
            time.sleep(0.01)

    def go_on(self) -> None:
        """Let it run again."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def _answer(self) -> str:
        return str(self._pipe.recv())


@contextmanager
def driver(
    space: Path, runs: Path, url: str | None, machine: str = "", *, hasty: bool = False
) -> Iterator[Driver]:
    """A driver, as if on another ``machine`` if one is named; a ``hasty`` one has little patience."""
    ours, its = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=drive.main, args=(its, space, runs, url, machine, hasty), daemon=True)
    process.start()
    its.close()
    try:
        yield Driver(process, ours)
    finally:
        process.kill()
        process.join()
        ours.close()
