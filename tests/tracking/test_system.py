"""The load of the machine in the run of a study, where psutil is installed."""

from __future__ import annotations

import platform
import shutil
import time
from pathlib import Path

import pytest

from mmsa.interface import StudyCard
from mmsa.tracking.location import Location
from mmsa.tracking.study_runs import StudyRuns
from mmsa.tracking.system import monitor_node


@pytest.fixture
def runs(store: Path, tmp_path: Path, study: StudyCard) -> StudyRuns:
    shutil.copy(store, tmp_path)
    return StudyRuns(Location.of(tmp_path), study)


def test_the_load_is_logged_until_the_study_ends(
    runs: StudyRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psutil", reason="needs psutil: pip install 'mmsa[monitor]'")
    monkeypatch.setattr("mmsa.tracking.system._INTERVAL", 0.1)
    location = Location.of(tmp_path)
    runs.set_status(running=True, complete=False)
    monitor = monitor_node(location, runs.parent)
    assert monitor is not None
    client, name = location.connect(), f"system/{platform.node()}/cpu_utilization_percentage"
    deadline = time.monotonic() + 60
    while name not in client.get_run(runs.parent).data.metrics:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    runs.set_status(running=False, complete=True)
    monitor._process.join(30)
    assert not monitor._process.is_alive()


def test_without_psutil_nothing_is_logged(runs: StudyRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsa.tracking.system.find_spec", lambda name: None)
    assert monitor_node(Location.of(Path("unused")), runs.parent) is None
