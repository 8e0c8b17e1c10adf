"""Reports in MLflow: of a study in its own run, across studies in a run of an experiment of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmsa.reports.across import AcrossReport
from mmsa.reports.study_report import study_report
from mmsa.search.study.cards import study_card
from mmsa.search.study.view import StudyView
from mmsa.tracking.across import AcrossCard, log_across
from mmsa.tracking.location import Location
from mmsa.tracking.mirror import log_study_files

PAGE = "report.html"
_MARKDOWN = "report.md"


def log_report(study: StudyView, runs: Path, location: Location, storage: str | None = None) -> Path:
    """Write the report of a study, and put it into its run; returns the page beside the study.

    Args:
        study: as it stands.
        runs: its folder of runs.
        location: the MLflow store, which has its run.
        storage: as ``study_report``.

    Raises:
        StudyError, DataError: as ``study_report``.
        TrackingError: when the store cannot be written.
    """
    document = study_report(study, runs, storage)
    html, page = document.html(), runs / study.name / PAGE
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(html, encoding="utf-8")
    log_study_files(location, study_card(study), {PAGE: html, _MARKDOWN: document.markdown()})
    return page


def log_across_report(report: AcrossReport, studies: Sequence[StudyView], location: Location) -> str:
    """Put a report across studies into its own run; returns the address of that.

    Raises:
        TrackingError: when the store cannot be written.
    """
    card = AcrossCard(
        studies={study.name: str(study.attributes["identity"]) for study in studies},
        verdict=report.document.verdict,
        rows=report.rows,
        files={PAGE: report.document.html(), _MARKDOWN: report.document.markdown()},
    )
    return log_across(location, card)
