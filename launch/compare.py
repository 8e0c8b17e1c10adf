"""Train the best trials of a study and its defaults with fresh seeds, and say whether one of them wins."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from mmsa.cli import add_common_arguments, add_tracking_arguments, exit_code, overrides, positive
from mmsa.errors import TrackingError


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument(
        "--top", type=positive, default=3, metavar="K", help="configurations beside the defaults (default: 3)"
    )
    parser.add_argument(
        "--seeds", type=positive, default=5, metavar="N", help="fresh seeds, the same for all (default: 5)"
    )
    parser.add_argument(
        "--valid-only", action="store_true", help="leave test closed (default: it is opened once, for all)"
    )
    parser.add_argument("--storage", metavar="URL", help="database of the study, if it is not in --runs")
    add_common_arguments(parser)
    add_tracking_arguments(parser)
    return parser.parse_args()


def main() -> int:
    args = arguments()
    changes = overrides(args.assignments)
    from mmsa.results.compare import compare
    from mmsa.results.compared import COMPARED
    from mmsa.search.study.view import read_study
    from mmsa.tracking.compared import log_comparison
    from mmsa.tracking.location import Location

    location = Location.of(args.runs, args.mlflow_uri, args.storage)
    study = read_study(args.study, args.runs, args.storage)
    comparison = compare(
        study,
        top=args.top,
        num_seeds=args.seeds,
        overrides=changes,
        runs=args.runs,
        say=partial(print, flush=True),  # a log is followed while it is written
        open_sealed=not args.valid_only,
    )
    print(comparison.markdown())
    print(f"written to {args.runs / COMPARED / args.study}: compare.md and compare.json")
    taken = next(config for config in comparison.configs if config.name == comparison.verdict.take)
    if taken.trial is not None:
        options = location.options.partition(" --mlflow-uri")[0]
        print(
            f"next:\n  python launch/export.py --study {args.study}{options} --trial {taken.trial} "
            f"--out {args.study}-best.yaml"
        )
    if args.no_mlflow:
        return 0
    try:
        page = log_comparison(location, comparison.card(study.config.base.data.name))
    except TrackingError as error:  # the result stands in the folder all the same
        print(f"MLflow has nothing of this comparison: {error}", file=sys.stderr)
    else:
        print(f"to browse: {location.how_to_browse(page)}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
