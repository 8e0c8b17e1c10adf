"""Informative modalities that ``decompose`` does not tell from nothing: 200 planted rows in three mixtures.

A modality is informative where the exact information says so. 30 draws a mixture, each modality by itself,
with the effort of runs (``FAST``); the first draws with 19 refits too, whose largest bound is written down.

    python benchmarks/information/called_null.py
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from three_sources import PLANTED, pooled

from mmsa.data.corpus import MODALITIES, ModalityName
from mmsa.data.planted import Planted
from mmsa.information.target import FAST, Quantity, decompose

sys.path.insert(0, str(Path(__file__).parents[1]))
from figures import Figure, record

CASES: Mapping[str, Mapping[str, float]] = {
    "demo": {},
    "private": dict.fromkeys(("text_bits", "audio_bits", "vision_bits"), 0.7)
    | dict.fromkeys(("shared_bits", "synergy_bits"), 0.0),
    "mixed": PLANTED,
}
BOUND_GOAL, CALLED_NULL_GOAL = 0.3, 0.0


def informative(
    case: str, rows: int, seed: int, permutations: int
) -> Iterator[tuple[ModalityName, Quantity]]:
    """The information of every modality of a draw that has some."""
    planted = Planted(Planted.Config(rows_train=rows, seed=seed, **CASES[case]))
    split = planted.open(["train"])["train"]
    effort = replace(FAST, permutations=permutations)
    for name in MODALITIES:
        if planted.truth().information([name]) > 0:
            source = {name: pooled(getattr(split, name))}
            found = decompose(source, split.labels, split.groups, effort=effort, seed=seed)
            yield name, found[f"information/{name}"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--draws", type=int, default=30)
    parser.add_argument("--refitted", type=int, default=1, help="draws of each mixture that are refitted")
    args = parser.parse_args()
    torch.set_num_threads(1)
    called, bounds = [], []
    for case in CASES:
        for seed in range(args.draws):
            permutations = 19 if seed < args.refitted else 0
            for name, quantity in informative(case, args.rows, seed, permutations):
                called.append(quantity.status != "ok")
                bounds += [quantity.null_bound] if quantity.null_bound is not None else []
                print(f"{case:8s} {seed:3d} {name:7s} {quantity.raw:6.3f} {quantity.status}", flush=True)
    about = f"planted: {', '.join(CASES)}; {len(called)} modalities by themselves, FAST"
    figures = {
        f"informative_called_null/{args.rows}": Figure(
            float(np.mean(called)), "fraction", f"{about}, {args.draws} draws each", CALLED_NULL_GOAL
        ),
        f"ordered/null_bound_max/{args.rows}": Figure(
            max(bounds), "bit", f"19 refits, {len(bounds)} of them; before: 4 to 103 bits", BOUND_GOAL
        ),
    }
    print(record("information", figures))


if __name__ == "__main__":
    main()
