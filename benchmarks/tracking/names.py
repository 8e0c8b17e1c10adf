"""How many names of metrics, and sections of charts, an MLflow store has: both make its pages unreadable.

MLflow opens a section for everything before the last slash of a name, and a column for each name.

    python benchmarks/tracking/names.py runs/mlflow.db --max-sections 8
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

from mmsa.tracking.location import Location, all_pages

SYSTEM = "system/"
"""Prefix of the metrics that MLflow keeps on a page of their own."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", help="SQLite file, or the address of a store")
    parser.add_argument("--max-sections", type=int, default=8, help="of all runs of an experiment")
    parser.add_argument("--max-trial", type=int, default=25, help="names of a trial")
    parser.add_argument("--max-retrain", type=int, default=20, help="names of a retraining's own run")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    uri = f"sqlite:///{Path(args.store).resolve()}" if Path(args.store).is_file() else args.store
    client = Location.of(Path("runs"), uri).connect()
    most = {"trial": args.max_trial, "retrain": args.max_retrain}
    good = True
    for experiment in all_pages(client.search_experiments):
        names: dict[str, set[str]] = defaultdict(set)
        largest: dict[str, int] = defaultdict(int)
        for run in all_pages(client.search_runs, [experiment.experiment_id]):
            role = run.data.tags.get("mmsa.role", "")
            own = {name for name in run.data.metrics if not name.startswith(SYSTEM)}
            names[role] |= own
            largest[role] = max(largest[role], len(own))
        every = set().union(*names.values())
        sections = sorted({name.rpartition("/")[0] for name in every})
        if not every:
            continue
        print(f"experiment {experiment.name}: {len(every)} names in {len(sections)} sections")
        print(f"  sections: {', '.join(sections)}")
        for role, count in sorted(largest.items()):
            limit = f", at most {most[role]}" if role in most else ""
            print(f"  {role}: up to {count} names in a run{limit}")
        good &= len(sections) <= args.max_sections
        good &= all(largest[role] <= limit for role, limit in most.items())
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
