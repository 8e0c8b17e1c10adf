"""Search a space, or go on with a search that was stopped: the same command again continues it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, get_args

from mmsa.cli import (
    INTERRUPTED,
    USER_ERROR,
    add_common_arguments,
    add_tracking_arguments,
    duration,
    exit_code,
    hours,
    overrides,
    positive,
)
from mmsa.config import with_overrides
from mmsa.errors import ConfigError, MmsaError
from mmsa.interface import References
from mmsa.search.definition.files import find_space, misspelt

if TYPE_CHECKING:
    from mmsa.tracking import Location


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--space", required=True, metavar="NAME", help="space file: here, or among search_spaces/"
    )
    parser.add_argument(
        "--trials", metavar="N|+N", help="trials in all, or so many more (default: as the space says)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done and what it would cost, and stop"
    )
    parser.add_argument(
        "--references",
        choices=get_args(References),
        help="what the trials are compared with (default: as the space says)",
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="try failed trials again, each as one trial more"
    )
    parser.add_argument(
        "--time-budget", type=duration, metavar="TIME", help="stop after 90s, 30m, 2h or 1d of this launch"
    )
    parser.add_argument(
        "--gpu-hours", type=hours, metavar="H", help="stop when the study's trials took so many GPU-hours"
    )
    parser.add_argument("--storage", metavar="URL", help="database of the study (default: a file in --runs)")
    parser.add_argument("--ray-address", metavar="HOST:PORT", help="cluster to use (default: this machine)")
    parser.add_argument("--concurrency", type=positive, metavar="N", help="most trials at once")
    add_common_arguments(parser)
    add_tracking_arguments(parser)
    return parser.parse_args()


def report(name: str, args: argparse.Namespace, location: Location, say: Callable[[str], None]) -> None:
    """Write the report of a study that has ended or stopped; a failure of it is none of the search."""
    from mmsa.reports.in_mlflow import log_report
    from mmsa.search.study.view import read_study

    try:
        page = log_report(read_study(name, args.runs, args.storage), args.runs, location, args.storage)
    except MmsaError as error:
        again = f"python launch/report.py --study {name} --rebuild{location.options}"
        say(f"the report is not in MLflow: {error}\nto write it: {again}")
    else:
        say(f"report:   {page}, also in MLflow: report.html of the study's run")


def main() -> int:
    args = arguments()
    changes, path = overrides(args.assignments), find_space(args.space)
    told = misspelt(path)
    if told:  # at once; to find the rest takes a model's libraries, and so seconds
        print(
            f"error: {ConfigError(str(path), told)}",
            "looking for more ...",
            sep="\n",
            file=sys.stderr,
            flush=True,
        )
    from mmsa.search.definition.load import load_space

    try:
        config = load_space(args.space, changes)
    except ConfigError as error:
        further = [p for p in error.problems if p.path not in {problem.path for problem in told}]
        if further:
            raise ConfigError(error.source, further) from None
        return USER_ERROR

    if args.references:
        search = with_overrides(config.search, {"references": args.references})
        config = config.model_copy(update={"search": search})

    from rich.console import Console

    from mmsa.interface import Observer
    from mmsa.search.costs import SearchBudget
    from mmsa.search.execution.executor import SearchOptions, run_search
    from mmsa.search.preview import dry_run
    from mmsa.search.progress import ProgressDisplay
    from mmsa.tracking import Location, MirrorProcess

    if args.dry_run:
        for paragraph in dry_run(config, args.runs, args.storage, args.trials):
            print(paragraph, flush=True)
        return 0
    console = Console()
    say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    observers: list[Observer] = [ProgressDisplay(console)]
    location = mirror = None
    if not args.no_mlflow:
        location = Location.of(args.runs, args.mlflow_uri, args.storage)
        if location.named_by:
            say(f"MLflow: {location}")
        mirror = MirrorProcess(location, say)
        observers.append(mirror)
    options = SearchOptions(
        args.runs,
        args.storage,
        args.trials,
        args.ray_address,
        concurrency=args.concurrency,
        retry_failed=args.retry_failed,
        budget=SearchBudget(args.time_budget, args.gpu_hours),
    )
    summary = run_search(config, options, observers, say)
    say(summary.text(location.how_to_browse(mirror.page) if location and mirror else ""))
    if location is not None:
        report(config.study, args, location, say)
    return INTERRUPTED if summary.interrupted else int(not summary.successful)


if __name__ == "__main__":
    sys.exit(exit_code(main))
