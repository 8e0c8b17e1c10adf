"""How much memory a trial takes, measured from its first epoch on, and so how many trials run at once."""

from __future__ import annotations

import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mmsa.search.costs import GIB

_STATUS = Path("/proc/self/status")
_SIZE = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)
_SECONDS_BETWEEN_LOOKS = 5.0
_PROCESS = 600 * 2**20  # measured: a worker with its libraries loaded
_BYTES_PER_WEIGHT = 24  # in float32: itself, its gradient, two moments, the best epoch's, the running average


def peak_memory() -> int:
    """Most bytes that this process has held, without files and memory that it shares with others.

    Libraries, and corpora in Ray's store, exist once for all trials of a machine. They are counted only where
    the kernel does not tell them apart.
    """
    if not _STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    kilobytes = {name: int(size) for name, size in _SIZE.findall(_STATUS.read_text())}
    return 1024 * (kilobytes["VmHWM"] - kilobytes["RssFile"] - kilobytes["RssShmem"])


def guessed_memory(num_parameters: int) -> int:
    """A guess, before anything is measured, of the bytes of a process that trains so many weights.

    Activations are left out.
    """
    return _PROCESS + _BYTES_PER_WEIGHT * num_parameters


class ConcurrencyLimit:
    """How many trials may run at once, by the memory that they turn out to take.

    Args:
        fitting: the number of trials of so many bytes that fit into the cluster now; nodes come and go.
        guess: bytes of a trial until one is measured.
        say: takes a line for the user, each time the limit is lowered.
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
        """The number of trials that fit, as of a few seconds ago at most."""
        if self._clock() - self._looked >= _SECONDS_BETWEEN_LOOKS:
            self._look()
        return self._count

    def _look(self) -> None:
        self._count, self._looked = max(1, self._fitting(self._size)), self._clock()

    def saw(self, peak: int) -> None:
        """Note that a trial holds ``peak`` bytes; lower the limit if that is more than any trial before."""
        if peak <= self._peak:
            return
        before = self.count
        self._peak = self._size = peak
        self._look()
        if self._count < before:
            size = f"{peak / GIB:.1f} GiB of memory"
            self._say(f"note: a trial takes {size}; {self._count} run at once from now on")
