"""Ending a search before it is done: why, and by what."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ray.tune import Stopper

from mmsa.errors import StudyError

INTERRUPTED = "interrupted"
"""The reason when a signal asked for it."""


class StopRequest(Stopper):  # type: ignore[misc]
    """Ends a search between two steps; trials that run stay as they are, for the next launch.

    Args:
        limit: asked between steps; says which budget is spent, or nothing.

    ``reason`` is why a stop was asked for, ``spent`` what the limit said, ``error`` that of a study which
    cannot be written any more.
    """

    def __init__(self, limit: Callable[[], str] = lambda: "") -> None:
        self.reason = self.spent = ""
        self.error: StudyError | None = None
        self._limit = limit

    def because(self, reason: str) -> None:
        """Stop now."""
        self.reason = reason

    def because_of(self, error: StudyError) -> None:
        """Stop now, and let the search end with ``error``; of several the first one counts."""
        self.error = self.error or error

    def __reduce__(self) -> tuple[type[StopRequest], tuple[()]]:
        """Tune writes it into files that are never read; what it holds belongs to this process."""
        return StopRequest, ()

    @contextmanager
    def on_study_error(self) -> Iterator[None]:
        """Stop when the study cannot be written. Tune would wrap the error, and call back all the same.

        What the workers hand in from then on is not told to anybody: the next launch adopts those trials.
        """
        try:
            yield
        except StudyError as error:
            self.because_of(error)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial is stopped."""
        return False

    def stop_all(self) -> bool:
        """Whether a stop was asked for, or a limit is reached."""
        self.spent = self.spent or self._limit()
        return bool(self.reason or self.spent or self.error)


@contextmanager
def stopped_by_signals(stop: StopRequest) -> Iterator[None]:
    """The first SIGINT, SIGTERM or SIGHUP asks for a stop; after it, the first two do what they did before.

    A terminal that closes may send SIGHUP more than once. Under ``nohup``, which ignores it, it stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may change handlers
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
