"""``launch/slurm.sbatch`` on two nodes: it queues again, goes on, and leaves the Ray of others alone."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from compose_file import ROOT
from containers import wait_until
from planted_space import planted_space
from slurm_cluster import Slurm

from mmsa.search.study.view import read_study

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(1200)]
TRIALS = 4
SPACE = planted_space("queued", TRIALS, epochs=25, batch_size=10)


@pytest.fixture
def slurm() -> Iterator[Slurm]:
    folder = (
        Path("/tmp") / f"mmsa-slurm-{os.getpid()}"
    )  # munged wants a folder that only root may write above
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o755)
    try:
        with Slurm(folder) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def elses_ray(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A Ray that somebody else runs on this node, on Ray's usual ports' neighbours."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=1"]
    command += [f"--port={port}", "--include-dashboard=false", f"--temp-dir=/tmp/elses-{os.getpid()}"]
    with (tmp_path / "elses.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    wait_until(
        lambda: "Ray runtime started" in (tmp_path / "elses.log").read_text(),
        120,
        lambda: (tmp_path / "elses.log").read_text(),
    )
    yield process
    process.kill()
    process.wait()
    shutil.rmtree(f"/tmp/elses-{os.getpid()}", ignore_errors=True)


def test_a_job_queues_again_and_ends_with_exactly_its_trials(
    slurm: Slurm, elses_ray: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    runs, log = tmp_path / "runs", tmp_path / "job.log"
    variables = {"MMSA_RUNS": str(runs), "MMSA_BIN": str(Path(sys.executable).parent)}
    variables["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(
        os.pathsep
    )
    options = ["--parsable", "--nodes=2", "--cpus-per-task=1", f"--output={log}"]
    script = [str(ROOT / "launch" / "slurm.sbatch"), "--space", str(tmp_path / "space.yaml"), "--no-mlflow"]
    job = slurm.run("sbatch", *options, *script, cwd=ROOT, **variables)
    assert job.isdigit(), job

    def epochs() -> int:
        try:
            return sum(len(trial.epochs) for trial in read_study("queued", runs).trials())
        except Exception:
            return 0  # no study yet

    def told() -> str:
        mine = [file.read_text() for file in runs.glob("slurm-*/*.log")]
        return f"{slurm.state(job)} {log.read_text() if log.exists() else ''} {mine}"

    wait_until(lambda: epochs() >= 6, 300, told)
    token = runs / f"slurm-{job}" / "token"
    assert token.stat().st_mode & 0o077 == 0
    shown = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert token.read_text() not in shown
    assert slurm.run("scancel", "--batch", "--signal=USR1", job) == ""
    wait_until(lambda: slurm.state(job) == "PENDING", 120, told)
    assert "queues again" in log.read_text()
    assert not Path(f"/tmp/mmsa-{job}").exists()  # its own Ray is gone
    before = read_study("queued", runs)
    assert before.finished < TRIALS
    # Slurm itself waits two minutes. A start in the second in which the job was ended would have a credential
    # as old as the one that is void since, and Slurm would fail the job ("Job credential revoked").
    time.sleep(2)
    slurm.run("scontrol", "update", f"JobId={job}", "StartTime=now")
    wait_until(lambda: slurm.state(job) in ("COMPLETED", "FAILED"), 240, told)
    assert slurm.state(job) == "COMPLETED", told()
    study = read_study("queued", runs)
    assert dict(study.counts()) == {"completed": TRIALS}
    assert "continues" in log.read_text()
    time.sleep(1)
    assert elses_ray.poll() is None  # it was never asked to stop
