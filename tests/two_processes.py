"""Two processes that talk over gloo, for tests of what is computed together."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing

WORLD = 2


def in_two_processes(work: Callable[[int, str], Any], folder: Path) -> list[Any]:
    """What ``work(rank, folder)`` returns in each of two processes that are one process group.

    They are forked from a server that has imported torch and mmsa once for all tests: a process that imports
    them for itself takes seconds. The test process is not forked, since it may hold threads and a GPU.
    """
    multiprocessing.set_forkserver_preload(["mmsa.training", "mmsa.information", "pytest"])
    torch.multiprocessing.start_processes(
        _joined, args=(work, str(folder)), nprocs=WORLD, start_method="forkserver"
    )
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


def _joined(rank: int, work: Callable[[int, str], Any], folder: str) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/rendezvous", WORLD)
    patience = timedelta(seconds=20)
    dist.init_process_group("gloo", rank=rank, world_size=WORLD, store=store, timeout=patience)
    torch.save(work(rank, folder), f"{folder}/{rank}.pt")
