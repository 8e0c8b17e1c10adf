"""A report across studies in MLflow: a run for each set of studies, in an experiment of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from mmsa.interface import decimals
from mmsa.tracking.artifacts import table_csv
from mmsa.tracking.location import Location, all_pages
from mmsa.tracking.notes import changed_note, table_lines
from mmsa.tracking.views import trials_page

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "across studies"
ROLE = "across"
"""Role of its run, by its tag."""
_LONGEST_TAG = 5000  # that every store takes
_SHOWN = ("best", "reference", "reference_value", "constant", "kind", "modality")


@dataclass(frozen=True)
class AcrossCard:
    """What MLflow is told of a report across studies.

    Attributes:
        studies: their identities by name.
        verdict: in plain text, of at most 200 characters.
        rows: a row for each study, with the same columns.
        files: text by name, the page for people first.
    """

    studies: Mapping[str, str]
    verdict: str
    rows: Sequence[Mapping[str, object]]
    files: Mapping[str, str]


def log_across(location: Location, card: AcrossCard) -> str:
    """Write a report across studies, over an earlier one of the same studies; returns its page's address.

    Raises:
        TrackingError: when the store cannot be written.
    """
    with location.in_use():
        return _log(location, card)


def _log(location: Location, card: AcrossCard) -> str:
    from mlflow.entities import RunTag

    client = location.connect()
    experiment = location.experiment(client, EXPERIMENT)
    digest = sha256("\n".join(sorted(card.studies.values())).encode()).hexdigest()[:16]
    known = f"tags.`mmsa.role` = '{ROLE}' AND tags.`mmsa.across` = '{digest}'"
    found = client.search_runs([experiment], known, max_results=1)
    if found:
        run = found[0]
    else:
        tags = {"mmsa.role": ROLE, "mmsa.across": digest}
        run = client.create_run(experiment, tags=tags, run_name=f"across {', '.join(card.studies)}"[:250])
    run_id = run.info.run_id
    for name, text in card.files.items():
        client.log_text(run_id, text, name)
    client.log_text(run_id, table_csv(card.rows), "across.csv")
    client.log_text(run_id, json.dumps(list(card.rows), indent=2) + "\n", "across.json")
    page = location.run_page(experiment, run_id)
    whole = location.run_page(experiment, f"{run_id}/artifacts/{next(iter(card.files))}")
    note = _note(card, whole, _pages(location, client, card.studies))
    tags = {"mmsa.verdict": card.verdict, "mmsa.studies": ", ".join(card.studies)[:_LONGEST_TAG]}
    tags |= changed_note(run.data.tags, note)
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])
    client.set_terminated(run_id)
    return page


def _pages(location: Location, client: MlflowClient, studies: Mapping[str, str]) -> dict[str, str]:
    """The pages of those studies that this store has, by name."""
    experiments = [found.experiment_id for found in all_pages(client.search_experiments)]
    runs = all_pages(client.search_runs, experiments, "tags.`mmsa.role` = 'study'")
    where = {run.data.tags.get("mmsa.identity"): run.info.experiment_id for run in runs}
    return {
        name: trials_page(location.origin, where[identity], identity)
        for name, identity in studies.items()
        if identity in where
    }


def _note(card: AcrossCard, report: str, pages: Mapping[str, str]) -> str:
    rows = [
        [
            f"[{row['study']}]({pages[str(row['study'])]})" if row["study"] in pages else str(row["study"]),
            *(_cell(row.get(name)) for name in _SHOWN),
        ]
        for row in card.rows
    ]
    return "\n".join(
        [
            f"**{card.verdict.replace('*', '')}**",
            "",
            *table_lines(["study", *(name.replace("_", " ") for name in _SHOWN)], rows),
            "",
            f"The whole report with its pictures: [{next(iter(card.files))}]({report}). "
            "Numbers: `across.csv`, `across.json`.",
        ]
    )


def _cell(value: object) -> str:
    return "-" if value is None else decimals(value) if isinstance(value, float) else str(value)
