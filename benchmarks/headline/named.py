"""How often a report names the kind of information that planted data hold, from their features alone.

The rule (``named_in``) was changed after draws 0 to 4 of 686 rows had been seen (README.md), so that it is
tried on draws 5 to 9. No search is needed for it: a draw takes seconds.

    python benchmarks/headline/named.py [--draws 5 6 7 8 9]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path

from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from compositions import FAMILIES, decomposed
from figures import Figure, record
from studies import SIZES

from mmsa.reports.composition import named_in
from mmsa.reports.naming import Kind

DRAWS = range(5, 10)
GOAL_RIGHT = {686: 0.6, 2000: 0.8}
GOAL_WRONG = 0.05


def named(key: tuple[str, int, int]) -> tuple[Kind, str] | None:
    """What is named of a draw (family, rows, number): the kind, and the modalities that have most of it."""
    family, rows, draw = key
    return named_in(decomposed(FAMILIES[family], rows, draw))


def part(hits: int, draws: int, what: str) -> tuple[float, str]:
    """A share of draws, with its interval in words."""
    low, high = binomtest(hits, draws).proportion_ci(method="wilson")
    return round(hits / draws, 4), f"{what}: {hits} of {draws} draws; 95 % interval {low:.2f} to {high:.2f}"


def of_names(names: Sequence[tuple[str, Kind | None]], rows: int) -> dict[str, Figure]:
    """Right among the draws that have a dominant kind, wrong among all.

    Args:
        names: the family of each draw, and what is named of it.
        rows: of all of them.
    """
    known = [(FAMILIES[family].dominant, name) for family, name in names]
    right = [name == kind for kind, name in known if kind]
    wrong = [name is not None and name != kind for kind, name in known]
    share_right, of_right = part(sum(right), len(right), "dominant kind named")
    share_wrong, of_wrong = part(sum(wrong), len(wrong), "another kind named")
    return {
        f"headline/right/{rows}": Figure(share_right, "of draws", of_right, better="higher"),
        f"headline/wrong/{rows}": Figure(share_wrong, "of draws", of_wrong),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", nargs="+", type=int, default=[*DRAWS])
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    args = parser.parse_args()
    for rows in SIZES:
        keys = [(family, rows, draw) for draw, family in product(args.draws, FAMILIES)]
        names = []
        with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
            for key, found in zip(keys, pool.map(named, keys), strict=True):
                print(*key, "undecided" if found is None else f"{found[0]} ({found[1]})", flush=True)
                names.append((key[0], None if found is None else found[0]))
        figures = of_names(names, rows)
        for name, goal in (("right", GOAL_RIGHT[rows]), ("wrong", GOAL_WRONG)):
            figure = f"headline/{name}/{rows}"
            figures[figure] = replace(figures[figure], goal=goal)
            print(f"{figure}: {figures[figure].value} ({figures[figure].reference}; goal {goal})")
        if args.draws == [*DRAWS]:
            print(record("headline", figures))


if __name__ == "__main__":
    main()
