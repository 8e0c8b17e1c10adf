"""How much of the workers' time is trials: measured on all cores, simulated at 64 and 1,000 workers.

Measured: a search, with study and mirror, whose trials compute for 5 seconds of CPU time and report every
second; the trials' CPU time, of all cores' time from the first trial's start to the end of the search.

Simulated: workers that wait for one driver, which handles one thing at a time. Its constants are measured in
the same run, the driver's milliseconds per trial and per report of trials that do nothing, but for the warm
start-up, which is the figure of ``warm_start.py``; a worker waits for all of them. It is assumed that the
driver's work does not grow with the number of workers.

    python benchmarks/search/efficiency.py [--trials 96] [--trivial 1000]
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bookkeeping import LONG, SLOTS, Trivial, TrivialLong, search
from typing_extensions import override

from mmsa.search.execution.cluster import ray_cluster

sys.path.append(str(Path(__file__).parents[1]))
from figures import RESULTS, Figure, record

SECONDS = 5
REPORTS = 20
"""Of a simulated trial."""
WORKERS = (64, 1000)
DURATIONS = {"": 60.0, "/600_s": 600.0}
"""Seconds of an average trial, by what the figure's name ends with."""
ROUNDS = 20
"""How many trials of average length fit into the simulated time."""
SPREAD = 0.5
"""Standard deviation of the logarithm of a trial's length: they come in when they like."""


class Busy(Trivial):
    """Computes for a second of CPU time an epoch, which takes longer where it has to share its core."""

    epochs = SECONDS

    @override
    def step(self) -> dict[str, Any]:
        until = time.thread_time() + 1.0
        while time.thread_time() < until:
            pass
        return super().step()


def seconds_of(trainable: type[Trivial], trials: int) -> float:
    """Of a search, from the first trial's start on: without what it does once."""
    with tempfile.TemporaryDirectory() as folder:
        _, watch = search(trainable, trials, Path(folder))
    assert watch.first is not None
    return watch.started + watch.seconds - watch.first


@dataclass(frozen=True)
class Costs:
    """Seconds: of the driver for a trial and for a report, of a worker between two trials."""

    trial: float
    report: float
    start: float


def measured_costs(trials: int) -> Costs:
    """From searches of one report a trial and of many, in which workers wait for the driver only."""
    short, long = (seconds_of(trainable, trials) / trials for trainable in (Trivial, TrivialLong))
    report = (long - short) / (LONG - 1)
    known = json.loads((RESULTS / "search.json").read_text(encoding="utf-8"))["figures"]
    return Costs(short - report, report, known["warm_start_s/1_worker"]["value"])


def simulated(workers: int, duration: float, costs: Costs) -> float:
    """Part of the workers' time that trials of this average length have, from the start of the search on."""
    random = np.random.default_rng(0)
    horizon, trained, driver_free = ROUNDS * duration, 0.0, 0.0
    calls = [(0.0, worker) for worker in range(workers)]  # when each asks the driver for what it does next
    epochs_left, epoch_seconds = np.zeros(workers, int), np.zeros(workers)
    while calls[0][0] < horizon:
        now, worker = heapq.heappop(calls)
        begins = epochs_left[worker] == 0
        driver_free = max(now, driver_free) + costs.report + (costs.trial if begins else 0.0)
        ready = driver_free
        if begins:
            length = duration * random.lognormal(-(SPREAD**2) / 2, SPREAD)
            epochs_left[worker], epoch_seconds[worker] = REPORTS, length / REPORTS
            ready += costs.start
        epochs_left[worker] -= 1
        end = ready + epoch_seconds[worker]
        trained += max(0.0, min(end, horizon) - ready)
        heapq.heappush(calls, (end, worker))
    return float(trained / (workers * horizon))


def simulations(costs: Costs) -> dict[str, Figure]:
    constants = (
        f"driver {1000 * costs.trial:.1f} ms a trial and {1000 * costs.report:.1f} ms a report, "
        f"start {costs.start:.2f} s"
    )
    figures = {}
    for workers in WORKERS:
        for suffix, duration in DURATIONS.items():
            reference = f"simulated: trials of {duration:.0f} s and {REPORTS} reports; {constants}"
            figures[f"efficiency/{workers}_workers{suffix}"] = Figure(
                simulated(workers, duration, costs), "of the workers' time", reference, better="higher"
            )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=96, help="of 5 seconds")
    parser.add_argument("--trivial", type=int, default=1000, help="trials that do nothing")
    args = parser.parse_args()
    with ray_cluster(cpus=SLOTS):
        efficiency = args.trials * SECONDS / (SLOTS * seconds_of(Busy, args.trials))
        costs = measured_costs(args.trivial)
    what = f"{args.trials} trials that compute for {SECONDS} s on {SLOTS} cores"
    reference = f"{what}, from the first one's start to the end"
    figures = {"efficiency/all_cores": Figure(efficiency, "of the cores' time", reference, 0.95, "higher")}
    figures |= simulations(costs)
    for name, figure in figures.items():
        print(f"{name}: {figure.value:.3f} ({figure.reference})")
    print(record("search", figures, replaces="efficiency/"))


if __name__ == "__main__":
    main()
