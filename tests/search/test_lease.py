"""Leases: one driver at a time, whatever dies or stalls; the same on a file and in a database."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import create_engine

from mmsa.errors import StudyError
from mmsa.places import place_of_process
from mmsa.search.study.lease import Holder, Lease, LeaseLost, LeaseStore
from mmsa.search.study.lease_stores import FileLease, SqlLease

ELSEWHERE = "another-machine pid:[1] 7/7"
HOLDER = Holder("a" * 32, 5, "there", 7, "2026-11-22T00:00:00+00:00", ELSEWHERE)
Open = Callable[[], LeaseStore]


@pytest.fixture(params=["file", "sqlite"])
def opened(request, tmp_path) -> Open:
    """The same lease, as another process would open it."""
    if request.param == "file":
        return lambda: FileLease(tmp_path / "driver.lease")
    return lambda: SqlLease(create_engine(f"sqlite:///{tmp_path / 'study.db'}"), "tried")


def quick(store: LeaseStore, term: float = 0.3, place: str | None = None) -> Lease:
    return Lease(store, term=term, interval=0.05, place=place)


def test_a_store_changes_hands_only_as_it_was_seen(opened):
    store, other = opened(), opened()
    assert store.read() is None
    assert store.take(None, HOLDER)
    assert other.read() == HOLDER
    newcomer = replace(HOLDER, token="b" * 32, beat=0)
    assert not other.take(None, newcomer)
    assert store.beat(HOLDER.token)
    assert not other.take(HOLDER, newcomer)  # it beat since it was seen
    assert other.take(replace(HOLDER, beat=6), newcomer)
    assert not store.beat(HOLDER.token)
    store.drop(HOLDER.token)
    assert store.read() == newcomer
    other.drop(newcomer.token)
    assert store.read() is None


def test_of_many_newcomers_one_gets_it(opened):
    took: list[bool] = []
    barrier = threading.Barrier(8)

    def take(number: int) -> None:
        store = opened()
        barrier.wait()
        took.append(store.take(None, replace(HOLDER, token=f"{number:032}")))

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(took) == [False] * 7 + [True]


def test_a_lease_that_beats_is_refused_and_says_who_has_it(opened):
    lease = quick(opened(), place=ELSEWHERE)
    with pytest.raises(
        StudyError, match=f"process {os.getpid()} on .* is searching this study. Wait for it, or"
    ):
        quick(opened(), term=30.0)
    lease.release()
    quick(opened(), place=ELSEWHERE).release()


def test_a_heartbeat_that_stands_still_is_taken_over_after_the_term(opened):
    opened().take(None, HOLDER)
    started = time.monotonic()
    lease = quick(opened(), term=0.3)
    assert time.monotonic() - started >= 0.3
    assert opened().read().token == lease.token
    lease.release()


def test_a_clock_that_jumps_changes_nothing(opened, monkeypatch):
    """A holder from the future or the past is judged by its beats alone."""
    jumps = itertools.cycle([0.0, 4e9, 1e9])
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    for since in ("2001-01-01T00:00:00+00:00", "2126-01-01T00:00:00+00:00"):
        store = opened()
        store.take(None, replace(HOLDER, since=since))
        started = time.monotonic()
        lease = quick(opened(), term=0.2)
        assert time.monotonic() - started >= 0.2
        lease.release()


def test_a_dead_process_of_this_machine_needs_no_waiting(opened, tmp_path):
    mine = quick(opened())
    held = opened().read()
    mine.release()
    for gone in (held.place.rpartition("/")[0] + "/1", _place_of_a_dead_process(held.place)):
        opened().take(
            None, replace(held, token="c" * 32, place=gone, pid=int(gone.split()[-1].split("/")[0]))
        )
        lease = quick(opened(), term=3600.0)
        lease.release()


def _place_of_a_dead_process(place: str) -> str:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return f"{place.rpartition(' ')[0]} {process.pid}/1"


def test_a_living_process_of_this_machine_is_refused_however_silent(opened):
    """It may only be stopped; its trials still hold their folders."""
    code = "import time; print('ready', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        there = replace(HOLDER, pid=process.pid, place=place_of_process(process.pid))
        opened().take(None, there)
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(StudyError, match=f"kill {process.pid}; kill -9 if it does not answer"):
            quick(opened(), term=0.1)
        process.kill()
        process.wait()
    quick(opened(), term=3600.0).release()


def test_a_database_that_is_away_for_a_while_costs_no_lease(opened):
    store, failures = opened(), iter([OSError("away")] * 3)

    class Flaky:
        read, take, drop = store.read, store.take, store.drop

        def beat(self, token: str) -> bool:
            for failure in failures:
                raise failure
            return store.beat(token)

    lease = quick(Flaky(), place=ELSEWHERE)
    first = store.read().beat
    deadline = time.monotonic() + 30
    while store.read().beat == first:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    lease.release()


def test_a_file_is_fenced(tmp_path):
    store = FileLease(tmp_path / "driver.lease")
    store.take(None, HOLDER)
    with store.fenced(HOLDER.token):
        pass
    store.take(HOLDER, replace(HOLDER, token="b" * 32))
    with pytest.raises(LeaseLost, match="taken over by process 7 on there"), store.fenced(HOLDER.token):
        pytest.fail("it may not write")
