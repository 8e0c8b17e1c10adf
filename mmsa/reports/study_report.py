"""The report of a study: from what lies in its storage and its folder of runs, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmsa.errors import StudyError
from mmsa.reports.choice_sections import importance_section, path_section, response_section
from mmsa.reports.coefficients import preferences
from mmsa.reports.composition_sections import composition_section, levels_section
from mmsa.reports.course_sections import course_section, failures_section, provenance_section, rungs_section
from mmsa.reports.document import Document
from mmsa.reports.evidence import Evidence
from mmsa.reports.next_section import next_section
from mmsa.reports.path_runs import run_steps
from mmsa.reports.result_sections import (
    answer,
    best_section,
    front_section,
    honest_section,
    references_section,
    test_section,
)
from mmsa.reports.sources import decomposition_of
from mmsa.search.study.view import StudyView


def study_report(study: StudyView, runs: Path, storage: str | None = None) -> Document:
    """The report of a study as it stands: finished, running, empty, or with nothing but failures.

    The same study gives the same report, to the last letter.

    Args:
        study: to report on.
        runs: its folder of runs, with the ledger, retrained models, and what ``--measure`` and
            ``--run-path`` left.
        storage: URL of the study's database, which its commands name; None for the file in ``runs``.

    Raises:
        StudyError: for a file of the report's own that is damaged.
        DataError: for a damaged ledger.
    """
    evidence = Evidence(study, runs)
    shares = preferences(study, evidence.completed)
    best = {} if evidence.best is None else evidence.best.information
    source = decomposition_of(study, runs)
    sections = [
        best_section(evidence),
        next_section(evidence, source),
        references_section(evidence),
        honest_section(evidence),
        front_section(evidence),
        composition_section(source, shares, best, study.name, study.nature.can_be_divided),
        levels_section(shares),
        importance_section(evidence),
        path_section(evidence),
        response_section(evidence),
        course_section(evidence),
        failures_section(evidence),
        rungs_section(evidence),
        test_section(evidence),
        provenance_section(evidence),
    ]
    title = f"Study {study.name} on {study.config.base.data.name}"
    return Document(title, answer(evidence), sections).located(runs, storage)


def run_path(study: StudyView, runs: Path, num_steps: int, say: Callable[[str], None]) -> None:
    """Run the first steps of the way from the defaults to the best trial in earnest.

    Raises:
        StudyError: where there is no way yet: too few trials, or the defaults are the best.
    """
    path = Evidence(study, runs).path
    if path is None:
        raise StudyError(f"study {study.name!r} has too few completed trials for a surrogate; search on")
    if not path.steps:
        raise StudyError(
            f"the best trial of study {study.name!r} runs the defaults; there is no way between them"
        )
    run_steps(study, runs, path.start, path.end, path.steps[:num_steps], say)
