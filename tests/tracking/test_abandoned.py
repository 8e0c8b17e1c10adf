"""Retrainings that were killed, and those that only somebody else knows of."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.entities import Run

from mmsa.interface import StudyCard, TrialCard
from mmsa.places import place_of_process
from mmsa.tracking import Location, abandoned, rebuild
from mmsa.tracking.retrained import RetrainBeginning, RetrainRuns

BEGINNING = RetrainBeginning(
    data_set="planted",
    metric="valid/mae",
    direction="minimize",
    seeds=[1, 2],
    selected=None,
    config_yaml="seed: 1\n",
    tags={"study": "planted-mmim"},
)
Runs = Callable[[], list[tuple[str, Run]]]


@pytest.fixture
def location(store: Path, tmp_path: Path) -> Location:
    shutil.copy(store, tmp_path)
    return Location.of(tmp_path)


@pytest.fixture
def runs(location: Location) -> Runs:
    """A function that reads all runs of retrainings by status, oldest first."""

    def read() -> list[tuple[str, Run]]:
        client = location.connect()
        found = client.search_runs(
            [client.get_experiment_by_name("planted").experiment_id],
            order_by=["attributes.start_time ASC"],
        )
        return [(run.info.status, run) for run in found if run.data.tags["mmsa.role"] in ("retrain", "seed")]

    return read


def begin(location: Location, monkeypatch: pytest.MonkeyPatch, place: str) -> RetrainRuns:
    """A retraining after an epoch of its first seed, in a process at ``place``."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(abandoned, "place_of_process", lambda pid: place)
        said: list[str] = []
        training = RetrainRuns(location, BEGINNING, said.append)
        training.begin()
        training.epoch(1, 1, {"valid/mae": 0.9, "train/loss": 1.0})
        assert said == []
    return training


def place_of_a_killed_process() -> str:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        place = place_of_process(process.pid)
        process.send_signal(signal.SIGKILL)
    return place


def test_the_next_retraining_ends_one_whose_process_was_killed(
    location: Location, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(location, monkeypatch, place_of_a_killed_process())
    RetrainRuns(location, BEGINNING, print).begin()
    RetrainRuns(location, BEGINNING, print).begin()  # the one before it lives: it is this process
    assert [status for status, _ in runs()] == ["KILLED", "KILLED", "RUNNING", "RUNNING"]
    note = runs()[0][1].data.tags["mlflow.note.content"]
    assert note.startswith("**Ended without a result**: process ")


def test_a_rebuild_ends_one_of_another_machine_that_is_silent(
    location: Location,
    runs: Runs,
    monkeypatch: pytest.MonkeyPatch,
    study: StudyCard,
    trials: list[TrialCard],
) -> None:
    training = begin(location, monkeypatch, "another-machine pid:[1] 7/7")
    rebuild(location, study, trials)
    assert [status for status, _ in runs()] == ["RUNNING", "RUNNING"]
    with monkeypatch.context() as later:
        later.setattr(abandoned, "SILENT_SECONDS", 0.0)
        rebuild(location, study, trials)
    assert [status for status, _ in runs()] == ["KILLED", "KILLED"]
    training.epoch(1, 2, {"valid/mae": 0.8, "train/loss": 0.9})  # it lived all the same
    (_, seed) = runs()[1]
    assert seed.data.metrics["valid/mae"] == 0.8
