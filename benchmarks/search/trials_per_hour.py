"""Trials per hour and core of a search, against the same configurations trained one after the other.

A 32-trial MMIM search on planted data in the shape of CMU-MOSI: 1,284 and 229 rows, 768 features of a clip's
text, 5 and 20 a frame of up to 50. Random search, so that all three train the same 32 configurations: one
process that trains each to its last epoch, a search without pruning, a search with ASHA. One thread each.

A search is timed from the command in a process that has its cluster, so the start of its workers counts.

    python benchmarks/search/trials_per_hour.py [--trials 32]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmsa.config import parse, with_overrides
from mmsa.data import open_corpus
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.execution.cluster import ray_cluster
from mmsa.search.execution.executor import SearchOptions, run_search
from mmsa.training import run

sys.path.append(str(Path(__file__).parents[1]))
from figures import Figure, record

SLOTS = os.cpu_count() or 1
EPOCHS = 36
METRIC = "valid/mae"
FRAMES = {"name": "lstm", "hidden": 32, "output": 16}


def study_of(scheduler: str, trials: int) -> StudyConfig:
    values = {
        "study": "trials-per-hour",
        "base": {
            "data": {
                "name": "planted",
                "rows_train": 1284,
                "rows_valid": 229,
                "text_dim": 768,
                "audio_dim": 5,
                "vision_dim": 20,
                "audio_frames": [3, 20],
                "vision_frames": [3, 20],
            },
            "model": {
                "name": "mmim",
                "text": {"name": "mlp", "hidden": 64, "output": 64},
                "audio": FRAMES,
                "vision": FRAMES,
            },
            "objective": {
                "terms": {"cpc": {"weight": 0.1}, "barber_agakov": {"weight": 0.1}},
                "strategy": {"name": "two_stage"},
            },
            "train": {
                "epochs": EPOCHS,
                "patience": EPOCHS,
                "batch_size": 128,
                "metric": METRIC,
                "device": "cpu",
                "threads": 1,
            },
        },
        "search": {
            "parameters": {
                "optim.lr": {"type": "float", "low": 1e-4, "high": 3e-2, "log": True},
                "optim.lr_estimator": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
                "optim.weight_decay": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
                "model.fusion.width": {"type": "int", "low": 32, "high": 128, "log": True},
                "model.fusion.dropout": {"type": "float", "low": 0.0, "high": 0.5},
                "objective.terms.cpc.weight": {"type": "float", "low": 0.01, "high": 1.0, "log": True},
                "objective.terms.barber_agakov.weight": {
                    "type": "float",
                    "low": 0.01,
                    "high": 1.0,
                    "log": True,
                },
            },
            "objectives": [{"metric": METRIC, "direction": "minimize"}],
            "trials": trials,
            "references": "constant",
            "sampler": {"name": "random"},
            "scheduler": {"name": scheduler},
        },
    }
    return parse(StudyConfig, values, "benchmark")


@dataclass
class Points:
    """An observer of the search: what was sampled for each trial."""

    overrides: dict[int, dict[str, Any]] = field(default_factory=dict)

    def __getattr__(self, event: str) -> Callable[..., None]:
        return lambda *_: None

    def trial_started(self, number: int, overrides: Mapping[str, Any], *_: Any) -> None:
        self.overrides[number] = dict(overrides)


@dataclass(frozen=True)
class Measured:
    """best: value of the best trial. points: of all trials, by number."""

    seconds: float
    best: float
    points: dict[int, dict[str, Any]]


def search(scheduler: str, trials: int) -> Measured:
    points = Points()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        options = SearchOptions(Path(folder), concurrency=SLOTS)
        summary = run_search(study_of(scheduler, trials), options, [points], lambda line: None)
        seconds = time.perf_counter() - started
    assert summary.best is not None
    return Measured(seconds, summary.best.value, points.overrides)


def one_after_the_other(points: dict[int, dict[str, Any]]) -> Measured:
    base = study_of("none", len(points)).base
    corpus = open_corpus(base.data, ("train", "valid"))
    started = time.perf_counter()
    values = [run(with_overrides(base, point), corpus).metrics[METRIC] for point in points.values()]
    return Measured(time.perf_counter() - started, min(values), points)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=32)
    trials = parser.parse_args().trials
    with ray_cluster(cpus=SLOTS):
        searched = {"no_pruning": search("none", trials), "asha": search("asha", trials)}
    assert searched["no_pruning"].points == searched["asha"].points
    alone = one_after_the_other(searched["no_pruning"].points)
    figures = {
        "trials_per_hour/one_process": Figure(
            3600 * trials / alone.seconds, "trials/hour", f"{EPOCHS} epochs each, one thread", better="higher"
        )
    }
    for (name, own), goal in zip(searched.items(), (0.88, 2.5), strict=True):
        ratio = alone.seconds / own.seconds / SLOTS
        what = f"{SLOTS} at once; the same {trials} at full length in turn, in one process, on one thread"
        figures[f"trials_per_hour/{name}_per_core"] = Figure(ratio, "ratio", what, goal, "higher")
        reference = f"one after the other at full length: {alone.best:.4f}"
        figures[f"trials_per_hour/best/{name}"] = Figure(own.best, METRIC, reference, alone.best)
        print(f"{name}: {own.seconds:.1f} s, {ratio:.2f} times as many a core")
        print(f"  best {own.best:.4f}, {reference}")
    print(record("search", figures, replaces="trials_per_hour/"))


if __name__ == "__main__":
    main()
