"""A file that one process at a time holds. The kernel takes it back when that process dies."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from pathlib import Path

_SECONDS_BETWEEN_TRIES = 0.1


class Held(Exception):
    """Another process has the lock; ``holder`` says which."""

    def __init__(self, holder: str):
        super().__init__(f"held by {holder}")
        self.holder = holder


class ProcessLock:
    """Held from when it is made until it is released or the process ends.

    Args:
        path: of the file, which says who holds it.
        patience: seconds to wait for it.

    Raises:
        Held: when another process still has it then.
    """

    def __init__(self, path: Path, patience: float = 0.0):
        self._file = path.open("a+", encoding="utf-8")
        deadline = time.monotonic() + patience
        while not self._taken():
            if time.monotonic() >= deadline:
                self._file.seek(0)
                holder = self._file.read().strip() or "another process"
                self._file.close()
                raise Held(holder)
            time.sleep(_SECONDS_BETWEEN_TRIES)
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._file.flush()

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let others in."""
        self._file.close()
