"""Memory of trials: what a process holds by itself, and how many of them fit."""

from __future__ import annotations

import subprocess
import sys
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import pytest

from mmsa.search.costs import GIB
from mmsa.search.execution import memory
from mmsa.search.execution.memory import ConcurrencyLimit, guessed_memory, peak_memory

MIB = 2**20


def _looks() -> None:
    """Prints the peak before there is an array, with it, and with shared memory in its place."""
    print(peak_memory())
    array = np.ones(150 * MIB // 8)
    print(peak_memory())
    del array
    shared = SharedMemory(create=True, size=200 * MIB)
    try:
        shared.buf[::4096] = bytes(len(shared.buf[::4096]))
        print(peak_memory())
    finally:
        shared.close()
        shared.unlink()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel does not tell shared memory apart")
def test_what_a_process_held_stays_counted_and_shared_memory_does_not():
    # In a process of its own: this one may have held more before.
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=True)
    before, with_array, with_shared = map(int, done.stdout.split())
    assert before + 150 * MIB <= with_array < before + 200 * MIB
    assert with_shared < with_array + 50 * MIB


def test_where_the_kernel_does_not_tell_all_is_counted(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "missing")
    assert peak_memory() > 20 * MIB


def test_a_process_may_be_called_anything(monkeypatch, tmp_path):
    status = tmp_path / "status"
    status.write_text(
        "Name:\tray::a: b kB\nVmHWM:\t  900 kB\nRssFile:\t 300 kB\nRssShmem:\t 200 kB\nThreads:\t4\n"
    )
    monkeypatch.setattr(memory, "_STATUS", status)
    assert peak_memory() == 400 * 1024


def test_a_guess_grows_with_the_weights():
    assert guessed_memory(100_000_000) - guessed_memory(0) == pytest.approx(2.24 * GIB, rel=0.01)


def test_room_is_guessed_then_measured_and_never_none():
    said: list[str] = []
    limit = ConcurrencyLimit(lambda size: 16 * GIB // size, 2 * GIB, said.append)
    assert limit.count == 8
    limit.saw(1 * GIB)
    assert (limit.count, said) == (16, [])
    limit.saw(4 * GIB)
    limit.saw(3 * GIB)  # of another, smaller one
    assert limit.count == 4
    assert said == ["note: a trial takes 4.0 GiB of memory; 4 run at once from now on"]
    limit.saw(40 * GIB)
    assert limit.count == 1


def test_room_follows_the_machines_that_come_and_go():
    machines, now = [4], [0.0]
    limit = ConcurrencyLimit(lambda size: machines[0] * GIB // size, GIB, print, lambda: now[0])
    for machines[0] in (3, 5):
        now[0] += 60.0
        assert limit.count == machines[0]


if __name__ == "__main__":
    _looks()
