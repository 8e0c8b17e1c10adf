"""Write the best configuration of a study to one file that retrains by itself."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmsa.cli import add_runs_argument, exit_code
from mmsa.interface import decimals


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="the YAML file to write")
    parser.add_argument("--trial", type=int, metavar="N", help="number of the trial (default: the best)")
    parser.add_argument("--storage", metavar="URL", help="database of the study, if it is not in --runs")
    add_runs_argument(parser)
    return parser.parse_args()


def main() -> int:
    args = arguments()
    from mmsa.results.export import export
    from mmsa.search.study.view import read_study

    study = read_study(args.study, args.runs, args.storage)
    exported = export(study, args.out, args.trial)
    known = exported.provenance
    assert known is not None
    print(f"{args.out}: trial {known.trial} of {known.study}, {known.metric} {decimals(known.value)}")
    if known.breaks:
        print(f"note: trial {known.trial} {known.breaks}")
    for line in known.tested:
        print(f"note: {line}")
    front = [trial.number for trial in study.front()]
    if args.trial is None and len(front) > 1:
        numbers = ", ".join(map(str, front))
        several = len(study.directions) > 1
        of = "the best in the first objective; of the front" if several else "of the equally good"
        print(f"{of} {numbers}, take another with --trial N")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
