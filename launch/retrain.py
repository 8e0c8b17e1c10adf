"""Train a frozen configuration over several seeds, then open test once and say how sure the result is."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmsa.cli import add_common_arguments, add_tracking_arguments, exit_code, overrides, positive
from mmsa.errors import TrackingError
from mmsa.yaml_text import load_yaml


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--config", required=True, type=Path, metavar="FILE", help="exported file, or a run configuration"
    )
    parser.add_argument(
        "--seeds",
        type=positive,
        default=3,
        metavar="N",
        help="fresh seeds, beside the one the search selected (default: 3)",
    )
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="CPU threads (default: as the trial ran)"
    )
    parser.add_argument(
        "--by",
        action="append",
        metavar="COLUMN",
        help="column with classes whose values the result is also told for; may be repeated "
        "(default: gender, where the data have it)",
    )
    parser.add_argument("--register", metavar="NAME", help="name of the MLflow model (default: the study's)")
    add_common_arguments(parser)
    add_tracking_arguments(parser)
    return parser.parse_args()


def main() -> int:
    args = arguments()
    changes = overrides(args.assignments)
    if args.config.is_file():
        load_yaml(args.config)  # what is no YAML is refused before a model's libraries are loaded
    from mmsa.results.exported import load_export
    from mmsa.results.publish import Publisher
    from mmsa.results.retrain import retrain
    from mmsa.tracking import Location

    location = None if args.no_mlflow else Location.of(args.runs, args.mlflow_uri)
    if location is not None and location.named_by:
        print(f"MLflow: {location}")
    if args.threads is not None:
        changes["train.threads"] = args.threads
    publisher = None if location is None else Publisher(location, args.register, print)
    try:
        report = retrain(
            load_export(args.config),
            num_seeds=args.seeds,
            overrides=changes,
            runs=args.runs,
            say=print,
            watch=publisher,
            by=args.by,
        )
    except BaseException:
        if publisher is not None:
            publisher.abandon()
        raise
    print(report.text())
    if location is None or publisher is None:
        return 0
    try:
        model = publisher.publish(report)
    except TrackingError as error:  # the result stands in the ledger all the same
        print(f"MLflow lacks the result of this retraining: {error}", file=sys.stderr)
        return 0
    print(f"registered model: {model}\nto browse:\n{location.how_to_browse(publisher.page)}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
