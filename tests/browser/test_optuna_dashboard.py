"""Optuna's own dashboard on our storage: curves and names are where it looks for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from browser_page import Page
from mlflow_server import free_port

from mmsa.config import parse
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.records import Ending
from mmsa.search.study.journal import JOURNAL
from mmsa.search.study.study import Study

SPACE = {
    "study": "watched",
    "base": {"data": {"name": "planted"}, "model": {"name": "late_fusion"}, "train": {"epochs": 3}},
    "search": {
        "parameters": {"optim.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}},
        "objectives": [{"metric": "valid/mae", "direction": "minimize"}],
        "trials": 4,
        "sampler": {"name": "random"},
        "scheduler": {"name": "none"},
    },
}


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Of a study with two completed trials, a pruned one, and one that runs."""
    with Study.open(parse(StudyConfig, SPACE, "space"), tmp_path) as study:
        for number in range(4):
            study.ask()
            for epoch in range(1, 4 if number < 2 else 2):
                study.report(number, epoch, {"valid/mae": 1.0 / epoch}, 1.0 / epoch + number)
            if number < 3:
                outcome = "completed" if number < 2 else "pruned"
                study.finish(number, Ending(outcome, {"valid/mae": 0.3 + number}, best_epoch=1))
    return tmp_path / "watched" / JOURNAL


def test_optuna_reads_names_and_curves(journal: Path) -> None:
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    study = optuna.load_study(study_name="watched", storage=optuna.storages.JournalStorage(backend))
    assert study.metric_names == ["valid/mae"]
    curves = [trial.intermediate_values for trial in study.trials]
    assert curves[0] == {1: 1.0, 2: 0.5, 3: pytest.approx(1 / 3)}
    assert [len(curve) for curve in curves] == [3, 3, 1, 1]


@pytest.fixture
def dashboard(journal: Path) -> Iterator[str]:
    pytest.importorskip("optuna_dashboard", reason="needs optuna-dashboard: pip install optuna-dashboard")
    port = free_port()
    entry = "import sys; from optuna_dashboard._cli import main; sys.argv[0] = 'optuna-dashboard'; main()"
    command = [sys.executable, "-c", entry, str(journal), "--server", "wsgiref", "--port", str(port)]
    with (journal.parent / "dashboard.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ)
    try:
        deadline = time.monotonic() + 120
        while not _answers(f"http://127.0.0.1:{port}/api/studies"):
            assert process.poll() is None, (journal.parent / "dashboard.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(json.load(reply)["study_summaries"])
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


@pytest.mark.browser
def test_the_dashboard_shows_the_study(dashboard: str, tmp_path: Path) -> None:
    with Page() as page:
        page.open(f"{dashboard}/dashboard/studies/0")
        page.wait_for_text("Best Trial (number=0)", 120)
        page.wait_for_text("Pruned", 60)
        text = page.text()
        page.wait_for("document.body.innerHTML.includes('valid/mae')", 60)
        folder = Path(os.environ.get("MMSA_SCREENSHOTS", tmp_path))
        page.screenshot(folder / "optuna_dashboard.png")
    assert "Objective 0" not in text
    assert "0.3" in text
