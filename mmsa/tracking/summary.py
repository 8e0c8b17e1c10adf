"""What a study amounts to so far: the best trial, counts by outcome, a table of all trials."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence

from mmsa.tracking.observer import StudyCard, TrialCard


def ranked(study: StudyCard, trials: Iterable[TrialCard], objective: int = 0) -> list[TrialCard]:
    """The completed trials, best value of the given objective first; the earlier trial wins a tie.

    Those that break a bound on a metric come after all that break none.

    Finalists are before all others, whose values are of another task.
    """
    sign = -1.0 if study.directions[objective] == "maximize" else 1.0
    completed = [
        trial for trial in trials if trial.outcome == "completed" and trial.values and not trial.superseded
    ]
    return sorted(
        completed,
        key=lambda trial: (
            trial.stage != "finalist",
            bool(trial.reason),
            sign * trial.values[objective],
            trial.number,
        ),
    )


def count_outcomes(trials: Iterable[TrialCard]) -> dict[str, int]:
    """How many trials ended in which way."""
    return dict(Counter(trial.outcome for trial in trials))


def trials_csv(study: StudyCard, trials: Sequence[TrialCard]) -> str:
    """One line per trial: number, stage, outcome, the objectives, seconds, reason, sampled values."""
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["number", "stage", "outcome", *study.metrics, "seconds", "reason", *names])
    for trial in sorted(trials, key=lambda trial: trial.number):
        values = trial.values or [""] * len(study.metrics)
        known = trial.started is not None and trial.finished is not None
        seconds = f"{trial.finished - trial.started:.1f}" if known else ""  # type: ignore[operator]
        sampled = [trial.params.get(name, "") for name in names]
        writer.writerow([trial.number, trial.stage, trial.outcome, *values, seconds, trial.reason, *sampled])
    return table.getvalue()
