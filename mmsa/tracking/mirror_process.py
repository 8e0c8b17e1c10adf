"""The MLflow mirror in a process of its own.

MLflow takes seconds to load and 20 ms of computing per trial. In the driver's process that time would be
taken from the search, and matters when trials are short.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from queue import SimpleQueue
from textwrap import indent
from typing import Any

from mmsa.interface import NOTHING, BestEpoch, Outcome, ReferencePoint, Scalar, Stage, StudyCard, TrialCard
from mmsa.measurement import Measurement
from mmsa.provenance import python_path, running_code
from mmsa.tracking.location import Location
from mmsa.tracking.mirror import Mirror, advice

_LINE, _PAGE = "line", "page"  # what the process sends: a line for the user, or an address
_GRACE = 10.0
"""Seconds that the process may take beyond the mirror's patience, in which it may still be loading MLflow."""


class MirrorProcess:
    """Observer that forwards every event to a ``Mirror`` in another process.

    It waits for that process in ``close`` only. The process ends with the driver, however the driver ends;
    what it has not written, the next launch writes.

    Args:
        location: the MLflow store.
        say: is given lines for the user, from a background thread.
        interval: of the mirror.
        patience: of the mirror.

    Attributes:
        page: address of the page to look at; empty before the mirror has written it.
    """

    def __init__(
        self, location: Location, say: Callable[[str], None], *, interval: float = 5.0, patience: float = 30.0
    ):
        self.page = ""
        self._location, self._say = location, say
        self._interval, self._patience = interval, patience
        self._events: SimpleQueue[tuple[str, float, tuple[Any, ...]]] = SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        self._overdue = False

    def start_study(self, study: StudyCard, earlier: Sequence[TrialCard]) -> None:
        """Start the process, which writes ``earlier`` trials that MLflow lacks first."""
        self._study = study
        self._connection, theirs = Pipe()
        entry = (
            f"from {__name__} import serve_mirror; serve_mirror({theirs.fileno()}, {running_code().path!r})"
        )
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-c", entry],  # -P: not what lies in the working folder
            env=os.environ | {"PYTHONPATH": python_path()},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        self._sender = threading.Thread(target=self._send, name="to-mlflow-mirror", daemon=True)
        self._listener = threading.Thread(target=self._listen, name="from-mlflow-mirror", daemon=True)
        self._sender.start()
        self._listener.start()
        self._tell("open", self._location, self._interval, self._patience)
        self._tell("start_study", study, earlier)

    def trial_started(
        self, number: int, params: Mapping[str, Scalar], config: Mapping[str, Any], stage: Stage = "search"
    ) -> None:
        """A trial starts, or starts again from its checkpoint."""
        self._tell("trial_started", number, dict(params), dict(config), stage)

    def trial_epoch(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """An epoch is over."""
        self._tell("trial_epoch", number, epoch, dict(metrics))

    def trial_paused(self, number: int) -> None:
        """Do nothing: in MLflow, a paused trial is running until it ends."""

    def trial_measured(self, number: int, information: Mapping[str, Measurement]) -> None:
        """Information was measured on the best epoch of a trial."""
        self._tell("trial_measured", number, dict(information))

    def trial_finished(
        self,
        number: int,
        outcome: Outcome,
        values: Sequence[float],
        reason: str,
        best: BestEpoch = NOTHING,
    ) -> None:
        """A trial ended."""
        self._tell("trial_finished", number, outcome, tuple(values), reason, best)

    def reference_known(self, reference: ReferencePoint) -> None:
        """A reference point was measured or compared anew."""
        self._tell("reference_known", reference)

    def close(self) -> None:
        """Let the mirror write what is left, and wait for it as long as its patience."""
        if self._process is None:
            return
        self._tell("close")
        try:
            self._process.wait(self._patience + _GRACE)
        except subprocess.TimeoutExpired:
            self._overdue = True
            self._process.kill()
        self._sender.join()
        self._listener.join()
        self._connection.close()

    def _tell(self, event: str, *details: Any) -> None:
        self._events.put((event, time.time(), details))

    def _send(self) -> None:
        event = ""
        while event != "close":
            event, moment, details = self._events.get()
            with suppress(OSError):  # the process is gone, and the listener says so
                self._connection.send((event, moment, details))

    def _listen(self) -> None:
        assert self._process is not None
        with suppress(EOFError, OSError):
            while True:
                what, text = self._connection.recv()
                if what == _PAGE:
                    self.page = text
                    text = f"to watch:\n{indent(self._location.how_to_browse(text), '  ')}"
                self._say(text)
        if code := self._process.wait():
            cause = f"the process that writes it ended with code {code}"
            told = f"MLflow cannot be written ({cause}); the search goes on"
            if self._overdue:
                patience = self._patience + _GRACE
                told = f"MLflow lacks the last of the search: it was not written within {patience:.0f} s"
            self._say(f"{told}. {advice(self._study.name, self._location)}")


def serve_mirror(descriptor: int, code: str) -> None:
    """Main function of the process: handle the events of one study until ``close``, or the driver's end.

    Args:
        descriptor: of the connection to the driver.
        code: folder of the driver's mmsa, which must be ours too.
    """
    if running_code().path != code:
        sys.exit(f"error: the MLflow mirror found {running_code().path}, and the driver runs {code}")
    os.nice(5)  # on a full machine the trials come first
    # These reach all processes of a job. Only the driver decides when a search ends.
    for interruption in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(interruption, signal.SIG_IGN)
    connection: Connection = Connection(descriptor)
    event, moment, details = connection.recv()
    location, interval, patience = details
    mirror = Mirror(
        location,
        lambda line: connection.send((_LINE, line)),
        interval=interval,
        patience=patience,
        clock=lambda: moment,
        show=lambda page: connection.send((_PAGE, page)),
        monitors=True,
    )
    while event != "close":
        try:
            event, moment, details = connection.recv()
        except EOFError:
            sys.exit(1)
        getattr(mirror, event)(*details)
