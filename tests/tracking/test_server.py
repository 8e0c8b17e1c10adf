"""The mirror and a real MLflow server that is killed while a search runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mmsa.tracking import Location, Mirror, StudyCard, TrialCard, rebuild


@contextmanager
def server(folder: Path, port: int) -> Iterator[None]:
    """A server that answers; killed at the end, with its workers."""
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            command, env=os.environ | quiet, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 60
        while not answers(port):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as reply:
            return reply.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def finish(mirror: Mirror, trial: TrialCard) -> None:
    for epoch, metrics in trial.epochs.items():
        mirror.trial_epoch(trial.number, epoch, metrics)
    mirror.trial_finished(trial.number, trial.outcome, trial.values, trial.reason)


@pytest.mark.faults
@pytest.mark.timeout(240)
def test_a_server_that_dies_and_comes_back_ends_with_every_trial_once(
    tmp_path: Path, study: StudyCard, trials: list[TrialCard]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    location = Location.of(tmp_path, f"http://127.0.0.1:{port}")
    said: list[str] = []
    mirror = Mirror(location, said.append, interval=0.2)
    with server(tmp_path, port):
        mirror.start_study(study, [])
        for trial in trials:
            mirror.trial_started(trial.number, trial.params, trial.config_yaml)
        mirror.trial_epoch(0, 1, trials[0].epochs[1])
        deadline = time.monotonic() + 30
        while mirror.unwritten:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    start = time.monotonic()
    for trial in trials:
        finish(mirror, trial)
    assert time.monotonic() - start < 0.5
    deadline = time.monotonic() + 30
    while not said:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "the search goes on" in said[0]
    with server(tmp_path, port):
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
