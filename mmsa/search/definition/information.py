"""Searching for information: what is sought or bounded must be measured in every trial, whatever it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmsa.errors import Problem
from mmsa.information.panel import FAMILIES, METRIC, names
from mmsa.search.definition.study_config import StudyConfig

_WITHOUT_RUNGS = "none"


def information_problems(config: StudyConfig, modalities: Sequence[str]) -> Iterator[Problem]:
    """What keeps the trials of a study from measuring what it asks for.

    Args:
        modalities: those that the data bring and the model reads.
    """
    information = config.base.information
    measured = names(information.quantities, modalities)
    sought = list(_sought(config))
    for path, metric in sought:
        quantity = metric.removeprefix(METRIC)
        if quantity not in measured:
            yield Problem(
                path, metric, "is not measured by the trials", _how_to_measure(quantity, modalities)
            )
    if sought and information.budget is not None:
        rule = f"{sought[0][1]} is asked for; whether it is measured must not depend on the clock"
        yield Problem("base.information.budget", information.budget, rule, "Write null.")
    first, scheduler = config.search.objectives[0].metric, config.search.scheduler.name
    if first.startswith(METRIC) and scheduler != _WITHOUT_RUNGS:
        rule = f"stops trials early by the first objective, and {first} is known only of finished ones"
        advice = f"Put a valid metric first, or write {{name: {_WITHOUT_RUNGS}}}."
        yield Problem("search.scheduler.name", scheduler, rule, advice)


def _sought(config: StudyConfig) -> Iterator[tuple[str, str]]:
    """The information among objectives and bounds, with its place in the space file."""
    for position, objective in enumerate(config.search.objectives):
        if objective.metric.startswith(METRIC):
            yield f"search.objectives.{position}.metric", objective.metric
    for bound in config.metric_bounds:
        if bound.metric.startswith(METRIC):
            yield f"search.constraints.{config.search.constraints.index(bound.text)}", bound.metric


def _how_to_measure(quantity: str, modalities: Sequence[str]) -> str:
    family = next((family for family in FAMILIES if quantity in names((family,), modalities)), None)
    if family is None:
        return f"These data bring {', '.join(modalities)} alone."
    return f"Add {family} to base.information.quantities."
