"""Other processes that drive a study, told line by line what to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DRIVER = """
import sys
from pathlib import Path
from mmsa.errors import StudyError
from mmsa.search.study import ledger, lease, storage
from mmsa.search.definition.load import load_space
from mmsa.search.records import Ending
from mmsa.search.study.study import Study

space, runs, url, machine, hasty = sys.argv[1:]
if machine:  # the same kernel, but nobody can know
    lease._place = lambda pid: f"{machine} pid:[1] {pid}/1"
if hasty:
    ledger.PAUSES = (0.1, 0.2)
real = storage.Lease
storage.Lease = lambda *details: real(*details, term=1.0, interval=0.1)

def do(line):
    global suggestion
    if line == "ask":
        suggestion = study.ask()
        return suggestion and f"{suggestion.number} {suggestion.resume}"
    if line == "report":
        return study.report(suggestion.number, 1, {"valid/mae": 1.0}, 1.0)
    if line == "finish":
        return study.finish(suggestion.number, Ending("completed", {"valid/mae": 1.0}))

try:
    study = Study.open(load_space(space), Path(runs), url or None)
    print("open", flush=True)
    for line in sys.stdin:
        print(do(line.strip()), flush=True)
    study.close()
except StudyError as error:
    print(type(error).__name__, str(error).replace("\\n", " "), flush=True)
"""


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

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def driver(
    space: Path, runs: Path, url: str | None, machine: str = "", *, hasty: bool = False
) -> Iterator[Driver]:
    """A driver, as if on another ``machine`` if one is named; a ``hasty`` one waits for no storage."""
    arguments = [str(space), str(runs), url or "", machine, "hasty" if hasty else ""]
    command = [sys.executable, "-c", _DRIVER, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Driver(process)
        finally:
            process.kill()
