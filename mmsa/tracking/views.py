"""Saved views of MLflow's runs page, so that an address opens on the answer: trials best first, with charts.

A view is an experiment tag in a form that MLflow 3.17 reads and does not document (tests/browser/ opens it in
a browser). Without it the page shows one collapsed row, and in MLflow's default mode a page for chat traces.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from mmsa.interface import StudyCard
from mmsa.tracking.location import MACHINE_LEARNING
from mmsa.tracking.names import best_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

_TAG = "mlflow.sharedViewState."
_LONGEST_TAG = 20_000  # characters that an experiment tag holds
_MOST_COLUMNS = 40
_MOST_CHARTS = 12
_RUNS_IN_CHARTS = 100  # with 200 the page takes a minute and a half


@dataclass(frozen=True)
class View:
    """What a page of runs shows.

    Attributes:
        key: unique in the experiment; written anew, the view is replaced.
        name: for people, in MLflow's list of views.
        title: for people who know which study it is.
        runs: MLflow's filter of runs.
        order_by: metric that orders the runs.
        ascending: whether small values come first.
        metrics: columns, in order.
        tags: columns, in order.
        params: columns, in order.
        charts: of the runs, see ``parallel`` and ``scatter``.
        opens_charts: whether the charts are in front, and not the table.
    """

    key: str
    name: str
    title: str
    runs: str
    order_by: str
    ascending: bool
    metrics: Sequence[str]
    tags: Sequence[str]
    params: Sequence[str]
    charts: Sequence[Mapping[str, Any]] = field(default_factory=list)
    opens_charts: bool = False

    def columns(self) -> list[str]:
        """MLflow's ids of the columns."""
        named = [("metrics", self.metrics), ("tags", self.tags), ("params", self.params)]
        return [f"{kind}.`{name}`" for kind, names in named for name in names][:_MOST_COLUMNS]

    def state(self) -> dict[str, Any]:
        """The page as MLflow's own code keeps it."""
        section = _identifier(f"{self.key} charts")
        charts = [
            {
                "uuid": _identifier(f"{self.key} {position}"),
                "metricSectionId": section,
                "runsCountToCompare": _RUNS_IN_CHARTS,
                "deleted": False,
                "isGenerated": False,
                "displayName": None,
                **chart,
            }
            for position, chart in enumerate(self.charts[:_MOST_CHARTS])
        ]
        return {
            "searchFilter": self.runs,
            "orderByKey": f"metrics.`{self.order_by}`",
            "orderByAsc": self.ascending,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "datasetsFilter": [],
            "modelVersionFilter": "All Runs",
            "selectedColumns": self.columns(),
            "columnOrder": self.columns(),
            "columnWidths": {},
            "runsHidden": [],
            "runsVisibilityMap": {},
            "runsHiddenMode": "SHOWALL",
            "runsPinned": [],
            "runsExpanded": {},
            "viewMaximized": False,
            "runListHidden": False,
            "isAccordionReordered": True,
            "useGroupedValuesInCharts": True,
            "hideEmptyCharts": True,
            "groupBy": None,
            "groupsExpanded": {},
            "autoRefreshEnabled": True,
            "globalLineChartConfig": {
                "xAxisKey": "step",
                "lineSmoothness": 0,
                "selectedXAxisMetricKey": "",
            },
            "compareRunSections": [
                {"uuid": section, "name": self.name, "display": True, "isReordered": True}
            ],
            "compareRunCharts": charts,
        }

    def address(self, origin: str, experiment: str) -> str:
        """The page of this view; ``origin`` is that of the server."""
        return _address(origin, experiment, self.key, "CHART" if self.opens_charts else "TABLE")


def trials_page(origin: str, experiment: str, identity: str) -> str:
    """The address of a study's trials, best first; see ``study_views``."""
    return _address(origin, experiment, _trials_key(identity), "TABLE")


def _address(origin: str, experiment: str, key: str, mode: str) -> str:
    query = urlencode({**MACHINE_LEARNING, "viewStateShareKey": key, "compareRunsMode": mode})
    return f"{origin}/#/experiments/{experiment}/runs?{query}"


def _trials_key(identity: str) -> str:
    return f"mmsa-{identity}-trials"


