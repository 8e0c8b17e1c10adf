"""The report of a study as MLflow shows it: in a frame without storage, network or the page around it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from browser_page import Page
from mlflow_server import Server

from mmsa.config import parse
from mmsa.reports.in_mlflow import log_report
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.records import Ending
from mmsa.search.study.cards import study_card, trial_card
from mmsa.search.study.study import Study
from mmsa.search.study.view import read_study
from mmsa.tracking.location import Location
from mmsa.tracking.mirror import rebuild

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

SPACE = {
    "study": "reported",
    "base": {"data": {"name": "planted"}, "model": {"name": "late_fusion"}, "train": {"epochs": 2}},
    "search": {
        "parameters": {"optim.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}},
        "objectives": [{"metric": "valid/mae", "direction": "minimize"}],
        "trials": 12,
        "sampler": {"name": "random"},
        "scheduler": {"name": "none"},
    },
}


def test_mlflow_shows_the_report(tmp_path: Path) -> None:
    with Study.open(parse(StudyConfig, SPACE, "space"), tmp_path) as study:
        study.bind_corpus("77ab")
        for number in range(12):
            study.ask()
            for epoch in (1, 2):
                study.report(number, epoch, {"valid/mae": 1.0 / epoch}, 1.0 / epoch)
            study.finish(number, Ending("completed", {"valid/mae": 0.5 + number / 100}, best_epoch=2))
    view = read_study("reported", tmp_path)
    location = Location(f"sqlite:///{tmp_path}/server.db", (tmp_path / "artifacts").as_uri())
    rebuild(location, study_card(view), [trial_card(view, record) for record in view.trials()])
    report = log_report(view, tmp_path, location)
    client = location.connect()
    (run,) = client.search_runs(["1"], "tags.`mmsa.role` = 'study'")
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"report.html", "report.md"}
    folder = Path(os.environ.get("MMSA_SCREENSHOTS", tmp_path))
    with Server(tmp_path) as server, Page(1750, 1000) as page:
        page.open(f"file://{report}")
        assert "trial 0" in page.wait_for_text("valid/mae")
        assert page.errors == []
        shown = location.run_page("1", f"{run.info.run_id}/artifacts/report.html")
        page.open(shown.replace(location.origin, server.url))
        page.wait_for("document.querySelectorAll('iframe').length", 120)
        page.wait_for("document.querySelector('iframe').getBoundingClientRect().height > 100", 60)
        page.wait_until_drawn("iframe", 20_000)
        page.screenshot(folder / "report_in_mlflow.png")
        # MLflow asks its server for users, which one without accounts does not have.
        assert [error for error in page.errors if "users/current" not in error] == []
