"""What an epoch of training costs: mmsa against the published procedures, on random data of CMU-MOSI's shape.

Each side lives in a process of its own and they train in turns, one epoch each, so that a change of the
machine's speed meets both. Compared are CPU seconds of one thread: what other processes do hardly shows in
them. A ratio is the median over the turns after the first, which warms up. An epoch includes what the
procedure evaluates after it: valid, and in MMIM's and MIMRL's released code test as well.

The published sides are in ``published/``. Clips are 50 aligned frames at most, or 375 and 500; text is token
ids (a six-layer encoder is fine-tuned), or features cached beforehand.

``mimrl/mosei`` has 16,326 clips, where an epoch of the published side takes half an hour: it is given 4
batches a pass once its bank is full, and is not evaluated; compared are seconds a step.

    python benchmarks/training/epochs.py
    python benchmarks/training/epochs.py --only mmim/finetuned --turns 2
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))
from figures import Figure, record
from shapes import SIZES, Shape, corpus, padded_steps

SAMPLED_BATCHES = 4
ALIGNED, VECTORS = Shape("aligned"), Shape("aligned", "vectors")
CASES: dict[str, tuple[str, Shape, float]] = {
    "mmim/finetuned": ("mmim", Shape("aligned", "tokens"), 0.5),
    "self_mm/finetuned": ("self_mm", Shape("aligned", "tokens"), 0.5),
    "dmsi/finetuned": ("dmsi", Shape("aligned", "tokens"), 0.5),
    "misa/finetuned": ("misa", Shape("aligned", "tokens"), 0.5),
    "mmim/features": ("mmim", VECTORS, 0.5),
    "self_mm/features": ("self_mm", VECTORS, 0.5),
    "dmsi/features": ("dmsi", VECTORS, 0.5),
    "misa/features": ("misa", VECTORS, 0.5),
    "tfn/features": ("tfn", ALIGNED, 0.5),
    "lmf/features": ("lmf", ALIGNED, 0.5),
    "mfn/features": ("mfn", ALIGNED, 0.5),
    "mfn/long": ("mfn", Shape("aligned", words=(6, 49)), 0.5),
    "mult/features": ("mult", ALIGNED, 0.5),
    "cubemlp/features": ("cubemlp", ALIGNED, 0.5),
    "mimrl/mosi": ("mimrl", ALIGNED, 0.4),
    "mimrl/mosei": ("mimrl", Shape("aligned", rows=16_326), 0.25),
    "mmim/frames": ("mmim", Shape("unaligned", "vectors"), 0.5),
    "self_mm/frames": ("self_mm", Shape("unaligned", "vectors"), 0.5),
    "misa/frames": ("misa", Shape("unaligned", "vectors"), 0.5),
    "tfn/frames": ("tfn", Shape("unaligned"), 0.5),
    "lmf/frames": ("lmf", Shape("unaligned"), 0.5),
    "mimrl/frames": ("mimrl", Shape("unaligned"), 0.4),
}


@dataclass(frozen=True)
class Epoch:
    """seconds: of CPU. steps: of an optimiser. megabytes: the largest the process has been."""

    seconds: float
    steps: int
    megabytes: float

    def per(self, case: str) -> float:
        """What is compared: seconds, of a step where one side was given a part of the epoch."""
        return self.seconds / self.steps if CASES[case][1].rows > SIZES["train"] else self.seconds


def published(name: str, shape: Shape) -> Callable[[], int]:
    """One epoch of the published procedure, as a function that gives its steps."""
    from published import LOOPS

    loop = LOOPS[name](corpus(shape), padded_steps(shape), shape.text)
    if shape.rows > SIZES["train"]:
        loop.splits = ()
        loop.train()
        loop.sample = SAMPLED_BATCHES
    return loop.train_epoch


def ours(name: str, shape: Shape) -> Callable[[], int]:
    """The same of mmsa."""
    from ours import run_config

    from mmsa.training.trainer import Trainer

    trainer = Trainer(run_config(name, shape.text), corpus(shape))

    def train_epoch() -> int:
        before = trainer.position.step
        trainer.train_epoch()
        return trainer.position.step - before

    return train_epoch


def side(
    build: Callable[[str, Shape], Callable[[], int]], name: str, shape: Shape, parent: Connection
) -> None:
    """The life of one process: an epoch for each message, until told otherwise."""
    import torch

    torch.set_num_threads(1)
    train_epoch = build(name, shape)
    parent.send("ready")
    while parent.recv():
        started = time.process_time()
        steps = train_epoch()
        seconds = time.process_time() - started
        parent.send(Epoch(seconds, steps, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def compare(name: str, shape: Shape, turns: int) -> dict[str, list[Epoch]]:
    """The epochs of both sides after the first."""
    context, epochs = get_context("spawn"), {"published": [], "ours": []}
    connections = {}
    for kind, build in (("published", published), ("ours", ours)):
        connections[kind], other = context.Pipe()
        context.Process(target=side, args=(build, name, shape, other), daemon=True).start()
        connections[kind].recv()
    for turn in range(turns + 1):
        for kind, connection in connections.items():
            connection.send(True)
            epoch = connection.recv()
            if turn:
                epochs[kind].append(epoch)
    for connection in connections.values():
        connection.send(False)
    return epochs


def figures_of(case: str, epochs: dict[str, list[Epoch]], goal: float) -> dict[str, Figure]:
    theirs, own = epochs["published"], epochs["ours"]
    ratio = median(mine.per(case) / other.per(case) for mine, other in zip(own, theirs, strict=True))
    turns = f"median of {len(own)} turns, one CPU thread"
    figures = {f"{case}/ratio": Figure(round(ratio, 3), "x", f"published procedure; {turns}", goal)}
    for kind, done in epochs.items():
        seconds = median(epoch.seconds for epoch in done)
        figures[f"{case}/{kind}/seconds"] = Figure(round(seconds, 2), "CPU s", f"an epoch; {turns}")
        figures[f"{case}/{kind}/steps_per_second"] = Figure(
            round(done[-1].steps / seconds, 1), "1/s", "optimiser steps", better="higher"
        )
        figures[f"{case}/{kind}/memory"] = Figure(round(done[-1].megabytes), "MiB", "peak of the process")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=list(CASES), metavar="CASE")
    arguments = parser.parse_args()
    print(f"{'':20s} ratio  goal  seconds (theirs)  MiB (theirs)")
    for case in arguments.only:
        name, shape, goal = CASES[case]
        figures = figures_of(case, compare(name, shape, arguments.turns), goal)
        value = {key.removeprefix(f"{case}/"): figure.value for key, figure in figures.items()}
        print(
            f"{case:20s} {value['ratio']:5.2f} {goal:5.2f}  "
            f"{value['ours/seconds']:7.2f} ({value['published/seconds']:.2f})  "
            f"{value['ours/memory']:.0f} ({value['published/memory']:.0f})",
            flush=True,
        )
        record("training", figures)


if __name__ == "__main__":
    main()
