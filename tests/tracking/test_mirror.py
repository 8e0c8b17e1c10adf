"""The mirror against a real MLflow database, a dead server and a slow one."""

from __future__ import annotations

import csv
import io
import json
import shutil
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmsa.errors import TrackingError
from mmsa.interface import BestEpoch, Observer, PairedDifference, ReferencePoint, StudyCard, TrialCard
from mmsa.measurement import Measurement
from mmsa.tracking.location import Location
from mmsa.tracking.mirror import Mirror, rebuild
from mmsa.tracking.study_runs import StudyRuns


class Store:
    """What MLflow shows, read with its own client."""

    def __init__(self, location: Location):
        self.client = location.connect()
        self.experiment = self.client.get_experiment_by_name("planted").experiment_id

    def runs(self, role: str) -> list[Any]:
        return list(self.client.search_runs([self.experiment], f"tags.`mmsa.role` = '{role}'"))

    def trial(self, number: int) -> Any:
        (run,) = [run for run in self.runs("trial") if run.data.tags["mmsa.trial"] == str(number)]
        return run

    def history(self, number: int, metric: str) -> list[tuple[int, float]]:
        history = self.client.get_metric_history(self.trial(number).info.run_id, metric)
        return [(point.step, point.value) for point in history]

    def text(self, run: Any, path: str, folder: Path) -> str:
        return Path(self.client.download_artifacts(run.info.run_id, path, str(folder))).read_text()


@pytest.fixture
def location(store: Path, tmp_path: Path) -> Location:
    (tmp_path / "runs").mkdir()
    shutil.copy(store, tmp_path / "runs")
    return Location.of(tmp_path / "runs")


@pytest.fixture
def said() -> list[str]:
    return []


def tell(mirror: Observer, trial: TrialCard) -> None:
    mirror.trial_started(trial.number, trial.params, {"seed": trial.number})
    for epoch, metrics in trial.epochs.items():
        mirror.trial_epoch(trial.number, epoch, metrics)
    best = BestEpoch(trial.best_epoch, trial.metrics, trial.violation, standard_error=0.02)
    mirror.trial_finished(trial.number, trial.outcome, trial.values, trial.reason, best)


def mirror_of(location: Location, say: Callable[[str], None], **settings: Any) -> Mirror:
    """That waits at the end however slow this machine is."""
    return Mirror(location, say, **{"interval": 0.05, "patience": 100.0, **settings})


def test_a_file_knows_how_many_rows_it_has(
    location: Location, study: StudyCard, trials: list[TrialCard]
) -> None:
    """Else SQLite orders trials by comparing each with every other one."""
    rebuild(location, study, trials)
    with closing(sqlite3.connect(location.uri.removeprefix("sqlite:///"))) as database:
        counted = {table for (table,) in database.execute("SELECT tbl FROM sqlite_stat1")}
    assert counted >= {"runs", "tags", "latest_metrics"}


def test_a_search_becomes_a_parent_and_a_child_for_each_trial(
    location: Location, study: StudyCard, trials: list[TrialCard], said: list[str], tmp_path: Path
) -> None:
    mirror = mirror_of(location, said.append)
    mirror.start_study(study, [])
    for trial in trials:
        tell(mirror, trial)
    mirror.close()

    store = Store(location)
    (parent,) = store.runs("study")
    assert said == []
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["best/valid/mae"] == 0.5
    assert parent.data.tags["mmsa.best_trial/valid/mae"] == "0"
    assert parent.data.tags["mmsa.corpus_digest"] == "77ab"
    assert parent.data.tags["mlflow.note.content"].startswith(
        "**Best: trial 0, valid/mae 0.5000** ± 0.039 (95 %)"
    )
    assert store.text(parent, "space.yaml", tmp_path) == study.space_yaml
    assert store.text(parent, "best.yaml", tmp_path) == "seed: 0\n"
    assert store.text(parent, "trials.csv", tmp_path).splitlines()[2].startswith("1,search,pruned,0.8,")
    children = [store.trial(number) for number in range(3)]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert [run.data.tags["mmsa.outcome"] for run in children] == ["completed", "pruned", "diverged"]
    assert [run.info.status for run in children] == ["FINISHED", "FINISHED", "FAILED"]
    assert children[2].data.tags["mmsa.reason"] == "task became nan"
    assert children[1].data.params == {"optim.lr": "0.1"}
    assert store.history(0, "valid/mae") == [(1, 0.9), (2, 0.5)]
    assert store.text(children[1], "config.yaml", tmp_path) == "seed: 1\n"
    assert store.text(children[0], "epochs.csv", tmp_path).splitlines()[1] == "1,0.9,0.45"


