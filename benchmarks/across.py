"""Does the report across data sets name what there is? Planted data of one kind each, and a mixture.

shared     1.5 bits about the label that all modalities have: invariant
private    1.5 bits that one modality has alone: specific, of that modality
synergy    1.5 bits that two modalities have only together: complementary, of these two
balanced   half a bit of each kind: no kind is to be named

Each draw is decomposed as the report decomposes the features of a data set (``decompose_features``), and
named as it names them (``named_in``, with the rule of ``mmsa.reports.naming``). The right name has the right
modalities as well; anything else that is named is wrong, and anything at all of a balanced one. No model is
trained: that would need thousands of trials. ``benchmarks/headline`` asks of whole searches.

Draws stay in ``--out``, and the same command goes on; all data sets take turns, so that what is finished can
be recorded at any time, with its number. Means of balanced draws are the ghosts that reports show.

    nice -n 19 python benchmarks/across.py --draws 30 --minutes 60
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path

import numpy as np
import torch
from figures import Figure, record
from scipy.stats import binomtest

sys.path.append(str(Path(__file__).with_name("headline")))
from compositions import Composition, decomposed, private_modality, synergy_of

from mmsa.information.target import Decomposition
from mmsa.reports.composition import brackets_of, named_in, without_fusion
from mmsa.reports.naming import Kind

COMPOSITIONS: Mapping[str, Composition] = {
    "shared": Composition(1.5, 0.0, 0.0),
    "private": Composition(0.0, 1.5, 0.0),
    "synergy": Composition(0.0, 0.0, 1.5),
    "balanced": Composition(0.5, 0.5, 0.5),
}
SIZES = (250, 686, 2000)
"""Rows. The figures are those of the last two; 250 is the size of MOSI's valid, for the calibration."""
FIGURES = (686, 2000)
GOAL_RIGHT = {2000: 0.8}
CALIBRATION = Path(__file__).parents[1] / "mmsa" / "reports" / "calibration.json"
Draws = Mapping[tuple[str, int, int], Decomposition]
"""By composition, rows and draw."""


def is_right(name: str, draw: int, named: tuple[Kind, str] | None) -> bool:
    """Whether the kind is the planted one, and of the planted modalities."""
    if named is None or COMPOSITIONS[name].dominant != named[0]:
        return False
    members = {"shared": named[1], "private": private_modality(draw), "synergy": ",".join(synergy_of(draw))}
    return bool(members[name] == named[1])


def of_naming(draws: Draws, rows: int) -> dict[str, Figure]:
    """Right and wrong among the draws of one size."""
    named = {key: named_in(found) for key, found in draws.items() if key[1] == rows}
    pure = {key: names for key, names in named.items() if COMPOSITIONS[key[0]].dominant}
    right = {key for key, names in pure.items() if is_right(key[0], key[2], names)}
    found = {
        f"across/wrong/{rows}": figure(
            sum(names is not None and key not in right for key, names in pure.items()), len(pure), 0.0
        ),
        f"across/right/{rows}": figure(len(right), len(pure), GOAL_RIGHT.get(rows), better="higher"),
    }
    for name, composition in COMPOSITIONS.items():
        of = [key for key in named if key[0] == name]
        if composition.dominant:
            found[f"across/right/{rows}/{name}"] = figure(
                sum(key in right for key in of), len(of), GOAL_RIGHT.get(rows), better="higher"
            )
        else:
            found[f"across/wrong/{rows}/{name}"] = figure(
                sum(named[key] is not None for key in of), len(of), 0.0
            )
    return found


def figure(hits: int, draws: int, goal: float | None, better: str = "lower") -> Figure:
    low, high = binomtest(hits, draws).proportion_ci(method="wilson")
    reference = f"{hits} of {draws} draws; 95 % interval {low:.2f} to {high:.2f}"
    return Figure(
        round(hits / draws, 4), "of draws", reference, goal, "higher" if better == "higher" else "lower"
    )


def calibration(draws: Draws) -> dict[str, dict[str, list[float]]]:
    """Mean ends of each kind of bracket over the balanced draws of each size.

    Of the modalities that have most of the kind: which these are changes from draw to draw.
    """
    known: dict[str, dict[str, list[float]]] = {}
    for rows in SIZES:
        ends: dict[str, list[tuple[float, float]]] = {}
        for (name, of_rows, _), found in draws.items():
            if name == "balanced" and of_rows == rows:
                largest: dict[str, tuple[float, float]] = {}
                for bracket in brackets_of(without_fusion(found)):
                    before = largest.get(bracket.part, (-math.inf, -math.inf))
                    largest[bracket.part] = max(before, (bracket.least, bracket.most), key=lambda end: end[1])
                for part, of_part in largest.items():
                    ends.setdefault(part, []).append(of_part)
        if ends:
            known[str(rows)] = {part: np.round(np.mean(of, axis=0), 4).tolist() for part, of in ends.items()}
    return known


def finished(out: Path, keys: Iterable[tuple[str, int, int]]) -> dict[tuple[str, int, int], Decomposition]:
    files = {key: out / "{}-{}-{}.json".format(*key) for key in keys}
    return {
        key: Decomposition.from_dict(json.loads(path.read_text("utf-8")))
        for key, path in files.items()
        if path.exists()
    }


def report(draws: Draws) -> None:
    for rows in FIGURES:
        if {name for name, of_rows, _ in draws if of_rows == rows} == COMPOSITIONS.keys():
            print(record("across", of_naming(draws, rows)))
    if known := calibration(draws):
        CALIBRATION.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        print(CALIBRATION)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/across"), help="what is finished lies there")
    parser.add_argument("--draws", type=int, default=30, help="draws 0 to N - 1 (default: 30)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin nothing after so many")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * args.minutes
    keys = [(name, rows, draw) for draw, rows, name in product(range(args.draws), SIZES, COMPOSITIONS)]
    for key in keys:
        path = args.out / "{}-{}-{}.json".format(*key)
        if not path.exists() and time.monotonic() < deadline:
            name, rows, draw = key
            found = decomposed(COMPOSITIONS[name], rows, draw)
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(found.to_dict()) + "\n", encoding="utf-8")
            partial.replace(path)
            print(*key, named_in(found), f"{found.seconds:.0f} s", flush=True)
    report(finished(args.out, keys))


if __name__ == "__main__":
    main()
