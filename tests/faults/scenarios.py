"""What may go wrong during a search: one row each."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import mlflow_server
import postgres
import too_wide
from searches import FEWEST_EPOCHS, Search

from mmsa.reports.in_mlflow import log_report
from mmsa.search.study.cards import study_card, trial_card
from mmsa.tracking import Location, rebuild

SILENT_SECONDS = 40.0
"""After which a trial hangs: many times what an epoch takes here."""


@dataclass
class Surroundings:
    """What a search is given: options of its command, a database; ``server`` is one that may be killed."""

    options: tuple[str, ...] = ("--no-mlflow",)
    storage: str | None = None
    server: Any = None


@contextmanager
def nothing(folder: Path) -> Iterator[Surroundings]:
    """No server, and the disk that is there."""
    yield Surroundings()


@contextmanager
def with_postgres(folder: Path) -> Iterator[Surroundings]:
    """A database server holds the study."""
    with postgres.Server() as server:
        yield Surroundings(storage=server.new_database(), server=server)


@contextmanager
def with_mlflow(folder: Path) -> Iterator[Surroundings]:
    """An MLflow server is told."""
    (folder / "mlflow").mkdir()
    with mlflow_server.Server(folder / "mlflow") as server:
        yield Surroundings(options=("--mlflow-uri", server.url), server=server)


@contextmanager
def with_protected_mlflow(folder: Path) -> Iterator[Surroundings]:
    """An MLflow server as a group runs one: over PostgreSQL, and it asks for a password."""
    (folder / "mlflow").mkdir()
    with (
        postgres.Server() as database,
        mlflow_server.Server(
            folder / "mlflow", database.new_database(), users=database.new_database()
        ) as server,
    ):
        yield Surroundings(options=("--mlflow-uri", server.url), server=server)


def no_protected_mlflow() -> str:
    """What this machine lacks for it, in words."""
    return postgres.missing() or mlflow_server.no_passwords()


@contextmanager
def with_small_disk(folder: Path) -> Iterator[Surroundings]:
    """All runs are on a disk of their own."""
    runs = folder / "runs"
    runs.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "mmsa-faults", str(runs)], check=True)
    try:
        yield Surroundings()
    finally:
        subprocess.run(["umount", "--lazy", str(runs)], check=True)


def no_small_disk() -> str:
    """What this machine lacks for a disk of one's own, in words."""
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True
    )
    return f"the right to mount a tmpfs ({tried.stderr.decode().strip()})" if tried.returncode else ""


Strike = Callable[[Search, Surroundings, Random], None]


def kill_process(title: str) -> Strike:
    """One of the processes of that class, at random."""

    def strike(search: Search, around: Surroundings, chance: Random) -> None:
        os.kill(chance.choice(search.workers(title)), signal.SIGKILL)

    return strike


def kill_workers(search: Search, around: Surroundings, chance: Random) -> None:
    """All at once, also those that wait for their next trial."""
    for worker in search.workers("SearchTrial"):
        os.kill(worker, signal.SIGKILL)


def stop_process(title: str) -> Strike:
    """It does not die, and never does anything again."""

    def strike(search: Search, around: Surroundings, chance: Random) -> None:
        os.kill(chance.choice(search.workers(title)), signal.SIGSTOP)

    return strike


def kill_node(search: Search, around: Surroundings, chance: Random) -> None:
    search.cluster.kill(chance.choice(search.cluster.nodes))
    search.cluster.add()


def kill_driver(search: Search, around: Surroundings, chance: Random) -> None:
    search.kill()
    search.launch()


def restart_server(search: Search, around: Surroundings, chance: Random) -> None:
    around.server.kill()
    time.sleep(chance.uniform(0.0, 2.0))
    around.server.start()


def lose_server(search: Search, around: Surroundings, chance: Random) -> None:
    around.server.kill()


def fill_disk(search: Search, around: Surroundings, chance: Random) -> None:
    filler = search.runs / "filler"
    until = time.monotonic() + chance.uniform(1.0, 4.0)
    with filler.open("wb", buffering=0) as stream:
        while time.monotonic() < until:
            try:
                stream.write(bytes(4096))
            except OSError:  # full; what others give back is taken again
                time.sleep(0.001)
    filler.unlink()


def damage_checkpoint(search: Search, around: Surroundings, chance: Random) -> None:
    process, file = search.running_with_checkpoint()
    os.kill(process, signal.SIGKILL)
    content = bytearray(file.read_bytes())
    for place in chance.sample(range(len(content)), 20):
        content[place] ^= 0xFF
    file.write_bytes(content)


def set_clock(search: Search, around: Surroundings, chance: Random) -> None:
    search.driver.send_signal(signal.SIGUSR2)


def nothing_happens(search: Search, around: Surroundings, chance: Random) -> None:
    """What goes wrong is in the space."""


def mirror_is_rebuilt(search: Search, around: Surroundings) -> None:
    """MLflow, which was away to the end, is brought up to date with the study."""
    around.server.start()
    study = search.study()
    cards = [trial_card(study, trial) for trial in study.trials()]
    assert rebuild(Location.of(search.runs, around.server.url), study_card(study), cards) > 0
    mirror_is_whole(search, around)


