"""How fast trials are logged to MLflow, and how long the page of a study takes to open.

Trials are made up and told by the mirror's own writer, in this process, as ``report --rebuild`` does: a run,
its configuration, curves and table. Of an SQLite file at most 100 are told, and copied within the database to
the number asked for; ``--all`` tells every one, as is done with any other store. The page is the printed
address in headless Chromium, from the navigation until rows are there; MLflow's own page of the same
experiment beside it.

    python benchmarks/tracking/opening.py [--trials 100 1000 10000] [--all] [--store postgresql+psycopg://...]

Without ``--store`` it is an SQLite file in a temporary folder. Times of a busy machine are to be compared
with each other only; ``cpu`` is the time that this process computed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
sys.path.append(str(Path(__file__).parents[2] / "tests"))

from browser_page import Page, chromium
from figures import Figure, record
from mlflow_server import Server
from synthetic import multiply_trials, synthetic_study

from mmsa.tracking.location import MACHINE_LEARNING, Location
from mmsa.tracking.mirror import rebuild

ROWS = "document.querySelectorAll('.ag-center-cols-container [row-index]').length > 0"
PATIENCE = 180.0
COPIED_FROM = 100


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--all", action="store_true", help="write every trial, instead of copies of 100")
    parser.add_argument("--store", metavar="URL", help="of an empty database")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    kind = "sqlite" if args.store is None else args.store.partition(":")[0].partition("+")[0]
    for count in args.trials:
        with tempfile.TemporaryDirectory() as folder:
            told = count if args.all or args.store else min(count, COPIED_FROM)
            figures = measure(count, told, Path(folder), args.store, f"{kind}/{count}")
        print("\n".join(f"{name}: {figure.value:.3g} {figure.unit}" for name, figure in figures.items()))
        print(record("tracking", figures))


def measure(count: int, told: int, folder: Path, store: str | None, key: str) -> dict[str, Figure]:
    """Log ``told`` trials, copy them to ``count``, and open their page."""
    address = store or f"sqlite:///{folder}/server.db"
    location = Location(address, (folder / "artifacts").as_uri())
    location.connect()
    study, trials = synthetic_study(told, name=f"of {count}", seed=count)
    pages: list[str] = []
    began, computed = time.monotonic(), time.process_time()
    rebuild(location, study, trials, pages.append)
    seconds, cpu = time.monotonic() - began, time.process_time() - computed
    what = "a run, two files, curves of 6 epochs, 25 names at most"
    figures = {
        f"{key}/logged_per_s": Figure(told / seconds, "trials/s", what, better="higher"),
        f"{key}/cpu_ms_per_trial": Figure(1000 * cpu / told, "ms", what),
    }
    if told < count:
        multiply_trials(folder / "server.db", count // told)
    if chromium() is None:
        return figures
    with Server(folder, store) as server:
        page = pages[0].replace(location.origin, server.url)
        default = f"{page.partition('?')[0]}?workflowType={MACHINE_LEARNING['workflowType']}"
        for name, of, goal in (
            ("view", page, 30.0),
            ("default", default, None),
        ):
            told = "the printed address" if name == "view" else "MLflow's own page of the same runs"
            took = opened(of, server)
            figures[f"{key}/{name}_s"] = Figure(took.seconds, "s", f"{told}, rows are there", goal)
            figures[f"{key}/{name}_server_cpu_s"] = Figure(took.server, "s", f"{told}, MLflow's server")
            figures[f"{key}/{name}_browser_cpu_s"] = Figure(took.browser, "s", f"{told}, Chromium")
    return figures


@dataclass(frozen=True)
class Took:
    """What it took to open a page.

    Attributes:
        seconds: until rows were there.
        server: seconds that MLflow's server computed.
        browser: seconds that Chromium computed.
    """

    seconds: float
    server: float
    browser: float


def opened(address: str, server: Server) -> Took:
    """Open an address in a browser that has shown nothing before."""
    with Page() as page:
        began, of_server, of_browser = time.monotonic(), cpu(server.session), cpu(page.session)
        page.open(address)
        page.wait_for(ROWS, PATIENCE)
        seconds = time.monotonic() - began
        return Took(seconds, cpu(server.session) - of_server, cpu(page.session) - of_browser)


def cpu(session: int) -> float:
    """Seconds that the processes of a session have computed, with those that have ended."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
