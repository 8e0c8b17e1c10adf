"""The front of several objectives as a table and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmsa.interface import StudyCard, TrialCard
from mmsa.ranking import front_of, ranked

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def front_csv(study: StudyCard, front: Sequence[TrialCard]) -> str:
    """One line per trial: its number and its objectives."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["number", *study.metrics])
    writer.writerows([trial.number, *trial.values] for trial in front)
    return table.getvalue()


def front_figure(study: StudyCard, trials: Sequence[TrialCard]) -> Figure:
    """The first objective against each of the others: all that is ranked, and the front with its numbers."""
    from matplotlib.figure import Figure

    completed, front = ranked(trials, study.directions), front_of(trials, study.directions)
    others = range(1, len(study.metrics))
    figure = Figure(figsize=(5.0 * len(others), 4.0), layout="constrained")
    for axes, other in zip(figure.subplots(1, len(others), squeeze=False)[0], others, strict=True):
        axes.scatter([t.values[0] for t in completed], [t.values[other] for t in completed], s=12, alpha=0.4)
        axes.plot([t.values[0] for t in front], [t.values[other] for t in front], "o", color="tab:red")
        for trial in front:
            axes.annotate(str(trial.number), (trial.values[0], trial.values[other]))
        axes.set_xlabel(f"{study.metrics[0]} ({study.directions[0]})")
        axes.set_ylabel(f"{study.metrics[other]} ({study.directions[other]})")
    return figure
