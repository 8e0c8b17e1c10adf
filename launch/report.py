"""Report on a study or across several: Markdown on the terminal, the same with pictures as an HTML page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmsa.cli import add_runs_argument, add_tracking_arguments, exit_code, positive
from mmsa.errors import DataError, TrackingError

if TYPE_CHECKING:
    from mmsa.reports.across import AcrossReport
    from mmsa.search.study.view import StudyView

PAGE = "report.html"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("--study", help="name of the study")
    subject.add_argument(
        "--studies",
        nargs="+",
        metavar="STUDY",
        help="several studies: which information each data set rewards",
    )
    parser.add_argument("--storage", metavar="URL", help="database of the studies, if they are not in --runs")
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="where the page goes (default: report.html beside the study)",
    )
    parser.add_argument(
        "--measure",
        nargs="?",
        const="valid",
        choices=("valid", "train"),
        help="first decompose the features of a split (default: valid): shared, unique and synergistic "
        "information, in minutes; features that were learnt with the labels of train need valid",
    )
    parser.add_argument(
        "--run-path",
        type=positive,
        metavar="N",
        help="first train the first N steps from the defaults to the best trial, which are guesses otherwise",
    )
    parser.add_argument("--rebuild", action="store_true", help="write into MLflow what is missing there")
    add_tracking_arguments(parser)
    add_runs_argument(parser)
    args = parser.parse_args()
    if args.studies and (args.rebuild or args.run_path):
        parser.error("--rebuild and --run-path are for one --study")
    if args.rebuild and args.no_mlflow:
        parser.error("--rebuild writes into MLflow, and --no-mlflow forbids that")
    return args


def main() -> int:
    args = arguments()
    from mmsa.search.study.view import read_study

    names = list(dict.fromkeys(args.studies or [args.study]))
    studies = [read_study(name, args.runs, args.storage) for name in names]
    if args.rebuild:
        from mmsa.reports.in_mlflow import log_report
        from mmsa.search.study.cards import study_card, trial_card
        from mmsa.tracking import Location, rebuild

        location = Location.of(args.runs, args.mlflow_uri, args.storage)
        trials = [trial_card(studies[0], record) for record in studies[0].trials()]
        pages: list[str] = []
        written = rebuild(location, study_card(studies[0]), trials, pages.append)
        page = log_report(studies[0], args.runs, location, args.storage)
        print(f"MLflow at {location} lacked {written} of {len(trials)} trials.")
        print(f"report: {page}, and report.html of the study's run")
        print(f"to browse:\n{location.how_to_browse(pages[0])}")
        return 0

    from mmsa.reports.across import across_report, page_across
    from mmsa.reports.sources import is_measured, measure_composition
    from mmsa.reports.study_report import run_path, study_report

    for study in studies if args.measure else ():
        if is_measured(study, args.runs, args.measure):
            continue
        print(f"decomposing {args.measure} of {study.name} ...", file=sys.stderr, flush=True)
        try:
            measure_composition(study, args.runs, args.measure)
        except DataError as error:
            if study.nature.can_be_divided:
                raise
            # The rest of the report stands all the same, and so do other studies.
            print(f"{study.name} is not decomposed: {error}", file=sys.stderr)
    if args.run_path:
        run_path(studies[0], args.runs, args.run_path, lambda line: print(line, file=sys.stderr, flush=True))
    across = across_report(studies, args.runs, args.storage) if args.studies else None
    document = across.document if across else study_report(studies[0], args.runs, args.storage)
    page = args.html or args.runs / (page_across(names) if args.studies else f"{args.study}/{PAGE}")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(document.html(), encoding="utf-8")
    print(document.markdown(), end="")
    print(f"with pictures: {page}", file=sys.stderr)
    if across and not args.no_mlflow:
        log(across, studies, args)
    return 0


def log(across: AcrossReport, studies: Sequence[StudyView], args: argparse.Namespace) -> None:
    """Put a report across studies into MLflow; that it cannot be written costs nothing of the report."""
    from mmsa.reports.in_mlflow import log_across_report
    from mmsa.tracking import Location

    location = Location.of(args.runs, args.mlflow_uri, args.storage)
    try:
        address = log_across_report(across, studies, location)
    except TrackingError as error:
        print(f"MLflow has nothing of this report: {error}", file=sys.stderr)
    else:
        print(f"to browse:\n{location.how_to_browse(address)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(exit_code(main, prints_its_result=True))
