"""Signals that end a search between two steps."""

from __future__ import annotations

import os
import signal

import pytest

from mmsa.search.execution.stop_request import INTERRUPTED, StopRequest, stopped_by_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_asks_for_a_stop(number):
    stop = StopRequest()
    outside = signal.signal(number, signal.SIG_DFL)  # these tests may themselves run under nohup
    try:
        with stopped_by_signals(stop):
            os.kill(os.getpid(), number)
            assert (stop.reason, stop.stop_all()) == (INTERRUPTED, True)
            handled = signal.getsignal(number) != signal.SIG_DFL
            assert handled == (number == signal.SIGHUP)  # which may come again
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, outside)


def test_a_search_under_nohup_is_deaf_to_hangups():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stop = StopRequest()
        with stopped_by_signals(stop):
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.stop_all()
    finally:
        signal.signal(signal.SIGHUP, before)
