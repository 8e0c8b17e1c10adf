"""What a study makes of the ending that a trial hands in."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from mmsa.information.panel import METRIC as INFORMATION
from mmsa.search.costs import Cost
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.records import Ending
from mmsa.search.space.checks import COST_SECONDS
from mmsa.search.study.stored import finite


def judged(ending: Ending, config: StudyConfig, cost: Cost) -> Ending:
    """The ending with its cost as a metric, as the study remembers it.

    A trial without a finite value of every objective and bounded metric is not completed, whatever it says:
    it has diverged (not finite) or failed (missing). One that breaks a bound is completed, and says so.

    Args:
        cost: of the trial in all launches.
    """
    ending = replace(ending, metrics={**ending.metrics, COST_SECONDS: cost.seconds})
    if ending.outcome != "completed":
        return ending
    needed = [*(o.metric for o in config.search.objectives), *(b.metric for b in config.metric_bounds)]
    return _without_result(ending, needed) or _with_broken_bounds(ending, config)


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
    excesses = config.excesses(finite(ending.metrics)).items()
    broken = [f"{text} by {excess:.4g}" for text, excess in excesses if excess > 0]
    return replace(ending, reason=f"breaks {', '.join(broken)}") if broken else ending