def test_a_reference_point_is_a_child_of_its_own_role_and_told_once_more_is_the_same_one(
    location: Location, study: StudyCard, trials: list[TrialCard], said: list[str], tmp_path: Path
) -> None:
    ridge = ReferencePoint("ridge/all", "completed", "77ab", {"valid/mae": 0.4}, seconds=0.5)
    trained = ReferencePoint("alone/text", "diverged", "seed: 7\n", reason="task became nan")
    gains = {"valid/mae": PairedDifference(-0.1, -0.2, 0.05)}
    compared = replace(ridge, gains=gains, compared_with=0)
    mirror = mirror_of(location, said.append)
    mirror.start_study(replace(study, references=[ridge]), [])
    for trial in trials:
        tell(mirror, trial)
    mirror.reference_known(trained)
    mirror.reference_known(compared)
    mirror.close()
    assert rebuild(location, replace(study, references=[compared, trained]), trials) == 0

    store = Store(location)
    (parent,) = store.runs("study")
    assert said == []
    assert len(store.runs("trial")) == len(trials)
    children = {run.data.tags["mmsa.reference"]: run for run in store.runs("reference")}
    assert children.keys() == {"ridge/all", "alone/text"}
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} == {parent.info.run_id}
    assert children["ridge/all"].data.metrics == {"best/valid/mae": 0.4}
    assert children["ridge/all"].data.tags["mmsa.gain"] == "-0.1000 [-0.2000, +0.0500]"
    assert children["alone/text"].info.status == "FAILED"
    assert children["alone/text"].data.tags["mmsa.reason"] == "task became nan"
    assert store.text(children["alone/text"], "config.yaml", tmp_path) == "seed: 7\n"
    assert parent.data.metrics == {"best/valid/mae": 0.5}
    assert parent.data.tags["mmsa.verdict"].endswith("behind ridge on all modalities 0.4000.")
    table = store.text(parent, "references.csv", tmp_path).splitlines()
    assert table[1] == "ridge/all,completed,valid/mae,0.4,0,-0.1,-0.2,0.05,,0.5,"
    assert table[2] == "alone/text,diverged,,,,,,,,0.0,task became nan"

    store.client.delete_run(parent.info.run_id)
    rebuild(location, replace(study, references=[compared, trained]), trials)
    (parent,) = store.runs("study")
    assert {run.data.tags["mlflow.parentRunId"] for run in store.runs("reference")} == {parent.info.run_id}


def test_information_is_shown_with_status_and_interval(
    location: Location,
    study: StudyCard,
    trials: list[TrialCard],
    said: list[str],
    information: dict[str, Measurement],
    tmp_path: Path,
) -> None:
    mirror = mirror_of(location, said.append)
    mirror.start_study(study, [])
    mirror.trial_started(0, trials[0].params, {"seed": 0})
    ceiling = {"information/target/vision": 4.6}  # without an interval
    first = {"information/target/text": 0.1, "information/target/text/low": 0.05, **ceiling}
    mirror.trial_epoch(0, 1, {**trials[0].epochs[1], **first})
    mirror.trial_epoch(0, 2, trials[0].epochs[2])
    mirror.trial_measured(0, information)
    mirror.trial_finished(0, "completed", (0.5,), "")
    mirror.close()

    rebuilt = replace(location, uri=f"{location.uri}.rebuilt")
    card = replace(trials[0], information=information)
    assert rebuild(rebuilt, study, [card]) == 1
    assert rebuild(rebuilt, study, [card]) == 0
    shown = []
    for place in (location, rebuilt):
        store, folder = Store(place), tmp_path / str(len(shown))
        folder.mkdir()
        run = store.trial(0)
        numbers = {name: value for name, value in run.data.metrics.items() if name.startswith("information/")}
        shown.append((numbers, *(store.text(run, f"information.{kind}", folder) for kind in ("csv", "json"))))
    assert shown[0] == shown[1]

    numbers, table, records = shown[0]
    text, audio = information["target/text"], information["target/audio"]
    assert numbers == {"information/target.text": text.value, "information/target.audio": audio.value}
    assert Store(location).history(0, "information/target.text") == [(1, 0.1), (2, text.value)]
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["status"] for row in rows] == ["ok", "below_null", "skipped"]
    assert float(rows[0]["low"]) == text.low
    assert rows[2]["value"] == ""
    stored = {name: Measurement.from_dict(record) for name, record in json.loads(records).items()}
    assert stored == information


