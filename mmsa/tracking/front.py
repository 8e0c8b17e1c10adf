"""What is left of several objectives: the trials that no other is better than in everything."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmsa.tracking.observer import StudyCard, TrialCard

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def pareto_front(points: Sequence[Sequence[float]], directions: Sequence[str]) -> list[int]:
    """The places of the points that no other dominates, best in the first objective first.

    A point dominates another when it is nowhere worse and somewhere better.
    """
    signs = [1.0 if direction == "minimize" else -1.0 for direction in directions]
    losses = [[sign * value for sign, value in zip(signs, point, strict=True)] for point in points]
    front: list[int] = []
    # One that comes later in this order dominates none before it, so the front decides alone.
    for place in sorted(range(len(points)), key=lambda place: (losses[place], place)):
        if not any(_dominates(losses[other], losses[place]) for other in front):
            front.append(place)
    return front


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def front_of(study: StudyCard, trials: Sequence[TrialCard]) -> list[TrialCard]:
    """The Pareto front of the completed trials; those that break a bound count where no other completed.

    Once there are finalists it is theirs, whose values are of another task.
    """
    completed = [trial for trial in trials if trial.values]
    stage = [trial for trial in completed if trial.stage == "finalist"] or completed
    candidates = [trial for trial in stage if not trial.reason] or stage
    return [candidates[place] for place in pareto_front([t.values for t in candidates], study.directions)]


def front_csv(study: StudyCard, front: Sequence[TrialCard]) -> str:
    """One line per trial: its number and its objectives."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["number", *study.metrics])
    writer.writerows([trial.number, *trial.values] for trial in front)
    return table.getvalue()


def front_figure(study: StudyCard, trials: Sequence[TrialCard]) -> Figure:
    """The first objective against each of the others: completed trials, and the front with its numbers."""
    from matplotlib.figure import Figure

    completed, front = [trial for trial in trials if trial.values], front_of(study, trials)
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
