"""What a study amounts to so far: counts by outcome, a table of all trials."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import get_args

from mmsa.interface import Outcome, StudyCard, TrialCard
from mmsa.ranking import ranked


def count_outcomes(trials: Iterable[TrialCard]) -> dict[Outcome, int]:
    """How many trials ended in which way, or run; every outcome is there."""
    counts = Counter(trial.outcome for trial in trials)
    return {outcome: counts[outcome] for outcome in get_args(Outcome)}


def trials_csv(study: StudyCard, trials: Sequence[TrialCard]) -> str:
    """One line per trial: number, stage, outcome, the objectives, rank by the first of them, the best epoch
    with what was measured on valid then, seconds, reason, sampled values.

    What has no rank has not completed, or does not lie in the space as it is now.
    """
    ranks = {trial.number: rank for rank, trial in enumerate(ranked(trials, study.directions), 1)}
    measured = {trial.number: trial.best(study.metrics) for trial in trials}
    metrics = list(dict.fromkeys([*study.metrics, *(name for best in measured.values() for name in best)]))
    others = metrics[len(study.metrics) :]
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    head = ["number", "stage", "outcome", *study.metrics, "rank", "best_epoch", *others]
    writer.writerow([*head, "seconds", "reason", *names])
    for trial in sorted(trials, key=lambda trial: trial.number):
        best = measured[trial.number]
        cells = [trial.number, trial.stage, trial.outcome, *(best.get(name, "") for name in study.metrics)]
        cells += [ranks.get(trial.number, ""), "" if trial.best_epoch is None else trial.best_epoch]
        cells += [*(best.get(name, "") for name in others), _seconds(trial), trial.reason]
        writer.writerow([*cells, *(trial.params.get(name, "") for name in names)])
    return table.getvalue()


def _seconds(trial: TrialCard) -> str:
    if trial.started is None or trial.finished is None:
        return ""
    return f"{trial.finished - trial.started:.1f}"
