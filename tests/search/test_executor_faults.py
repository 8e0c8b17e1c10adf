"""Workers that are killed while they run a trial."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from mmsa.search.execution.trial import LOCK

pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.timeout(600)]


@pytest.fixture
def config(make_study_config) -> Any:
    return make_study_config(
        base={
            "model": {"name": "late_fusion"},
            "train": {"epochs": 5, "batch_size": 20, "device": "cpu", "threads": 1},
        },
        scheduler={"name": "none"},
        trials=3,
    )


def kill_worker_of(number: int, runs: Path) -> None:
    """Its own lock says which process runs the trial."""
    holder = re.match(r"process (\d+) on ", (runs / "tried" / "trials" / str(number) / LOCK).read_text())
    assert holder is not None
    os.kill(int(holder[1]), signal.SIGKILL)


def test_a_killed_worker_is_replaced_and_its_trial_goes_on_from_the_checkpoint(
    launch, config, witness, tmp_path
):
    def kill_once(number: int, epoch: int, *_: Any) -> None:
        if (number, epoch) == (1, 2):
            witness.on.clear()
            kill_worker_of(1, tmp_path / "runs")

    witness.on["trial_epoch"] = kill_once
    launched = launch(config, witness, checkpoint_seconds=0.0)
    assert launched.study.counts() == {"completed": 3}
    trial = launched.study.trial(1)
    assert list(trial.epochs) == [1, 2, 3, 4, 5]
    assert trial.notes["continued_after"] == 2
    assert "continued_after" not in launched.study.trial(0).notes
    assert [number for number, *_ in witness.told("trial_started")].count(1) == 2
    assert [number for number, *_ in witness.told("trial_finished")].count(1) == 1


def test_a_trial_whose_process_always_dies_fails_and_the_others_do_not(launch, config, witness, tmp_path):
    def kill_always(number: int, epoch: int, *_: Any) -> None:
        if number == 1 and epoch > killed[-1]:
            killed.append(epoch)
            kill_worker_of(1, tmp_path / "runs")

    killed = [0]
    witness.on["trial_epoch"] = kill_always
    study = launch(config, witness, checkpoint_seconds=0.0).study
    assert study.counts() == {"completed": 2, "failed": 1}
    assert killed == [0, 1, 2, 3]
    died = "its process died 3 times: Worker unexpectedly exits with a connection error code 2. End of file."
    assert study.trial(1).reason.splitlines()[-1] == died  # what the console shows
    assert "\x1b" not in study.trial(1).reason
    assert list(study.trial(1).epochs) == [1, 2, 3]
