"""Files that runs in MLflow carry: tables of trials, of the Pareto front, and of measured information."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, get_args

from mmsa.interface import Outcome, ReferencePoint, StudyCard, TrialCard
from mmsa.measurement import Measurement
from mmsa.ranking import front_of, ranked

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient

Information = Mapping[str, Measurement]

_INFORMATION_COLUMNS = (
    "status",
    "value",
    "low",
    "high",
    "null_bound",
    "p_value",
    "estimator",
    "num_samples",
    "num_groups",
    "scope",
)
_LONGEST_TAG = 5000  # characters; MLflow refuses longer ones


def count_outcomes(trials: Iterable[TrialCard]) -> dict[Outcome, int]:
    """Number of trials by outcome, zero included."""
    counts = Counter(trial.outcome for trial in trials)
    return {outcome: counts[outcome] for outcome in get_args(Outcome)}


def trials_csv(study: StudyCard, trials: Sequence[TrialCard]) -> str:
    """Table of all trials by number, with the metrics of their best epoch and the sampled values.

    The rank is that by the first objective; a trial without one has not completed, or does not lie in the
    space as it is now.
    """
    ranks = {trial.number: rank for rank, trial in enumerate(ranked(trials, study.directions), 1)}
    measured = {trial.number: trial.best(study.metrics) for trial in trials}
    metrics = list(dict.fromkeys([*study.metrics, *(name for best in measured.values() for name in best)]))
    others = metrics[len(study.metrics) :]
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    head = ["number", "stage", "outcome", *study.metrics, "rank", "best_epoch", *others]
    rows: list[list[object]] = [[*head, "seconds", "reason", *names]]
    for trial in sorted(trials, key=lambda trial: trial.number):
        best = measured[trial.number]
        cells: list[object] = [trial.number, trial.stage, trial.outcome]
        cells += [best.get(name) for name in study.metrics]
        cells += [ranks.get(trial.number), trial.best_epoch, *(best.get(name) for name in others)]
        cells += [_seconds(trial), trial.reason, *(trial.params.get(name) for name in names)]
        rows.append(cells)
    return _csv(rows)


def references_csv(references: Sequence[ReferencePoint]) -> str:
    """Table of the reference points, a row for each metric, with the gain of the best trial over it."""
    head = ["name", "outcome", "metric", "value", "best_trial", "gain", "gain_low", "gain_high"]
    rows: list[list[object]] = [[*head, "best_epoch", "seconds", "reason"]]
    for point in references:
        for name in list(point.metrics) or [""]:
            gain = point.gains.get(name)
            interval = [None] * 3 if gain is None else [gain.value, gain.low, gain.high]
            cells: list[object] = [point.name, point.outcome, name, point.metrics.get(name)]
            cells += [point.compared_with, *interval, point.best_epoch, f"{point.seconds:.1f}", point.reason]
            rows.append(cells)
    return _csv(rows)


def table_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Table of rows with the same columns."""
    return _csv([list(rows[0]) if rows else [], *(row.values() for row in rows)])


def epochs_csv(epochs: Mapping[int, Mapping[str, float]]) -> str:
    """Table of everything that was logged in each epoch, a row for each."""
    names = list(dict.fromkeys(name for metrics in epochs.values() for name in metrics))
    rows = ([epoch, *(epochs[epoch].get(name) for name in names)] for epoch in sorted(epochs))
    return _csv([["epoch", *names], *rows])


def _seconds(trial: TrialCard) -> str | None:
    if trial.started is None or trial.finished is None:
        return None
    return f"{trial.finished - trial.started:.1f}"


def front_csv(study: StudyCard, front: Sequence[TrialCard]) -> str:
    """Table of the trials on the Pareto front: number and objectives."""
    return _csv([["number", *study.metrics], *([trial.number, *trial.values] for trial in front)])


def front_figure(study: StudyCard, trials: Sequence[TrialCard]) -> Figure:
    """Scatter plots of the first objective against each other one, with the front in red and numbered."""
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


def log_information(
    client: MlflowClient, run_id: str, information: Information, name: str = "information"
) -> None:
    """Write ``<name>.csv`` and ``<name>.json`` into a run, if anything was measured.

    Quantities whose status is not ``ok`` are listed in the tag ``mmsa.<name>`` as well: MLflow shows
    tags beside metrics, and a metric should not be seen without its caveat.
    """
    if information:
        said = ", ".join(f"{key} {m.status}" for key, m in information.items() if m.status != "ok")
        client.set_tag(run_id, f"mmsa.{name}", (said or "all ok")[:_LONGEST_TAG])
        client.log_text(run_id, information_csv(information), f"{name}.csv")
        client.log_text(run_id, information_json(information), f"{name}.json")


def information_csv(information: Information) -> str:
    """Table of measurements in nats, one quantity a line; what was not measured has its status alone."""
    head = ["quantity", *_INFORMATION_COLUMNS]
    return _csv(
        [head, *([name, *(getattr(m, column) for column in head[1:])] for name, m in information.items())]
    )


def information_json(information: Information) -> str:
    """The complete measurements by name, as JSON."""
    records = {name: measured.to_dict() for name, measured in information.items()}
    return json.dumps(records, indent=2, allow_nan=False) + "\n"


def _csv(rows: Iterable[Iterable[object]]) -> str:
    """Rows as CSV text; None is an empty cell."""
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(rows)
    return table.getvalue()