def save(client: MlflowClient, experiment: str, view: View) -> None:
    """Write a view into an experiment."""
    packed = base64.b64encode(zlib.compress(json.dumps(view.state()).encode())).decode()
    now = int(1000 * time.time())
    value = json.dumps({"name": view.name, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"})
    if len(value) > _LONGEST_TAG:
        raise ValueError(f"the view {view.name!r} takes {len(value)} characters, more than {_LONGEST_TAG}")
    client.set_experiment_tag(experiment, f"{_TAG}{view.key}", value)


def study_views(study: StudyCard) -> list[View]:
    """The views of a study: its trials, best first, and its coefficients against what they move."""
    objectives = [best_name(name) for name in study.metrics]
    trials = f"tags.`mmsa.identity` = '{study.identity}' AND tags.`mmsa.role` = 'trial'"
    best = View(
        key=_trials_key(study.identity),
        name=f"{study.name}: trials, best first",
        title="trials, best first",
        runs=trials,
        order_by=objectives[0],
        ascending=study.directions[0] == "minimize",
        metrics=[*objectives, "information/target.fusion"],
        tags=["mmsa.outcome", "mmsa.stage", "mmsa.best_epoch", "mmsa.reason"],
        params=study.parameters,
        charts=list(_trial_charts(study, objectives)),
    )
    views = [best]
    if study.coefficients:
        charts = list(_coefficient_charts(study, objectives))
        views.append(
            View(
                key=f"mmsa-{study.identity}-coefficients",
                name=f"{study.name}: coefficients",
                title="coefficients",
                runs=trials,
                order_by=objectives[0],
                ascending=best.ascending,
                metrics=[*objectives, *_MEASURED],
                tags=["mmsa.outcome"],
                params=study.coefficients,
                charts=charts,
                opens_charts=True,
            )
        )
    return views


def seeds_view(parent: str, objective: str, ascending: bool, test: Sequence[str]) -> View:
    """The view of a retraining: a row for each seed, the best on valid first.

    Args:
        parent: id of the retraining's run.
        objective: metric of valid that chose the epochs.
        ascending: whether small values of it are better.
        test: names of metrics on test, which order nothing.
    """
    return View(
        key=f"mmsa-{parent}-seeds",
        name="seeds of a retraining",
        title="seeds",
        runs=f"tags.`mlflow.parentRunId` = '{parent}'",
        order_by=best_name(objective),
        ascending=ascending,
        metrics=[best_name(objective), *test],
        tags=["mmsa.seed", "mmsa.selected"],
        params=[],
        charts=[line(objective), line("train/loss")],
    )


_MEASURED = ("information/target.fusion", "information/target.text", "information/target.audio")


def _trial_charts(study: StudyCard, objectives: Sequence[str]) -> Iterator[dict[str, Any]]:
    yield parallel(study.parameters, objectives)
    yield line(study.metrics[0])
    for path in study.parameters[: _MOST_CHARTS - 3]:
        yield scatter(path, objectives[0])


def _coefficient_charts(study: StudyCard, objectives: Sequence[str]) -> Iterator[dict[str, Any]]:
    # Without information: runs that lack one of its axes are not in it, which are all that were pruned.
    yield parallel(study.coefficients, objectives)
    if len(study.coefficients) > 1:
        one, other, *_ = study.coefficients
        axes = {"xaxis": _axis("PARAM", one), "yaxis": _axis("PARAM", other)}
        yield {"type": "CONTOUR", **axes, "zaxis": _axis("METRIC", objectives[0])}
    for path in study.coefficients[: (_MOST_CHARTS - 2) // 2]:
        yield scatter(path, objectives[0])
        yield scatter(path, _MEASURED[0])


def parallel(params: Sequence[str], metrics: Sequence[str]) -> dict[str, Any]:
    """A chart of parallel coordinates."""
    return {
        "type": "PARALLEL",
        "selectedParams": list(params),
        "selectedMetrics": list(metrics),
        "showAllRuns": True,
    }


def scatter(param: str, metric: str) -> dict[str, Any]:
    """A chart of a metric over a parameter."""
    return {"type": "SCATTER", "xaxis": _axis("PARAM", param), "yaxis": _axis("METRIC", metric)}


def line(metric: str) -> dict[str, Any]:
    """A chart of a metric over epochs."""
    return {
        "type": "LINE",
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "xAxisKey": "step",
        "scaleType": "linear",
    }


def _axis(kind: str, key: str) -> dict[str, str]:
    return {"key": key, "type": kind}


def _identifier(text: str) -> str:
    """The same one whenever a view is written again, so that a page that is open stays the same."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, text))
