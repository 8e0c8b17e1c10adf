"""How much memory a trial takes, and so how many run at once: measured, from the first epoch on."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path

GIB = 2**30
_STATUS = Path("/proc/self/status")
_SIZE = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)
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
        fitting: how many processes of so many bytes the machines hold.
        guess: bytes of a trial until one is measured.
        say: takes a line for the user, each time that there is less room.
    """

    def __init__(self, fitting: Callable[[int], int], guess: int, say: Callable[[str], None]):
        self._fitting, self._say = fitting, say
        self._peak = 0
        self.count = max(1, fitting(guess))

    def saw(self, peak: int) -> None:
        """A trial was seen to hold so many bytes."""
        if peak <= self._peak:
            return
        self._peak = peak
        count = max(1, self._fitting(peak))
        if count < self.count:
            self._say(f"note: a trial takes {peak / GIB:.1f} GiB of memory; {count} run at once from now on")
        self.count = count
