"""Ending a search before it is done: on a signal, a spent budget, failures or a broken storage."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ray.tune import Stopper

from mmsa.errors import StudyError

INTERRUPTED = "interrupted"
"""The reason if a signal asked for the stop."""


class StopRequest(Stopper):  # type: ignore[misc]
    """Ends a search between two steps. Running trials stay as they are, for the next launch.

    Args:
        limit: called between steps; says which budget is spent, or nothing.

    Attributes:
        reason: why a stop was requested; empty if none was.
        spent: what ``limit`` said.
        error: of a study that can no longer be written.
    """

    def __init__(self, limit: Callable[[], str] = lambda: "") -> None:
        self.reason = self.spent = ""
        self.error: StudyError | None = None
        self._limit = limit

    def because(self, reason: str) -> None:
        """Stop now, for ``reason``."""
        self.reason = reason

    def because_of(self, error: StudyError) -> None:
        """Stop now, and end the search with ``error``; the first of several counts."""
        self.error = self.error or error

    def __reduce__(self) -> tuple[type[StopRequest], tuple[()]]:
        """Pickle without contents: Tune writes it into files that are never read."""
        return StopRequest, ()

    @contextmanager
    def on_study_error(self) -> Iterator[None]:
        """Stop if the study cannot be written within the context. Tune would wrap the error, and call on.

        Later reports of the workers are lost on purpose: the next launch adopts their trials.
        """
        try:
            yield
        except StudyError as error:
            self.because_of(error)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Stop no single trial."""
        return False

    def stop_all(self) -> bool:
        """Whether a stop was requested or the limit is reached."""
        self.spent = self.spent or self._limit()
        return bool(self.reason or self.spent or self.error)


@contextmanager
def stopped_by_signals(stop: StopRequest) -> Iterator[None]:
    """Let the first SIGINT, SIGTERM or SIGHUP request a stop; the next SIGINT or SIGTERM acts as before.

    SIGHUP keeps being handled, since a terminal that closes may send it more than once. Under ``nohup`` it
    stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    if before[signal.SIGHUP] == signal.SIG_IGN:
        del before[signal.SIGHUP]

    def restore(*numbers: signal.Signals) -> None:
        for number in numbers:
            signal.signal(number, before[number])

    def ask_to_stop(number: int, frame: object) -> None:
        stop.because(INTERRUPTED)
        restore(signal.SIGINT, signal.SIGTERM)

    for number in before:
        signal.signal(number, ask_to_stop)
    try:
        yield
    finally:
        restore(*before)
