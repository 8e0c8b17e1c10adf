"""The staircase of Poole et al. (2019): bounds in training on 20 Gaussian pairs, information stepping up.

Settings of Song and Ermon (2020): information 2, 4, 6, 8, 10, Adam 5e-4, 4,000 steps a level, fresh samples
at every step, separable critic of 256 units. What is read is the estimator's monitor, mean over the second
half of a level. These are readings of losses, not measurements; the point is their bias. With ``--cubic``
every y is cubed, which leaves the information as it is.

    python benchmarks/information/staircase.py --batch 64
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch

from mmsa.information import ESTIMATORS
from mmsa.information.estimators import Estimator

sys.path.insert(0, str(Path(__file__).parents[1]))
from figures import Figure, record

LEVELS, DIM, STEPS, LEARNING_RATE = (2, 4, 6, 8, 10), 20, 4000, 5e-4
PUBLISHED = {  # Poole et al.'s and Song and Ermon's estimators as measured in the project's survey, one seed
    (64, "infonce"): (1.63, 2.88, 3.59, 3.93, 4.06),
    (64, "nwj"): (1.57, 2.50, 3.03, 3.33, 3.18),
    (64, "smile"): (1.66, 3.65, 5.83, 8.15, 10.50),
    (64, "gan_dime"): (1.71, 3.58, 5.47, 7.40, 9.34),
    (64, "infonce_anchor"): (1.86, 4.00, 6.00, 7.88, 9.75),
    (32, "infonce"): (1.45, 2.52, 3.04, 3.29, 3.38),
    (32, "smile"): (1.46, 3.33, 5.24, 7.33, 9.53),
    (32, "gan_dime"): (1.52, 3.31, 4.98, 6.73, 8.56),
    (32, "infonce_anchor"): (1.74, 3.75, 5.63, 7.50, 9.17),
    (256, "infonce"): (1.83, 3.42, 4.50, 5.10, 5.37),
    (256, "infonce_anchor"): (2.03, 4.21, 6.15, 8.32, 10.46),
}
GOALS = {(64, 10): 0.2, (32, 6): 0.25}


def readings(
    estimator: Estimator, batch: int, steps: int, seed: int, power: int
) -> list[tuple[float, float]]:
    """Mean and standard deviation of the monitor over the second half of each level."""
    optimiser = torch.optim.Adam(estimator.parameters(), lr=LEARNING_RATE)
    generator = torch.Generator().manual_seed(seed)
    levels = []
    for information in LEVELS:
        correlation = math.sqrt(-math.expm1(-2 * information / DIM))
        monitors = []
        for _ in range(steps):
            x_ND, noise_ND = torch.randn((2, batch, DIM), generator=generator)
            y_ND = correlation * x_ND + math.sqrt(1 - correlation**2) * noise_ND
            value = estimator(x_ND, y_ND**power)
            optimiser.zero_grad()
            value.loss.backward()
            optimiser.step()
            monitors.append(float(value.monitor))
        second_half = np.array(monitors[steps // 2 :])
        levels.append((float(second_half.mean()), float(second_half.std())))
    return levels


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[64])
    names = ["infonce_anchor", "gan_dime", "smile", "infonce", "nwj"]
    parser.add_argument("--estimators", nargs="+", choices=list(ESTIMATORS), default=names)
    parser.add_argument("--steps", type=int, default=STEPS, help="per level")
    parser.add_argument("--cubic", action="store_true", help="cube every y")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for batch in args.batch:
        for name in args.estimators:
            torch.manual_seed(args.seed)
            build = ESTIMATORS[name]
            started = time.process_time()
            estimator = build(build.Config(), DIM, DIM)
            levels = readings(estimator, batch, args.steps, args.seed, 3 if args.cubic else 1)
            ours = " ".join(f"{mean:6.2f}±{deviation:.2f}" for mean, deviation in levels)
            earlier = None if args.cubic else PUBLISHED.get((batch, name))
            seconds = time.process_time() - started
            print(f"n {batch:3d} {name:16s} {ours}   survey {earlier} {seconds:.0f} s CPU", flush=True)
            prefix = f"staircase/n{batch}{'/cubic' if args.cubic else ''}"
            prefix += "" if name == "infonce_anchor" else f"/{name}"
            figures = {}
            for k, (information, (mean, _)) in enumerate(zip(LEVELS, levels, strict=True)):
                reference = f"{name}, {args.steps} steps a level, one seed; true {information}"
                if earlier:
                    reference += f"; |bias| {abs(earlier[k] - information):.2f} in the survey"
                aimed = name == "infonce_anchor" and not args.cubic
                goal = GOALS.get((batch, information)) if aimed else None
                bias = round(abs(mean - information), 3)
                figures[f"{prefix}/bias{information}"] = Figure(bias, "nat", reference, goal)
            record("information", figures)


if __name__ == "__main__":
    main()