def mirror_is_whole(search: Search, around: Surroundings) -> None:
    """MLflow shows what the study holds, at the latest after it was rebuilt; no password was printed."""
    study = search.study()
    location = Location.of(search.runs, around.server.url)
    cards = [trial_card(study, trial) for trial in study.trials()]
    rebuild(location, study_card(study), cards)
    assert rebuild(location, study_card(study), cards) == 0
    log_report(study, search.runs, location)
    client = location.connect()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, "tags.`mmsa.role` = 'trial'")
    assert sorted(int(run.data.tags["mmsa.trial"]) for run in runs) == list(range(len(cards)))
    for run in runs:
        card = cards[int(run.data.tags["mmsa.trial"])]
        shown = client.get_metric_history(run.info.run_id, "valid/mae")
        assert {point.step: point.value for point in shown} == {
            epoch: metrics["valid/mae"] for epoch, metrics in card.epochs.items()
        }
        assert run.data.params == {name: str(value) for name, value in card.params.items()}
        assert (run.info.status, run.data.tags["mmsa.outcome"]) == ("FINISHED", card.outcome)
        assert {"config.yaml", "epochs.csv"} <= _files(client, run.info.run_id)
    (parent,) = client.search_runs(experiments, "tags.`mmsa.role` = 'study'")
    assert parent.info.status == "FINISHED"
    assert {"space.yaml", "best.yaml", "trials.csv", "report.html"} <= _files(client, parent.info.run_id)
    if around.server.password:
        assert around.server.password not in search.said()


def _files(client: Any, run_id: str) -> set[str]:
    return {file.path for file in client.list_artifacts(run_id)}


def _no_check(search: Search, around: Surroundings) -> None:
    pass


@dataclass(frozen=True)
class Scenario:
    """A fault, and how it strikes.

    Attributes:
        strikes: how often in a search, each time after a random number of epochs.
        around: what the search is given.
        space: what differs from ``SPACE``, by dotted path.
        ends: outcomes that have to occur because of it.
        lacks: what this machine lacks for it, in words.
        check: what else is to be true afterwards.
    """

    name: str
    strike: Strike
    strikes: int = 2
    around: Callable[[Path], Any] = nothing
    space: dict[str, Any] = field(default_factory=dict)
    ends: frozenset[str] = frozenset()
    lacks: Callable[[], str] = str
    check: Callable[[Search, Surroundings], None] = _no_check

    def moments(self, chance: Random) -> list[int]:
        """Epochs after which it strikes: none so late that the search might be over."""
        return sorted(chance.sample(range(1, 2 * FEWEST_EPOCHS // 3), self.strikes))


_FOLDS = {"base.data": {"name": "planted", "rows_train": 200, "rows_valid": 60, "folds": {"k": 3}}}
_GANG = {"resources.workers": 2}
_IMPATIENT = {"resources.silent_minutes": SILENT_SECONDS / 60}
_LR = {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}

SCENARIOS = (
    Scenario("worker killed", kill_process("SearchTrial")),
    Scenario("all workers killed", kill_workers),
    Scenario("rank of a gang killed", kill_process("Rank"), space=_GANG),
    Scenario("node killed", kill_node, strikes=1),
    Scenario("driver killed", kill_driver),
    Scenario("driver killed amid folds", kill_driver, space=_FOLDS),
    Scenario("all workers killed amid folds", kill_workers, space=_FOLDS),
    Scenario("PostgreSQL server killed", restart_server, around=with_postgres, lacks=postgres.missing),
    Scenario("worker hangs", stop_process("SearchTrial"), strikes=1, space=_IMPATIENT),
    Scenario("rank of a gang hangs", stop_process("Rank"), strikes=1, space={**_GANG, **_IMPATIENT}),
    Scenario(
        "NaN",
        nothing_happens,
        strikes=0,
        space={
            "search.parameters": {"optim.lr": {**_LR, "high": 1e30}},
            "search.starts": [{"optim.lr": 1e30}],
        },
        ends=frozenset({"diverged"}),
    ),
    Scenario(
        "out of memory",
        nothing_happens,
        strikes=0,
        space={
            "search.parameters": {"optim.lr": _LR, **too_wide.PARAMETERS},
            "search.starts": [too_wide.POINT],
            **{f"base.{path}": value for path, value in too_wide.BASE.items()},
        },
        ends=frozenset({"out_of_memory"}),
    ),
    Scenario("disk full", fill_disk, around=with_small_disk, lacks=no_small_disk),
    Scenario("checkpoint damaged", damage_checkpoint),
    Scenario("MLflow server lost", lose_server, strikes=1, around=with_mlflow, check=mirror_is_rebuilt),
    Scenario(
        "protected MLflow restarted",
        restart_server,
        strikes=1,
        around=with_protected_mlflow,
        lacks=no_protected_mlflow,
        check=mirror_is_whole,
    ),
    Scenario("clock set", set_clock, strikes=4),
)
