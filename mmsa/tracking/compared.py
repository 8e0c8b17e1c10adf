"""A comparison of configurations in MLflow: one run, whose note is the page of the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from mmsa.tracking.location import Location, all_pages
from mmsa.tracking.notes import write_run_note
from mmsa.tracking.study_runs import metric

ROLE = "comparison"
"""Role of its run, by its tag, so that no table of trials has it."""


@dataclass(frozen=True)
class ComparisonCard:
    """What MLflow is told of a comparison.

    Attributes:
        data_set: name of the data set, and so of the experiment.
        study: name of the study.
        tags: verdict, what it takes, and the opening of test.
        metrics: of the configuration that it takes.
        page: in markdown, the verdict first.
        result: as JSON.
    """

    data_set: str
    study: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    page: str
    result: str


def log_comparison(location: Location, card: ComparisonCard) -> str:
    """Log a comparison, unless the very same one is there; returns the address of its page.

    Raises:
        TrackingError: when the store cannot be written.
    """
    with location.in_use():
        return _log(location, card)


def _log(location: Location, card: ComparisonCard) -> str:
    client = location.connect()
    experiment = location.experiment(client, card.data_set)
    digest = sha256(card.result.encode()).hexdigest()[:16]
    known = f"tags.`mmsa.role` = '{ROLE}' AND tags.`mmsa.comparison` = '{digest}'"
    for run in all_pages(client.search_runs, [experiment], known):
        return location.run_page(experiment, run.info.run_id)
    tags = {"mmsa.role": ROLE, "mmsa.study": card.study}
    tags |= {f"mmsa.{name}": value for name, value in card.tags.items()}
    run_id = client.create_run(experiment, tags=tags, run_name=f"comparison {card.study}").info.run_id
    client.log_text(run_id, card.page, "compare.md")
    client.log_text(run_id, card.result, "compare.json")
    client.log_batch(run_id, metrics=[metric(name, value, 0) for name, value in card.metrics.items()])
    write_run_note(client, run_id, card.page)
    client.set_terminated(run_id)
    # Last: a run that was cut short is written anew.
    client.set_tag(run_id, "mmsa.comparison", digest)
    return location.run_page(experiment, run_id)
