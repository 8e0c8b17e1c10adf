"""What part of a trial's time measuring takes: the demo, and data of the shape of ``mosi_minilm``.

The second has the widths, rows and groups of the CMU-MOSI space (384 and 74 features, 1,284 and 229 rows, 5
to a group), drawn from the planted generator, so that it runs anywhere. The share is of training and
evaluation.

    python benchmarks/information/in_trials.py
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from figures import Figure, record

from mmsa.config import with_overrides
from mmsa.data import open_corpus
from mmsa.experiment import RunConfig
from mmsa.measurement import Measurement
from mmsa.search.definition.load import load_space
from mmsa.training import loop, run
from mmsa.training.trainer import Trainer

GOAL = 0.1
REPEATS = 3
MOSI = {
    "data.rows_train": 1284,
    "data.rows_valid": 229,
    "data.text_dim": 384,
    "data.audio_dim": 74,
    "data.modalities": ["text", "audio"],
    "model.text.output": 384,
    "model.fusion.width": 128,
    "train.batch_size": 32,
    "train.epochs": 40,
    "train.patience": 8,
}


def measured_run(config: RunConfig) -> tuple[float, float, dict[str, Measurement]]:
    """Seconds of training, seconds of measuring, and what was measured."""
    spent = 0.0
    measure = loop.measure_best

    def timed(trainer: Trainer) -> dict[str, Measurement]:
        nonlocal spent
        started = time.perf_counter()
        found = measure(trainer)
        spent += time.perf_counter() - started
        return found

    loop.measure_best = timed
    try:
        result = run(config, open_corpus(config.data))
    finally:
        loop.measure_best = measure
    return result.seconds, spent, result.information


def main() -> None:
    torch.set_num_threads(1)
    demo = load_space("demo.yaml").base
    configs = {
        "demo": demo,
        "mosi_shape": with_overrides(demo, MOSI),
        "mosi_shape/all_but_decomposition": with_overrides(
            demo,
            {**MOSI, "information.quantities": ["target", "fusion", "invariant", "conditional", "mimrl"]},
        ),
        "mosi_shape/networks": with_overrides(demo, {**MOSI, "information.estimator": "networks"}),
    }
    figures = {}
    for name, config in configs.items():
        runs = [measured_run(config) for _ in range(REPEATS)]
        share = max(measuring / training for training, measuring, _ in runs)
        training, measuring, information = runs[-1]
        statuses = dict(Counter(measurement.status for measurement in information.values()))
        print(
            f"{name}: training {training:.2f} s, measuring {measuring:.3f} s, {statuses}; share {share:.3f}"
        )
        figures[f"in_trials/{name}/share"] = Figure(
            round(share, 4),
            "of the time of training",
            f"largest of {REPEATS} runs of {training:.1f} s; {statuses}",
            GOAL,
        )
    record("information_in_trials", figures)


if __name__ == "__main__":
    main()
