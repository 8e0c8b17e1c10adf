"""Other processes that drive a study, told line by line what to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DRIVER = Path(__file__).with_name("drive.py")


class Driver:
    """A process that has, or wants, a study; ``opened`` is what it said of that."""

    def __init__(self, process: subprocess.Popen[str]):
        self.process = process
        self.opened = self._line()

    def do(self, what: str) -> str:
        """``ask``, ``report`` or ``finish``: what it answers."""
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self._line()

    def stall(self, *, writing: bool = False) -> None:
        """Stop it between two writes, or in the middle of one; ``go_on`` is its counterpart."""
        assert self.do("stall writing" if writing else "stall") == "None"
        _, status = os.waitpid(self.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def go_on(self) -> None:
        """Let it run again."""
        self.process.send_signal(signal.SIGCONT)

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def driver(
    space: Path, runs: Path, url: str | None, machine: str = "", *, hasty: bool = False
) -> Iterator[Driver]:
    """A driver, as if on another ``machine`` if one is named; a ``hasty`` one has little patience."""
    arguments = [str(space), str(runs), url or "", machine, "hasty" if hasty else ""]
    command = [sys.executable, str(_DRIVER), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Driver(process)
        finally:
            process.kill()
