"""Files that one process of a machine holds at a time. The kernel releases them when that process dies."""

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


def locked_within(patience: float, file: int, pause: float = _SECONDS_BETWEEN_TRIES) -> bool:
    """Lock an open file, retrying for ``patience`` seconds; False if another process still has it then.

    Args:
        patience: seconds; 0 tries once.
        file: its descriptor; closing it releases the lock.
        pause: seconds between two tries.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Tries instead of one blocking call: a signal handler of Python runs only between two calls.
            if time.monotonic() >= deadline:
                return False
            time.sleep(pause)
        else:
            return True


class ProcessLock:
    """A lock that is held from its construction until it is released or the process ends.

    Args:
        path: of the file, which says who holds it.
        patience: seconds to wait for it.

    Raises:
        Held: if another process still has it then.
    """

    def __init__(self, path: Path, patience: float = 0.0):
        self._file = path.open("a+", encoding="utf-8")
        if not locked_within(patience, self._file.fileno()):
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise Held(holder)
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._file.flush()

    def release(self) -> None:
        """Let other processes take the lock."""
        self._file.close()
