"""The driver is killed at random moments; the same command again goes on until the study is whole."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmsa.search.view import read_study

pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.timeout(400)]

SEARCH = Path(__file__).parents[2] / "launch" / "search.py"
NUM_TRIALS = 7
SPACE = f"""
study: survivor
base:
  data: {{name: planted, rows_train: 300, rows_valid: 60}}
  model: {{name: late_fusion}}
  train: {{epochs: 9, batch_size: 20, device: cpu, threads: 1}}
search:
  parameters:
    optim.lr: {{type: float, low: 1.0e-4, high: 1.0e-2, log: true}}
    model.fusion.width: {{type: categorical, choices: [64, 128]}}
  objectives: [{{metric: valid/mae, direction: minimize}}]
  trials: {NUM_TRIALS}
  scheduler: {{name: asha, grace: 3, reduction: 3}}
"""


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, SEARCH, "--space", "space.yaml", "--concurrency", "2", "--no-mlflow"]
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for_growth(file: Path, driver: subprocess.Popen[str]) -> None:
    """Until the driver writes to the study."""
    size = file.stat().st_size if file.exists() else 0
    while driver.poll() is None and (not file.exists() or file.stat().st_size == size):
        time.sleep(0.05)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_study_is_whole_however_often_its_driver_was_killed(tmp_path, seed):
    (tmp_path / "space.yaml").write_text(SPACE)
    moments = random.Random(seed)
    journal = tmp_path / "runs" / "survivor" / "study.journal"
    left_running = 0
    for kill in range(4):
        with start(tmp_path) as driver:
            if kill > 0:  # the first may be killed before there is a study
                wait_for_growth(journal, driver)
            time.sleep(moments.uniform(0.0, 4.0))
            driver.kill()
        if journal.exists():
            left_running += read_study("survivor", tmp_path / "runs").counts().get("running", 0)
    with start(tmp_path) as last:
        said, _ = last.communicate()
    assert last.returncode == 0, said
    assert left_running > 0  # or nothing was tested

    study = read_study("survivor", tmp_path / "runs")
    trials = study.trials()
    assert [trial.number for trial in trials] == list(range(NUM_TRIALS))
    assert {trial.outcome for trial in trials} <= {"completed", "pruned"}
    assert trials[0].outcome == "completed"
    for trial in trials:
        assert list(trial.epochs) == list(range(1, len(trial.epochs) + 1))
    assert f"{NUM_TRIALS} of {NUM_TRIALS} trials ended" in said
    checkpoints = [path.parent.name for path in (tmp_path / "runs").rglob("checkpoint")]
    best = study.best()
    assert best is not None
    assert checkpoints == [str(best.number)]