def test_a_study_that_continues_uses_the_runs_it_has(
    location: Location, study: StudyCard, trials: list[TrialCard], said: list[str]
) -> None:
    first = mirror_of(location, said.append)
    first.start_study(study, [])
    tell(first, trials[1])
    first.trial_started(0, trials[0].params, {"seed": 0})
    first.trial_epoch(0, 1, trials[0].epochs[1])
    first.close()
    assert Store(location).runs("study")[0].info.status == "KILLED"

    second = mirror_of(location, said.append)
    second.start_study(study, [trials[1]])
    tell(second, trials[0])  # its first epoch is told again
    tell(second, trials[2])
    second.close()

    store = Store(location)
    assert len(store.runs("study")) == 1
    assert len(store.runs("trial")) == 3
    assert store.history(0, "valid/mae") == [(1, 0.9), (2, 0.5)]
    assert store.history(1, "valid/mae") == [(1, 0.8)]
    assert store.runs("study")[0].info.status == "FINISHED"


def test_a_study_made_anew_under_the_same_name_is_another_one(
    location: Location, study: StudyCard, trials: list[TrialCard]
) -> None:
    rebuild(location, study, trials[:1])
    anew = StudyCard(**{**vars(study), "identity": "91ff"})
    assert rebuild(location, anew, trials[:1]) == 1
    assert len(Store(location).runs("study")) == 2


def test_rebuild_writes_exactly_what_is_missing(
    location: Location, study: StudyCard, trials: list[TrialCard]
) -> None:
    runs = StudyRuns(location, study)
    runs.write_trial(trials[1])
    half = TrialCard(0, "running", trials[0].params, trials[0].config_yaml, epochs={1: trials[0].epochs[1]})
    runs.write_trial(half)

    assert rebuild(location, study, trials) == 2
    assert rebuild(location, study, trials) == 0
    store = Store(location)
    assert store.history(0, "valid/mae") == [(1, 0.9), (2, 0.5)]
    assert store.history(1, "valid/mae") == [(1, 0.8)]
    assert store.trial(0).info.end_time == 110_000
    assert len(store.runs("trial")) == 3


def test_rebuild_leaves_running_trials_to_their_driver(
    location: Location, study: StudyCard, trials: list[TrialCard]
) -> None:
    running = TrialCard(3, "running", {}, "seed: 3\n", epochs={1: {"valid/mae": 0.7}})
    assert rebuild(location, study, [*trials, running]) == 3
    assert len(Store(location).runs("trial")) == 3
    assert Store(location).runs("study")[0].info.status == "RUNNING"


