"""What the study and the mirror cost per trial and per report, against Ray Tune alone.

Trials that do nothing, random search, as many at a time as there are cores. Bare Tune: the same trainable,
the same settings, nothing logged. Ours: searcher, study (journal file), callbacks and the MLflow mirror
(SQLite), as a search has them. Both in turns in one run, because the machine's speed changes from minute to
minute; the figures to trust are the ratios.

    python benchmarks/search/bookkeeping.py [--trials 100 1000 10000] [--turns 3] [--resume] [--profile FILE]
"""

from __future__ import annotations

import argparse
import cProfile
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))

import ray
from figures import Figure, record
from ray import tune

from mmsa.config import parse
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.execution import executor
from mmsa.search.execution.cluster import ray_cluster
from mmsa.search.execution.executor import SearchOptions, run_search
from mmsa.search.execution.trial import Report, SearchTrial
from mmsa.search.summary import SearchSummary
from mmsa.tracking import Location, MirrorProcess

# By value: the processes of a search find the packages of the driver, not the scripts beside it.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

SLOTS = os.cpu_count() or 1
METRICS = {f"valid/{name}": 0.5 for name in ("mae", "pearson", "acc2", "acc7", "f1")}
LONG = 20
"""Reports of a trial where reports are counted."""


class Trivial(SearchTrial):
    """Reports ``epochs`` times; what it reports is what a trial of a search reports."""

    epochs = 1

    def setup(self, config: dict[str, Any], **_: Any) -> None:
        self._epoch = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._epoch = 0
        return True

    def cleanup(self) -> None:
        """There is nothing to clean up."""

    def step(self) -> dict[str, Any]:
        self._epoch += 1
        done = self._epoch == self.epochs
        outcome = "completed" if done else "running"
        report = Report(outcome, self._epoch, METRICS, best_epoch=self._epoch, best=METRICS)
        return {"report": report, "epoch": self._epoch, "value": 0.5, "done": done}


class TrivialLong(Trivial):
    """Many reports."""

    epochs = LONG


def config(trials: int) -> StudyConfig:
    ranges = {
        "optim.lr": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
        "optim.weight_decay": {"type": "float", "low": 1e-6, "high": 1e-1, "log": True, "zero": 0.2},
        "model.fusion.dropout": {"type": "float", "low": 0.0, "high": 0.5},
        "model.fusion.width": {"type": "int", "low": 8, "high": 256, "log": True},
        "train.batch_size": {"type": "categorical", "choices": [10, 20, 40]},
    }
    values = {
        "study": "bookkeeping",
        "base": {
            "data": {"name": "planted"},
            "model": {"name": "late_fusion"},
            "train": {"epochs": 50, "batch_size": 20, "device": "cpu", "threads": 1},
            "optim": {"weight_decay": 0.001},
        },
        "search": {
            "parameters": ranges,
            "objectives": [{"metric": "valid/mae", "direction": "minimize"}],
            "trials": trials,
            "references": "constant",
            "sampler": {"name": "random"},
            "scheduler": {"name": "none"},
        },
    }
    return parse(StudyConfig, values, "benchmark")


class Watch:
    """Observer that takes the time from before the first trial to after the last."""

    def __init__(self) -> None:
        self.first: float | None = None

    def __getattr__(self, event: str) -> Callable[..., None]:
        return lambda *_: None

    def start_study(self, *_: Any) -> None:
        self.started = time.perf_counter()

    def trial_started(self, *_: Any) -> None:
        self.first = self.first or time.perf_counter()

    def close(self) -> None:
        self.seconds = time.perf_counter() - self.started


def bare(trainable: type[Trivial], trials: int) -> float:
    """Seconds of Tune alone."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        tune.run(
            trainable,
            config={"x": tune.uniform(0.0, 1.0)},
            num_samples=trials,
            storage_path=folder,
            resources_per_trial=tune.PlacementGroupFactory([{"CPU": 1}]),
            max_concurrent_trials=SLOTS,
            reuse_actors=True,
            verbose=0,
        )
        return time.perf_counter() - started


def search(trainable: type[Trivial], trials: int, runs: Path) -> tuple[SearchSummary, Watch]:
    """A search with study and mirror; the mirror may write on for a moment after the watch has stopped."""
    watch = Watch()
    with mock.patch.object(executor, "trainable_for", return_value=trainable):
        mirror = MirrorProcess(Location.of(runs), print)
        summary = run_search(config(trials), SearchOptions(runs), [watch, mirror], lambda line: None)
    assert summary.counts == {"completed": trials}
    return summary, watch


def resume(trials: int, runs: Path) -> float:
    """Seconds from the command to the first new trial of a study that has so many."""
    started = time.perf_counter()
    _, watch = search(Trivial, trials + 1, runs)
    assert watch.first is not None
    return watch.first - started


def measure_resume(trials: int, runs: Path) -> dict[str, Figure]:
    seconds = resume(trials, runs)
    print(f"resumed after {trials} trials in {seconds:.1f} s", flush=True)
    reference = "from the command in a warm process to the first new trial, mirror on"
    return {f"resume_{trials}_s": Figure(seconds, "s", reference, goal=60.0)}


def measure(trials: int, turns: int) -> dict[str, Figure]:
    rates, reports, figures = [], [], {}
    what = f"{trials:,} trials that do nothing, {SLOTS} at once; study and mirror on; median of {turns} turns"
    for turn in range(turns):
        with tempfile.TemporaryDirectory() as folder:
            runs = Path(folder)
            rates.append(bare(Trivial, trials) / search(Trivial, trials, runs)[1].seconds)
            print(f"{trials} trials, turn {turn}: {rates[-1]:.3f} of bare Tune's rate", flush=True)
            if turn == 0:
                figures |= measure_resume(trials, runs)
        with tempfile.TemporaryDirectory() as folder:
            few = trials // LONG
            reports.append(bare(TrivialLong, few) / search(TrivialLong, few, Path(folder))[1].seconds)
            print(f"{trials} reports, turn {turn}: {reports[-1]:.3f} of bare Tune's rate", flush=True)
    figures[f"trial_rate_vs_bare_tune/{trials}"] = _ratio(median(rates), what)
    figures[f"report_rate_vs_bare_tune/{trials}"] = _ratio(
        median(reports), f"as many reports, {LONG} a trial; otherwise as the trials"
    )
    return figures


def _ratio(value: float, reference: str) -> Figure:
    return Figure(value, "ratio", reference, goal=0.9, better="higher")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--profile", type=Path, help="profile the driver over the first number of trials")
    parser.add_argument("--turns", type=int, default=3, help="of both, of which the median ratio is kept")
    parser.add_argument("--resume", action="store_true", help="only the resume of a study, no rates")
    args = parser.parse_args()
    with ray_cluster(cpus=SLOTS):
        bare(Trivial, SLOTS)  # imports and processes
        if args.profile:
            profile = cProfile.Profile()
            with tempfile.TemporaryDirectory() as folder:
                profile.runcall(search, Trivial, args.trials[0], Path(folder))
            profile.dump_stats(args.profile)
            return
        for trials in args.trials:
            if args.resume:
                with tempfile.TemporaryDirectory() as folder:
                    search(Trivial, trials, Path(folder))
                    record("search", measure_resume(trials, Path(folder)))
            else:
                record("search", measure(trials, args.turns))


if __name__ == "__main__":
    main()
