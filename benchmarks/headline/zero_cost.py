"""What information terms cost at weight 0: a step with all of them over one of late fusion without terms.

The same model on the same random data of CMU-MOSI's shape, with no terms at all and with every coefficient of
MMIM's and MIMRL's terms at exactly 0. Both train in turns, an epoch each; the ratio is the median over the
turns, so that a change of the machine's speed meets both. Compared are CPU seconds.

    python benchmarks/headline/zero_cost.py
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from figures import Figure, record
from shapes import Shape, corpus

from mmsa.config import parse
from mmsa.experiment import RunConfig
from mmsa.training.trainer import Position, Trainer

OFF = dict.fromkeys(("text", "audio", "vision"), 0.0)
PAIRS_OFF = {"text_audio": 0.0, "text_vision": 0.0}
TERMS: dict[str, Any] = {
    "cpc": {"fusion": OFF},
    "barber_agakov": {"invariant": PAIRS_OFF},
    "mimrl": {
        "fusion": OFF,
        "invariant": PAIRS_OFF,
        "specific": OFF,
        "complementary": PAIRS_OFF,
        "normalise": True,
    },
}


def trainer(terms: dict[str, Any]) -> Trainer:
    """Of late fusion with these terms."""
    values = {
        "data": {"name": "planted"},
        "model": {"name": "late_fusion"},
        "objective": {"terms": terms, "strategy": {"name": "two_stage"}},
        "train": {"epochs": 1000, "batch_size": 64, "device": "cpu", "threads": 1},
    }
    return Trainer(parse(RunConfig, values, "benchmark"), corpus(Shape("aligned", "vectors")))


def seconds(subject: Trainer) -> float:
    """CPU seconds of a step, over an epoch without its evaluation."""
    subject.position = Position()
    with subject.runtime.active():
        start = time.process_time()
        steps = sum(1 for _ in subject.steps())
        return (time.process_time() - start) / steps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=15, help="epochs of each, after one that warms up")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plain, off = trainer({}), trainer(TERMS)
    turns = [(seconds(plain), seconds(off)) for _ in range(arguments.turns + 1)]
    ratio = median(with_terms / without for without, with_terms in turns[1:])
    without = median(without for without, _ in turns[1:])
    print(f"{1000 * without:.2f} ms a step without terms, {ratio:.3f} times that with all weights at 0")
    reference = "late fusion without terms, batch 64, one CPU thread"
    record("headline", {"headline/zero_cost": Figure(ratio, "times", reference, goal=1.05)})


if __name__ == "__main__":
    main()
