"""The mirror in its own process: what arrives, and how the process ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mmsa.interface import StudyCard, TrialCard
from mmsa.measurement import Measurement
from mmsa.tracking import MirrorProcess
from mmsa.tracking.location import Location

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # each loads MLflow in a process of its own

DRIVER = """
import sys, time
from collections.abc import Callable
from pathlib import Path
from mmsa.tracking import Location, MirrorProcess, StudyCard
mirror = MirrorProcess(Location.of(Path(sys.argv[1])), print)
mirror.start_study(StudyCard("s", "id", "planted", ("valid/mae",), ("minimize",), 1, "", {}), [])
print(mirror._process.pid, flush=True)
time.sleep(600)
"""


def wait_for(met: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def said() -> list[str]:
    return []


def test_what_is_told_arrives_with_the_times_at_which_it_was_told(
    study: StudyCard,
    trials: list[TrialCard],
    information: dict[str, Measurement],
    location: Location,
    said: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What lies in the working folder is no code, and signals to all processes of a search are the driver's.

    All of one process, which takes seconds to load MLflow.
    """
    (tmp_path / "mmsa").mkdir()
    for file in ("mmsa/__init__.py", "random.py"):
        (tmp_path / file).write_text("raise ImportError('taken from the working folder')")
    monkeypatch.chdir(tmp_path)
    mirror = MirrorProcess(location, said.append, interval=0.05, patience=100.0)
    mirror.start_study(study, trials[1:])
    wait_for(lambda: Path(location.uri.removeprefix("sqlite:///")).exists())
    assert mirror._process is not None
    os.kill(mirror._process.pid, signal.SIGINT)
    os.kill(mirror._process.pid, signal.SIGTERM)
    before = time.time()
    mirror.trial_started(0, trials[0].params, {"seed": 0})
    mirror.trial_epoch(0, 1, {"valid/mae": 0.5})
    mirror.trial_paused(0)
    mirror.trial_measured(0, information)
    mirror.trial_finished(0, "completed", (0.5,), "")
    after = time.time()
    mirror.close()
    (watch,) = said
    assert "viewStateShareKey=" in mirror.page
    assert mirror.page in watch
    assert mirror._process.returncode == 0
    client = location.connect()
    experiment = client.get_experiment_by_name("planted").experiment_id
    runs = client.search_runs([experiment], "tags.`mmsa.role` = 'trial'")
    (first,) = [run for run in runs if run.data.tags["mmsa.trial"] == "0"]
    assert len(runs) == 3
    assert first.data.metrics["valid/mae"] == 0.5
    assert first.data.metrics["information/target.text"] == information["target/text"].value
    assert before - 0.001 <= first.info.start_time / 1000 <= first.info.end_time / 1000 <= after


def test_the_search_is_told_once_that_the_process_died(study: StudyCard, location: Location, said: list[str]):
    mirror = MirrorProcess(location, said.append)
    mirror.start_study(study, [])
    assert mirror._process is not None
    mirror._process.kill()
    wait_for(lambda: said)
    mirror.trial_started(0, {}, {"seed": 0})
    mirror.close()
    (line,) = said
    assert "code -9" in line
    assert "launch/report.py --study planted-mmim --rebuild" in line


def test_a_process_that_does_not_come_to_an_end_is_told_as_such(
    study: StudyCard, location: Location, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsa.tracking.mirror_process._GRACE", 0.0)
    mirror = MirrorProcess(location, said.append, patience=1.0)
    mirror.start_study(study, [])
    os.kill(mirror._process.pid, signal.SIGSTOP)
    mirror.close()
    assert len(said) == 1
    assert said[0].startswith("MLflow lacks the last of the search: it was not written within 1 s. To fill")


def test_it_ends_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as driver:
        process = int(driver.stdout.readline())
        wait_for(lambda: (tmp_path / "mlflow.db").exists())
        driver.kill()
    wait_for(lambda: not alive(process))
