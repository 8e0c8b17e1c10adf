"""Figures that others report for a setting: shown beside a study, and never taken for its results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated

from pydantic import Field, field_validator

from mmsa.config import Block, refuse_all
from mmsa.errors import Problem, did_you_mean
from mmsa.search.space.checks import valid_metrics

Text = Annotated[str, Field(min_length=1)]
Figure = Annotated[float, Field(allow_inf_nan=False)]


class Reported(Block):
    """What one source says of this setting on the test split."""

    source: Text
    """Where the figures stand, and through whom they were read if not there."""
    selection: Text
    """What chose the epoch and the settings; ``unknown`` where the source does not say."""
    figures: Annotated[Mapping[str, Figure], Field(min_length=1)]
    """By metric as ``retrain`` names them without ``test/``; accuracies and F1 as parts of 1."""

    @field_validator("figures")
    @classmethod
    def _known(cls, figures: Mapping[str, float]) -> Mapping[str, float]:
        known = [name.removeprefix("valid/") for name in valid_metrics()]
        problems = [
            Problem(name, figure, "is not a metric", did_you_mean(name, known))
            for name, figure in figures.items()
            if name not in known
        ]
        if problems:
            raise refuse_all(problems)
        return figures


def reported_lines(reported: Iterable[Reported]) -> Iterator[str]:
    """A line for each source."""
    for entry in reported:
        figures = ", ".join(f"{name} {figure:g}" for name, figure in entry.figures.items())
        yield f"reported elsewhere: {figures} ({entry.source}; selection: {entry.selection})"
