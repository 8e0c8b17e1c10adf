"""How much memory a trial takes, and so how many run at once: measured, from the first epoch on."""

from __future__ import annotations

import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

GIB = 2**30
_STATUS = Path("/proc/self/status")
_SIZE = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)
_SECONDS_BETWEEN_LOOKS = 5.0
_PROCESS = 600 * 2**20  # a worker with its libraries loaded, measured
_BYTES_PER_WEIGHT = 24  # in float32: itself, its gradient, two moments, the best epoch's, the running average


def peak_memory() -> int:
    """Bytes that this process has held at most by itself, without files and memory it shares with others.

    Corpora in Ray's store and libraries are there once for all trials of a machine. Where the kernel does not
    tell them apart, they are counted.
    """
    if not _STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    kilobytes = {name: int(size) for name, size in _SIZE.findall(_STATUS.read_text())}
    return 1024 * (kilobytes["VmHWM"] - kilobytes["RssFile"] - kilobytes["RssShmem"])


def guessed_memory(num_parameters: int) -> int:
    """Bytes of a process that trains so many weights, before any has been measured; activations left out."""
    return _PROCESS + _BYTES_PER_WEIGHT * num_parameters


class Room:
    """How many trials may run at once.

    Args:
        fitting: how many processes of so many bytes the machines hold; nodes come and go.
        guess: bytes of a trial until one is measured.
        say: takes a line for the user, each time that trials turn out to need more room than there is.
        clock: in seconds.
    """

    def __init__(
        self,
        fitting: Callable[[int], int],
        guess: int,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._fitting, self._say, self._clock = fitting, say, clock
        self._peak = 0
        self._size = guess
        self._look()

    @property
    def count(self) -> int:
        """As many as the machines held a few seconds ago."""
        if self._clock() - self._looked >= _SECONDS_BETWEEN_LOOKS:
            self._look()
        return self._count

    def _look(self) -> None:
        self._count, self._looked = max(1, self._fitting(self._size)), self._clock()

    def saw(self, peak: int) -> None:
        """A trial was seen to hold so many bytes."""
        if peak <= self._peak:
            return
        before = self.count
        self._peak = self._size = peak
        self._look()
        if self._count < before:
            size = f"{peak / GIB:.1f} GiB of memory"
            self._say(f"note: a trial takes {size}; {self._count} run at once from now on")
