"""The mirror and a real MLflow server that is killed while a search runs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from mlflow_server import Server, no_passwords

from mmsa.interface import StudyCard, TrialCard
from mmsa.tracking import Location, Mirror, rebuild


def finish(mirror: Mirror, trial: TrialCard) -> None:
    for epoch, metrics in trial.epochs.items():
        mirror.trial_epoch(trial.number, epoch, metrics)
    mirror.trial_finished(trial.number, trial.outcome, trial.values, trial.reason)


@pytest.fixture(params=["sqlite", pytest.param("protected postgres", marks=pytest.mark.postgres)])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Server:
    """One's own, or as a group runs it: over PostgreSQL, and it asks for a password."""
    if request.param == "sqlite":
        return Server(tmp_path)
    if (lacks := no_passwords()) and os.environ.get("CI") != "true":
        pytest.skip(f"needs {lacks}")
    database = request.getfixturevalue("postgres_server")
    return Server(tmp_path, database.new_database(), users=database.new_database())


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_a_server_that_dies_and_comes_back_ends_with_every_trial_once(
    server: Server, tmp_path: Path, study: StudyCard, trials: list[TrialCard]
) -> None:
    location = Location.of(tmp_path, server.url)
    said: list[str] = []
    mirror = Mirror(location, said.append, interval=0.2)
    with server:
        mirror.start_study(study, [])
        for trial in trials:
            mirror.trial_started(trial.number, trial.params, {"seed": trial.number})
        mirror.trial_epoch(0, 1, trials[0].epochs[1])
        deadline = time.monotonic() + 30
        while mirror.unwritten:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    start = time.monotonic()
    for trial in trials:
        finish(mirror, trial)
    assert time.monotonic() - start < 20  # where one waited for the server, MLflow would ask for minutes
    deadline = time.monotonic() + 30
    while not said:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "the search goes on" in said[0]
    assert server.password not in said[0] or not server.password
    with server:
        mirror.close()
        assert len(said) == 1
        assert rebuild(location, study, trials) == 0
        client = location.connect()
        experiment = client.get_experiment_by_name("planted").experiment_id
        runs = client.search_runs([experiment], "tags.`mmsa.role` = 'trial'")
        assert sorted(run.data.tags["mmsa.trial"] for run in runs) == ["0", "1", "2"]
        (first,) = [run for run in runs if run.data.tags["mmsa.trial"] == "0"]
        history = client.get_metric_history(first.info.run_id, "valid/mae")
        assert [(point.step, point.value) for point in history] == [(1, 0.9), (2, 0.5)]
