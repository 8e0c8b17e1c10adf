"""From one trial to the first epoch of the next: in warm processes, and in a fresh process for each trial.

Warm: a search on one slot, from when the driver is told that a trial has ended to when it is told the first
epoch of the next one. That is the sampler, study, Ray Tune, building model and optimiser, an epoch of one
step, and its evaluation. Fresh: the same epoch in processes that are started for it, without Ray, study and
sampler. Trials of one and of two workers, in turns.

    python benchmarks/search/warm_start.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch.distributed as dist

from mmsa.config import parse
from mmsa.data import open_corpus
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.execution.cluster import ray_cluster
from mmsa.search.execution.executor import SearchOptions, run_search
from mmsa.training import ALONE, Team, epochs

sys.path.append(str(Path(__file__).parents[1]))
from figures import Figure, record

TRIALS, FRESH, TURNS = 12, 1, 3
WORKERS = (1, 2)
GOAL = 0.2


def study_of(workers: int, turn: int) -> StudyConfig:
    values = {
        "study": f"warm-{workers}-{turn}",
        "base": {
            "data": {"name": "planted", "rows_train": 64, "rows_valid": 32},
            "model": {"name": "mmim"},
            "train": {"epochs": 2, "batch_size": 64, "device": "cpu", "threads": 1},
        },
        "search": {
            "parameters": {"optim.lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}},
            "objectives": [{"metric": "valid/mae", "direction": "minimize"}],
            "trials": TRIALS,
            "references": "constant",
            "scheduler": {"name": "none"},
        },
        "resources": {"workers": workers},
    }
    return parse(StudyConfig, values, "benchmark")


class Clock:
    """An observer of the search: seconds from the end of each trial to the first epoch of the next."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._ended: float | None = None

    def __getattr__(self, event: str) -> Callable[..., None]:
        return lambda *_: None

    def trial_epoch(self, number: int, epoch: int, metrics: Any) -> None:
        if epoch == 1 and self._ended is not None:
            self.seconds.append(time.perf_counter() - self._ended)

    def trial_finished(self, *_: Any) -> None:
        self._ended = time.perf_counter()


def warm(workers: int, turn: int, runs: Path) -> list[float]:
    clock = Clock()
    options = SearchOptions(runs, concurrency=1)
    run_search(study_of(workers, turn), options, [clock], lambda line: None)
    return clock.seconds


def fresh(workers: int, folder: Path) -> float:
    started = time.perf_counter()
    command = [sys.executable, __file__, str(folder), str(workers)]
    processes = [subprocess.Popen([*command, str(rank)]) for rank in range(workers)]
    failed = [process.wait() for process in processes]
    if any(failed):
        raise RuntimeError(f"processes ended with {failed}")
    return time.perf_counter() - started


def train_one_epoch(folder: Path, workers: int, rank: int) -> None:
    team = ALONE
    if workers > 1:
        store = dist.FileStore(str(folder / "rendezvous"), workers)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=workers)
        team = Team(dist.group.WORLD)
    config = study_of(workers, 0).base
    next(epochs(config, open_corpus(config.data, ("train", "valid")), team=team))


def turns(root: Path) -> Iterator[tuple[str, int, list[float]]]:
    for turn in range(TURNS):
        for workers in WORKERS:
            yield "warm", workers, warm(workers, turn, root / "runs")
            folders = [Path(tempfile.mkdtemp(dir=root)) for _ in range(FRESH)]
            yield "fresh", workers, [fresh(workers, folder) for folder in folders]


def main() -> None:
    seconds: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as name, ray_cluster(cpus=max(WORKERS)):
        for kind, workers, measured in turns(Path(name)):
            seconds.setdefault((kind, workers), []).extend(measured)
    figures = {}
    for workers in WORKERS:
        label = "1_worker" if workers == 1 else f"{workers}_workers"
        own, reference = median(seconds["warm", workers]), median(seconds["fresh", workers])
        what = (
            f"a process started for the trial alone: {reference:.3g} s, {reference / own:.0f} times as long"
        )
        figures[f"warm_start_s/{label}"] = Figure(own, "s", what, GOAL)
        print(f"{label}: {own:.3f} s warm, {reference:.3f} s in a fresh process, {reference / own:.0f} x")
    print(record("search", figures))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        train_one_epoch(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