def test_a_dead_server_does_not_stop_a_search(
    study: StudyCard, trials: list[TrialCard], said: list[str], tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    location = Location.of(tmp_path, f"http://127.0.0.1:{port}")
    mirror = mirror_of(location, said.append)
    mirror.start_study(study, [])
    for trial in trials:
        tell(mirror, trial)
    mirror.close()
    assert len(said) == 2
    assert "the search goes on" in said[0]
    assert said[1] == (
        "MLflow lacks up to 3 trials. To fill the gap: python launch/report.py --study planted-mmim --rebuild"
        f" --runs {tmp_path} --mlflow-uri {location.uri}"
    )
    with pytest.raises(TrackingError, match=str(port)):
        rebuild(location, study, trials)


def test_a_server_that_never_answers_holds_up_neither_the_search_nor_its_end(
    study: StudyCard,
    trials: list[TrialCard],
    said: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "250")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        location = Location.of(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}")
        mirror = mirror_of(location, said.append, patience=0.5)
        start = time.monotonic()
        mirror.start_study(study, [])
        for trial in trials:
            tell(mirror, trial)
        mirror.close()
        assert time.monotonic() - start < 200  # one request would take longer
        assert (
            "lacks up to 3 trials" in said[-1]
        )  # when the server is gone, the request fails and says so too


def test_trials_beyond_the_capacity_are_left_to_rebuild(
    location: Location,
    study: StudyCard,
    trials: list[TrialCard],
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = threading.Event()
    connect = Location.connect

    def slow(self: Location) -> Any:
        gate.wait(10)
        return connect(self)

    monkeypatch.setattr(Location, "connect", slow)
    mirror = mirror_of(location, said.append, capacity=1)
    mirror.start_study(study, trials[:1])  # not counted
    for trial in trials[1:]:
        tell(mirror, trial)
    gate.set()
    mirror.close()
    assert {run.data.tags["mmsa.trial"] for run in Store(location).runs("trial")} == {"1", "2"}
    assert "lacks up to 1 trials" in said[-1]
    assert rebuild(location, study, trials) == 1


def test_what_was_lost_while_the_store_was_away_is_written_when_it_is_back(
    location: Location,
    study: StudyCard,
    trials: list[TrialCard],
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, failed = StudyRuns.write_trial, threading.Event()

    def fails_once(self: StudyRuns, trial: TrialCard) -> bool:
        done = write(self, trial)
        if not failed.is_set():
            failed.set()
            raise ConnectionError("the answer was lost")
        return done

    monkeypatch.setattr(StudyRuns, "write_trial", fails_once)
    mirror = mirror_of(location, said.append)
    mirror.start_study(study, [])
    tell(mirror, trials[0])
    assert failed.wait(20)
    tell(mirror, trials[1])
    time.sleep(0.2)
    mirror.close()
    assert len(said) == 1
    assert "the answer was lost" in said[0]
    store = Store(location)
    assert len(store.runs("trial")) == 2
    assert store.history(0, "valid/mae") == [(1, 0.9), (2, 0.5)]


def test_the_best_epoch_is_written_whole_also_of_a_pruned_trial(
    location: Location, study: StudyCard, trials: list[TrialCard], said: list[str], tmp_path: Path
) -> None:
    measured = {"valid/mae": 0.5, "valid/pearson": 0.7, "train/task": 0.2}
    known: list[dict[str, Any]] = [
        {"metrics": measured, "best_epoch": 2},
        {"metrics": {"valid/mae": 0.8, "valid/pearson": 0.1}, "best_epoch": 1, "values": ()},
    ]
    cards = [replace(trial, **more) for trial, more in zip(trials, known, strict=False)]
    mirror = mirror_of(location, said.append)
    mirror.start_study(study, [])
    for card in cards:
        tell(mirror, card)
    mirror.close()
    store = Store(location)
    (parent,) = store.runs("study")
    shown = [run.data.metrics for run in (store.trial(0), store.trial(1), parent)]
    assert [run["best/valid/pearson"] for run in shown] == [0.7, 0.1, 0.7]
    assert [run["best/valid/mae"] for run in shown] == [0.5, 0.8, 0.5]
    assert not [name for run in shown for name in run if name.startswith("best/train")]
    assert store.trial(1).data.tags["mmsa.best_epoch"] == "1"
    rows = list(csv.DictReader(io.StringIO(store.text(parent, "trials.csv", tmp_path))))
    assert [row["valid/mae"] for row in rows] == ["0.5", "0.8"]
    assert [row["valid/pearson"] for row in rows] == ["0.7", "0.1"]
    assert [(row["rank"], row["best_epoch"]) for row in rows] == [("1", "2"), ("", "1")]
    assert rebuild(location, study, [replace(card, started=None) for card in cards]) == 0


def test_nothing_is_left_of_what_was_true_before(
    location: Location, study: StudyCard, trials: list[TrialCard]
) -> None:
    running = TrialCard(1, "running", {}, "")
    rebuild(location, study, [trials[0], running])
    assert Store(location).runs("study")[0].data.tags["mmsa.num_running"] == "1"
    edited = [replace(trials[0], superseded=True, reason="breaks x by 1", violation=1.0), trials[1]]
    assert rebuild(location, study, edited) == 2
    tags = Store(location).runs("study")[0].data.tags
    assert (tags["mmsa.num_running"], tags["mmsa.num_pruned"]) == ("0", "1")
    assert tags["mmsa.best_trial/valid/mae"] == ""
    tags = Store(location).trial(0).data.tags
    assert (tags["mmsa.superseded"], tags["mmsa.feasible"]) == ("True", "False")
    assert tags["mmsa.reason"] == "breaks x by 1"


def test_the_best_trial_is_a_feasible_one_or_said_to_break_a_bound(
    location: Location, study: StudyCard, trials: list[TrialCard]
) -> None:
    broken = replace(trials[0], number=1, values=(0.1,), reason="breaks x by 1", violation=1.0)
    rebuild(location, study, [broken])
    tags = Store(location).runs("study")[0].data.tags
    assert tags["mmsa.best_trial/valid/mae"] == "1"
    assert tags["mmsa.best_trial_breaks/valid/mae"] == "breaks x by 1"
    rebuild(location, study, [trials[0], broken])
    tags = Store(location).runs("study")[0].data.tags
    assert tags["mmsa.best_trial/valid/mae"] == "0"
    assert tags["mmsa.best_trial_breaks/valid/mae"] == ""


def test_a_summary_that_was_lost_is_written_in_the_next_round(
    location: Location,
    study: StudyCard,
    trials: list[TrialCard],
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, failed = StudyRuns.write_summary, threading.Event()

    def fails_once(self: StudyRuns, cards: list[TrialCard]) -> None:
        if not failed.is_set():
            failed.set()
            raise ConnectionError("away")
        write(self, cards)

    monkeypatch.setattr(StudyRuns, "write_summary", fails_once)
    mirror = mirror_of(location, said.append)
    mirror.start_study(study, [])
    tell(mirror, trials[0])
    assert failed.wait(60)
    mirror.close()
    assert Store(location).runs("study")[0].data.tags["mmsa.num_completed"] == "1"
