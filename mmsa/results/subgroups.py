"""Results by a column of the rows, such as gender: a mean over everybody hides whom a model fails.

Where groups are people, so are all counts below. A metric of four people would tell of each of them, and an
interval of so few is a wrong one: what is too few for a number is said in words.

Shapes: N rows, S seeds, R resamples.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Corpus, Split
from mmsa.data.known_targets import ABOUT_PEOPLE
from mmsa.data.target_spec import TargetSpec
from mmsa.errors import ConfigError, Problem, did_you_mean
from mmsa.interface import decimals
from mmsa.results.statistics import Interval, group_resamples, interval_of
from mmsa.training.metrics import metrics_of, on_scale, weighted_metrics
from mmsa.training.row_weights import Floats, RowWeights, ratio

_FEWEST = 5
"""People that a metric is told of."""
_FEWEST_FOR_INTERVAL = 10
_FEWEST_OF_CLASS = 5
"""People of each class that an interval of F1, AUC or recall is told of."""
_TOO_FEW = "too few groups to tell"
_RECALL, _MEAN_ERROR = "recall_positive", "mean_error"


@dataclass(frozen=True)
class Subgroup:
    """The rows that have one value of a column.

    Attributes:
        name: the value.
        rows: how many there are.
        people: how many groups they are of.
        positives: rows of the positive class; None for a target that has none.
        metrics: means over seeds. Empty for fewer than 5 people; without those of classes where there is only
            one. Intervals have no bounds where people are too few for them.
    """

    name: str
    rows: int
    people: int
    positives: int | None
    metrics: Mapping[str, Interval]


@dataclass(frozen=True)
class SubgroupTable:
    """Metrics of test by the values of one column.

    Attributes:
        by: name of the column.
        parts: one for each value that occurs.
        unknown: rows without a value.
        gaps: of two subgroups, by how much each metric of the first exceeds that of the second.
    """

    by: str
    parts: tuple[Subgroup, ...]
    unknown: int
    gaps: Mapping[str, Interval]

    def lines(self) -> list[str]:
        """A table for people."""
        if not self.parts:
            return [f"by {self.by}: no row has one"]
        heads = [part.name for part in self.parts]
        if self.gaps:
            heads.append(self._gap_name())
        columns = [part.metrics for part in self.parts] + ([self.gaps] if self.gaps else [])
        counts = [("groups", [part.people for part in self.parts])]
        if any(part.positives is not None for part in self.parts):
            counts.append(("positive rows", [part.positives or 0 for part in self.parts]))
        rows = [(name, [str(count) for count in values]) for name, values in counts]
        names = dict.fromkeys(name for metrics in columns for name in metrics)
        rows += [(name, [_shown(metrics.get(name)) for metrics in columns]) for name in names]
        width = max(len(name) for name, _ in rows) + 2
        widths = [
            max(len(head), *(len(cells[place]) for _, cells in rows if place < len(cells))) + 3
            for place, head in enumerate(heads)
        ]
        table = [("", heads), *rows]
        body = [
            f"  {name:<{width}}"
            + "".join(f"{cell:>{wide}}" for cell, wide in zip(cells, widths, strict=False))
            for name, cells in table
        ]
        title = f"by {self.by} (mean over fresh seeds, and 95 % interval by drawing groups)"
        return [title, *body, *self._doubts()]

    def _doubts(self) -> list[str]:
        few = [f"{part.name} {part.people}" for part in self.parts if part.people < _FEWEST]
        without = [
            part.name
            for part in self.parts
            if any(interval.low95 is None for interval in part.metrics.values())
        ]
        return [
            *([f"  {_TOO_FEW}: {', '.join(few)}; metrics need {_FEWEST}"] if few else []),
            *(
                [
                    f"  no interval where groups are too few for one ({', '.join(without)}): it needs "
                    f"{_FEWEST_FOR_INTERVAL}, of metrics of classes {_FEWEST_OF_CLASS} in each"
                ]
                if without
                else []
            ),
            *([f"  {self.unknown} rows have no {self.by}"] if self.unknown else []),
        ]

    def rows(self) -> list[dict[str, object]]:
        """The table as records, of a value and a metric each."""
        found: list[dict[str, object]] = []
        for part in self.parts:
            counts = {"rows": part.rows, "groups": part.people, "positive_rows": part.positives}
            told: dict[str, Interval | None] = {**part.metrics} or {_TOO_FEW: None}
            found += [self._record(part.name, counts, *one) for one in told.items()]
        if self.gaps:
            counts = {"rows": None, "groups": None, "positive_rows": None}
            found += [self._record(self._gap_name(), counts, *one) for one in self.gaps.items()]
        return found

    def _record(
        self, value: str, counts: Mapping[str, int | None], metric: str, interval: Interval | None
    ) -> dict[str, object]:
        bounds = (None,) * 3 if interval is None else (interval.estimate, interval.low95, interval.high95)
        named = dict(zip(("mean", "low95", "high95"), bounds, strict=True))
        told = {**counts, "metric": metric, **named}
        # A column of one's own may be called `groups` or `metric`, and would be lost under these.
        return {f"value of {self.by}" if self.by in told else self.by: value, **told}

    def _gap_name(self) -> str:
        return f"{self.parts[0].name} less {self.parts[1].name}"


def columns_to_tell_by(corpus: Corpus, wanted: Collection[str] | None = None) -> tuple[TargetSpec, ...]:
    """The columns that results are told by.

    Args:
        corpus: says what its rows have.
        wanted: names of columns with classes; None for those that are known to be about people.

    Raises:
        ConfigError: for a name that is no such column.
    """
    known = {target.name: target for target in corpus.targets[1:] if target.kind in ("binary", "multiclass")}
    if wanted is None:
        return tuple(target for name, target in known.items() if name in ABOUT_PEOPLE)
    problems = [
        Problem("--by", name, f"is no column with classes of {corpus.name}", did_you_mean(name, known))
        for name in wanted
        if name not in known
    ]
    if problems:
        raise ConfigError("retrain", problems)
    return tuple(known[name] for name in dict.fromkeys(wanted))


def by_subgroup(
    target: TargetSpec, test: Split, predictions_SN: NDArray[np.floating[Any]], column: TargetSpec
) -> SubgroupTable:
    """Metrics of the primary target for the rows of each value of a column.

    People of different values are drawn apart, so a gap is the difference of two independent resamples.

    Args:
        target: the primary target.
        test: with labels and the column.
        predictions_SN: of each seed; (S, N) or (S, N, K).
        column: a target beside the primary one.
    """
    value_N = test.further_targets[column.name]
    parts, resampled = [], []
    for number, name in enumerate(column.classes):
        there = np.flatnonzero(value_N == number)
        if not len(there):
            continue
        part, values = _measured(
            name, target, test.labels[there], predictions_SN[:, there], test.groups[there], number
        )
        parts.append(part)
        resampled.append(values)
    gaps: dict[str, Interval] = {}
    if len(parts) == 2:
        for metric, one in parts[0].metrics.items():
            other = parts[1].metrics.get(metric)
            if other is not None:
                difference_R = resampled[0][metric] - resampled[1][metric]
                whole = one.low95 is not None and other.low95 is not None
                gaps[metric] = interval_of(difference_R) if whole else Interval(float(difference_R[0]))
    return SubgroupTable(column.name, tuple(parts), int(np.isnan(value_N).sum()), gaps)


def _measured(
    name: str,
    target: TargetSpec,
    labels_N: NDArray[np.float32],
    predictions_SN: NDArray[np.floating[Any]],
    groups_N: NDArray[np.str_],
    seed: int,
) -> tuple[Subgroup, dict[str, Floats]]:
    people = len(np.unique(groups_N))
    positive_N = _positive(labels_N, target)
    positives = None if positive_N is None else int(positive_N.sum())
    if people < _FEWEST:
        return Subgroup(name, len(labels_N), people, positives, {}), {}
    weights = group_resamples(groups_N, seed)
    by_seed = [_values(labels_N, one_N, weights, target) for one_N in predictions_SN]
    values = {metric: np.mean([found[metric] for found in by_seed], axis=0) for metric in by_seed[0]}
    of_classes = {metric for metric, known in metrics_of(target.suite).items() if known.view is not None}
    smaller = people
    if positive_N is not None:
        smaller = min(len(np.unique(groups_N[positive_N])), len(np.unique(groups_N[~positive_N])))
    metrics = {
        metric: interval_of(values_R)
        if people >= _FEWEST_FOR_INTERVAL
        and (metric not in of_classes | {_RECALL} or smaller >= _FEWEST_OF_CLASS)
        else Interval(float(values_R[0]))
        for metric, values_R in values.items()
        if metric not in of_classes | {_RECALL} or smaller
    }
    return Subgroup(name, len(labels_N), people, positives, metrics), values


def _positive(values_N: NDArray[Any], target: TargetSpec) -> NDArray[np.bool_] | None:
    """(N,) whether labels or predictions are positive; None for a target without such a class."""
    edge = target.threshold if target.is_scale else 0.5 if target.kind == "binary" else None
    return None if edge is None else np.asarray(on_scale(values_N, target) >= edge)


def _values(
    labels_N: NDArray[np.float32], output_N: NDArray[Any], weights: RowWeights, target: TargetSpec
) -> dict[str, Floats]:
    """(R,) of each metric of the suite, of recall, and of the error with its sign."""
    found = weighted_metrics(labels_N, output_N, weights, target)
    positive_N, told_N = _positive(labels_N, target), _positive(output_N, target)
    if positive_N is not None and told_N is not None:
        found[_RECALL] = ratio(weights.total(positive_N & told_N), weights.total(positive_N))
    if target.is_scale:
        found[_MEAN_ERROR] = ratio(weights.total(output_N - labels_N), weights.total(np.ones(len(labels_N))))
    return found


def _shown(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    if interval.low95 is None or interval.high95 is None:
        return decimals(interval.estimate)
    return f"{decimals(interval.estimate)} ({decimals(interval.low95)} to {decimals(interval.high95)})"
