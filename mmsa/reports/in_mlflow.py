"""The report of a study in its run in MLflow, where its trials are looked at, and beside the study."""

from __future__ import annotations

from pathlib import Path

from mmsa.reports.study_report import study_report
from mmsa.search.study.cards import study_card
from mmsa.search.study.view import StudyView
from mmsa.tracking.location import Location
from mmsa.tracking.mirror import log_study_files

PAGE = "report.html"
_MARKDOWN = "report.md"


def log_report(study: StudyView, runs: Path, location: Location) -> Path:
    """Write the report of a study, and put it into its run; returns the page beside the study.

    Args:
        study: as it stands.
        runs: its folder of runs.
        location: the MLflow store, which has its run.

    Raises:
        StudyError, DataError: as ``study_report``.
        TrackingError: when the store cannot be written.
    """
    document = study_report(study, runs)
    html, page = document.html(), runs / study.name / PAGE
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(html, encoding="utf-8")
    log_study_files(location, study_card(study), {PAGE: html, _MARKDOWN: document.markdown()})
    return page
