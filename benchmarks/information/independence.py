"""How often independent data pass for dependent: measurements whose status is not ``below_null``.

Sizes are those of CH-SIMS test, CMU-MOSI test and CMU-MOSI train. By construction 5 % are expected, if the
refitted null is right.

    python benchmarks/information/independence.py --repeats 40
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from mmsa.information import measure
from mmsa.information.distributions import independent

sys.path.insert(0, str(Path(__file__).parents[1]))
from figures import Figure, record

GOAL = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[457, 686, 1284])
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--dim", type=int, default=8, help="features of x and of y")
    parser.add_argument("--permutations", type=int, default=19)
    args = parser.parse_args()
    torch.set_num_threads(1)
    truth = independent(args.dim, args.dim)
    for size in args.sizes:
        positives = 0
        for repeat in range(args.repeats):
            measurement = measure(
                *truth.sample(size, repeat), permutations=args.permutations, extrapolate=False, seed=repeat
            )
            positives += measurement.status != "below_null"
            print(f"{size:5d} {repeat:4d} {measurement.value:+.4f} {measurement.status}", flush=True)
        share = positives / args.repeats
        print(f"independent/false_positive/{size}: {share:.3f} of {args.repeats} (goal <= {GOAL})")
        reference = f"{args.repeats} draws of {args.dim} and {args.dim} normal features; truth 0"
        record(
            "information", {f"independent/false_positive/{size}": Figure(share, "fraction", reference, GOAL)}
        )


if __name__ == "__main__":
    main()
