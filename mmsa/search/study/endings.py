"""How a study judges the ending that a trial reports."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from mmsa.information.panel import METRIC as INFORMATION
from mmsa.interface import COST_SECONDS
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.records import Cost, Ending
from mmsa.search.study.stored import finite_metrics


def judged(ending: Ending, config: StudyConfig, cost: Cost) -> Ending:
    """The ending as the study remembers it, with the trial's cost as a metric.

    A trial without a finite value of every objective and bounded metric is not completed, whatever it says:
    it has diverged (not finite) or failed (missing). A trial that breaks a bound is completed, and its reason
    says so. A trial whose measured information contradicts itself (disagree, incoherent) is completed as
    well, since that is no fault of the trial; it counts with the worse end of the interval.

    Args:
        ending: as the trial reported it.
        config: of the study.
        cost: of the trial over all launches.
    """
    ending = replace(ending, metrics={**ending.metrics, COST_SECONDS: cost.seconds})
    if ending.outcome != "completed":
        return ending
    ending = _with_doubtful_information(ending, config)
    needed = [*(o.metric for o in config.search.objectives), *(b.metric for b in config.metric_bounds)]
    return _without_result(ending, needed) or _with_broken_bounds(ending, config)


def _with_doubtful_information(ending: Ending, config: StudyConfig) -> Ending:
    """Add a number for each requested quantity that was measured but has no metric."""
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
    broken = config.broken_bounds(finite_metrics(ending.metrics))
    return replace(ending, reason="; ".join(filter(None, [broken, ending.reason])))
