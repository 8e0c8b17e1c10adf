"""Which store is written, by whatever name, and what a user did to it between two launches."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

from mmsa.errors import ConfigError, TrackingError
from mmsa.interface import StudyCard, TrialCard
from mmsa.tracking.location import VARIABLE, Location
from mmsa.tracking.mirror import rebuild

ODD = ["a?b", "a b", "50%", "a%41b", "a#b", "grün", "a'b\"c", "me:x@y", "q?x=1&y#%20"]


@pytest.fixture
def runs(store: Path, tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    shutil.copy(store, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def location(runs: Path) -> Location:
    return Location.of(runs)


@pytest.fixture
def client(location: Location) -> MlflowClient:
    return location.connect()


def shown(client: MlflowClient) -> dict[str | None, list[Any]]:
    """All active runs of active experiments, by trial, the parents under None."""
    found: dict[str | None, list[Any]] = {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            found.setdefault(run.data.tags.get("mmsa.trial"), []).append(run)
    return found


def whole(client: MlflowClient) -> None:
    """Every trial once, below the one parent."""
    found = shown(client)
    assert {number: len(runs) for number, runs in found.items()} == {None: 1, "0": 1, "1": 1, "2": 1}
    (parent,) = found.pop(None)
    assert {run.data.tags["mlflow.parentRunId"] for (run,) in found.values()} == {parent.info.run_id}


class TestWhatAUserDoesInMLflow:
    def test_a_deleted_parent_leaves_no_orphans(
        self, location: Location, client: MlflowClient, study: StudyCard, trials: list[TrialCard]
    ) -> None:
        rebuild(location, study, trials)
        client.delete_run(shown(client)[None][0].info.run_id)
        assert rebuild(location, study, trials) == 0
        whole(client)

    def test_a_deleted_experiment_brings_back_nothing_that_was_deleted(
        self, location: Location, client: MlflowClient, study: StudyCard, trials: list[TrialCard]
    ) -> None:
        other = replace(study, name="other", identity="77")
        rebuild(location, other, trials[:1])
        rebuild(location, study, trials)
        found = shown(client)
        for run in (found[None][0], found["0"][0], found["1"][0]):
            client.delete_run(run.info.run_id)
        rebuild(location, study, trials)
        experiment = client.get_experiment_by_name("planted").experiment_id
        client.delete_experiment(experiment)
        rebuild(location, study, trials)
        whole(client)
        assert {run.data.tags["mmsa.study"] for runs in shown(client).values() for run in runs} == {
            study.name
        }
        rebuild(location, other, trials[:1])
        assert len(shown(client)["0"]) == 2

    def test_a_run_brought_back_from_the_bin_is_not_there_twice(
        self, location: Location, client: MlflowClient, study: StudyCard, trials: list[TrialCard]
    ) -> None:
        rebuild(location, study, trials)
        found = shown(client)
        deleted = [found[None][0].info.run_id, found["0"][0].info.run_id]
        for run in deleted:
            client.delete_run(run)
        assert rebuild(location, study, trials) == 1
        for run in deleted:
            client.restore_run(run)
        assert rebuild(location, study, trials) == 0
        whole(client)

    @pytest.mark.parametrize("tagged", [True, False], ids=["now", "of an earlier version"])
    def test_a_renamed_experiment_is_the_same_one(
        self,
        location: Location,
        client: MlflowClient,
        study: StudyCard,
        trials: list[TrialCard],
        tagged: bool,
    ) -> None:
        if not tagged:
            client.create_experiment("planted", artifact_location=location.artifacts)
        rebuild(location, study, trials)
        experiment = client.get_experiment_by_name("planted").experiment_id
        client.rename_experiment(experiment, "what I call it")
        assert rebuild(location, study, trials) == 0
        whole(client)
        rebuild(location, replace(study, identity="new"), trials)
        assert client.get_experiment_by_name("planted") is None
        assert len(client.search_runs([experiment])) == 8


class TestPaths:
    def test_files_move_with_the_folder_of_runs(
        self, runs: Path, location: Location, study: StudyCard, trials: list[TrialCard]
    ) -> None:
        rebuild(location, study, trials[:1])
        now = runs.rename(runs.with_name("else where"))
        _artifact_repos_cache.clear()  # a launch is a process of its own
        moved = Location.of(now)
        assert rebuild(moved, study, trials) == 2
        assert not runs.exists()
        client = moved.connect()
        for found in shown(client).values():
            for run in found:
                assert run.info.artifact_uri.startswith(f"{now.as_uri()}/artifacts/")
                assert client.list_artifacts(run.info.run_id)

    def test_files_of_a_copy_are_its_own(
        self, runs: Path, location: Location, study: StudyCard, trials: list[TrialCard]
    ) -> None:
        rebuild(location, study, trials[:1])
        _artifact_repos_cache.clear()
        before = sorted(runs.rglob("*"))
        copy = shutil.copytree(runs, runs.with_name("copy"))
        rebuild(Location.of(copy), study, trials)
        assert sorted(runs.rglob("*")) == before

    def test_a_place_that_somebody_chose_stays(
        self, runs: Path, client: MlflowClient, study: StudyCard, trials: list[TrialCard], tmp_path: Path
    ) -> None:
        client.create_experiment("planted", artifact_location=(tmp_path / "chosen").as_uri())
        rebuild(Location.of(runs), study, trials[:1])
        assert list((tmp_path / "chosen").iterdir())

    @pytest.mark.parametrize("name", ODD)
    def test_whatever_a_folder_is_called_the_database_is_in_it(
        self, store: Path, tmp_path: Path, name: str, study: StudyCard, trials: list[TrialCard]
    ) -> None:
        runs = tmp_path / name
        runs.mkdir()
        shutil.copy(store, runs)
        rebuild(Location.of(runs), study, trials[:1])
        assert {path.name for path in tmp_path.iterdir()} == {name}
        assert {path.name for path in runs.iterdir()} == {"mlflow.db", "mlflow.lock", "artifacts"}
        assert rebuild(Location.of(runs), study, trials[:1]) == 0

    @pytest.mark.parametrize("name", ODD)
    def test_commands_that_are_printed_can_be_pasted(self, tmp_path: Path, name: str) -> None:
        location = Location.of(tmp_path / name, storage="sqlite:////a b/c.db")
        assert shlex.split(location.how_to_browse().splitlines()[0])[-1] == location.uri
        options = ["--runs", str(tmp_path / name), "--storage", "sqlite:////a b/c.db"]
        assert shlex.split(location.options) == options


class TestWhichStore:
    def test_the_variable_of_mlflow_counts_where_no_option_does(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(VARIABLE, "http://user:hidden@host:5000")
        location = Location.of(tmp_path)
        assert location.uri == "http://user:hidden@host:5000"
        assert location.artifacts is None
        assert str(location) == "http://user:***@host:5000 (of MLFLOW_TRACKING_URI)"
        assert Location.of(tmp_path, "sqlite:////x.db").uri == "sqlite:////x.db"
        monkeypatch.setenv(VARIABLE, " ")
        assert Location.of(tmp_path).uri == f"sqlite:///{tmp_path}/mlflow.db"

    @pytest.mark.parametrize(
        ("uri", "rule"),
        [
            ("localhost:5000", "names no MLflow store"),
            ("u:hidden@host/db", "names no MLflow store"),
            ("runs/mlflow", "nothing in folders any more; `mlflow migrate-filestore`"),
            ("file:///tmp/mlruns", "nothing in folders any more"),
            ("sqlite://", "in memory"),
            ("sqlite:///:memory:", "in memory"),
            ("postgresql://u:hidden@host:port/db", "cannot be read as the address of a database"),
            ("mysql:u:hidden@host", "cannot be read as the address of a database"),
        ],
    )
    def test_what_is_no_address_of_one_is_refused_at_once(self, tmp_path: Path, uri: str, rule: str) -> None:
        with pytest.raises(ConfigError, match=rule) as refusal:
            Location.of(tmp_path, uri)
        assert "hidden" not in str(refusal.value)

    @pytest.mark.parametrize(
        "uri",
        [
            "http://user:hidden@127.0.0.1:9",
            "http://user:hid@den@127.0.0.1:9",
            "https://hidden-token@127.0.0.1:9/?token=hidden",
            "postgresql://user:hidden@127.0.0.1:9/db",
            "postgresql://user:hid@hidden@127.0.0.1:9/db",
            "postgresql+psycopg://127.0.0.1:9/db?user=u&password=hidden",
            "mysql+nodriver://user:hidden@127.0.0.1/db",
        ],
    )
    def test_no_password_is_shown(
        self, tmp_path: Path, uri: str, study: StudyCard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 1)
        location = Location.of(tmp_path, uri)
        with pytest.raises(TrackingError) as failure:
            rebuild(location, study, [])
        shown = [
            str(location),
            repr(location),
            location.how_to_browse(),
            location.run_page("1", "127.0.0.1"),
            location.options,
            str(failure.value),
        ]
        assert not [
            text for text in shown if "hid" in text.replace("hide", "") or "den" in text.replace("denied", "")
        ]
        assert all("127.0.0.1" in text for text in (shown[0], *shown[2:]))
