"""Print how a study stands; with --rebuild, write into MLflow what it lacks of the study."""

from __future__ import annotations

import argparse
import sys

from mmsa.cli import add_mlflow_uri_argument, add_runs_argument, exit_code


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--storage", metavar="URL", help="database of the study, if it is not in --runs")
    parser.add_argument("--rebuild", action="store_true", help="write into MLflow what is missing there")
    add_mlflow_uri_argument(parser)
    add_runs_argument(parser)
    return parser.parse_args()


def main() -> int:
    args = arguments()
    from mmsa.data.ledger import LEDGER, Ledger
    from mmsa.results.report import study_report
    from mmsa.search.study.cards import study_card, trial_card
    from mmsa.search.study.view import read_study
    from mmsa.tracking import Location, rebuild

    study = read_study(args.study, args.runs, args.storage)
    if args.rebuild:
        location = Location.of(args.runs, args.mlflow_uri, args.storage)
        trials = [trial_card(study, record) for record in study.trials()]
        pages: list[str] = []
        written = rebuild(location, study_card(study), trials, pages.append)
        print(f"MLflow at {location} lacked {written} of {len(trials)} trials.")
        print(f"to browse:\n{location.how_to_browse(pages[0])}")
    else:
        print(study_report(study, Ledger(args.runs / LEDGER)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main, prints_its_result=True))
