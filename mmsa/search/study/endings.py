"""What a study makes of the ending that a trial hands in."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from mmsa.information.panel import METRIC as INFORMATION
from mmsa.search.costs import Cost
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.records import Ending, Metrics
from mmsa.search.space.checks import COST_SECONDS
from mmsa.search.space.constraints import MetricBound
from mmsa.search.study.stored import finite


def judged(ending: Ending, config: StudyConfig, cost: Cost) -> Ending:
    """The ending with its cost as a metric, as the study remembers it.

    A trial without a finite value of every objective and bounded metric is not completed, whatever it says:
    it has diverged (not finite) or failed (missing). One that breaks a bound is completed, and says so. So is
    one whose information is measured but contradicts itself (disagree, incoherent): that is no fault of the
    trial, and it counts with the worse end of the interval.

    Args:
        cost: of the trial in all launches.
    """
    ending = replace(ending, metrics={**ending.metrics, COST_SECONDS: cost.seconds})
    if ending.outcome != "completed":
        return ending
    ending = _with_doubtful_information(ending, config)
    needed = [*(o.metric for o in config.search.objectives), *(b.metric for b in config.metric_bounds)]
    return _without_result(ending, needed) or _with_broken_bounds(ending, config)


def _with_doubtful_information(ending: Ending, config: StudyConfig) -> Ending:
    """The ending with a number for each quantity that is asked for and has a value, but no metric."""
    upper = {o.metric: o.direction == "minimize" for o in config.search.objectives}
    upper |= {bound.metric: bound.upper for bound in config.metric_bounds}
    counted: dict[str, float] = {}
    reasons = []
    for metric in sorted(upper.keys() - ending.metrics.keys()):
        measured = ending.information.get(metric.removeprefix(INFORMATION))
        if measured is None or measured.low is None or measured.high is None:
            continue
        counted[metric] = worse = measured.high if upper[metric] else measured.low
        said = f"counts as {worse:.4g}, the worse end of its interval"
        reasons.append(f"{metric} {measured.status}: {said}")
    return replace(ending, metrics={**ending.metrics, **counted}, reason="; ".join(reasons) or ending.reason)


def _without_result(ending: Ending, needed: Iterable[str]) -> Ending | None:
    for metric in needed:
        if metric not in ending.metrics:
            return replace(ending, outcome="failed", reason=_why_missing(ending, metric))
        if not math.isfinite(ending.metrics[metric]):
            return replace(ending, outcome="diverged", reason=f"{metric} is {ending.metrics[metric]}")
    return None


def _why_missing(ending: Ending, metric: str) -> str:
    measured = ending.information.get(metric.removeprefix(INFORMATION))
    if measured is not None:
        return f"{metric} has no value: {measured.text()}"
    return f"{metric} was not measured; there are {', '.join(sorted(ending.metrics))}"


def _with_broken_bounds(ending: Ending, config: StudyConfig) -> Ending:
    broken = broken_bounds(config, finite(ending.metrics))
    return replace(ending, reason="; ".join(filter(None, [broken, ending.reason])))


def broken_bounds(config: StudyConfig, metrics: Metrics) -> str:
    """Which bounds the metrics of a completed trial break, in words; empty where they break none.

    A bound that came later may be one on a metric that was not measured then: nobody knows that it is kept.
    """
    excesses = {bound.text: _excess(bound, metrics) for bound in config.metric_bounds}
    broken = [
        f"{text} by {excess:.4g}" if math.isfinite(excess) else f"{text}, which was not measured"
        for text, excess in excesses.items()
        if excess > 0
    ]
    return f"breaks {', '.join(broken)}" if broken else ""


def violation(config: StudyConfig, metrics: Metrics) -> float:
    """By how much the metrics of a completed trial break the bounds, summed.

    0 for a feasible one; infinite where a metric was not measured.
    """
    return sum(max(0.0, _excess(bound, metrics)) for bound in config.metric_bounds)


def _excess(bound: MetricBound, metrics: Metrics) -> float:
    return bound.excess(metrics[bound.metric]) if bound.metric in metrics else math.inf
