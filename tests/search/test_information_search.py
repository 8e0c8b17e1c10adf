"""Information as an objective or a bound: refused where no trial would measure it, and found where it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsa.config import parse
from mmsa.data import open_corpus
from mmsa.errors import ConfigError
from mmsa.information.copula_panel import CopulaPanel
from mmsa.information.panel import CORE, METRIC, metrics, names
from mmsa.measurement import not_measured
from mmsa.results.export import export
from mmsa.results.retrain import retrain
from mmsa.search.definition.misfits import refuse_misfits
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.records import Ending
from mmsa.search.space.checks import metric_problem
from mmsa.search.study.study import Study, read_study

MAE = {"metric": "valid/mae", "direction": "minimize"}
SOUGHT = {"metric": "information/target/fusion", "direction": "maximize"}
DATA = {"name": "planted", "rows_train": 120, "rows_valid": 100, "rows_test": 100}


def refusals(make_values: Callable[..., Any], base: dict[str, Any] | None = None, **search: Any) -> str:
    config = parse(StudyConfig, make_values(base={"data": DATA, **(base or {})}, **search), "space.yaml")
    with pytest.raises(ConfigError) as error:
        refuse_misfits(config, open_corpus(config.base.data))
    return str(error.value)


def test_names_are_known_and_the_nearest_is_named():
    assert metric_problem("information/invariant/text-audio") is None
    assert metric_problem("information/decomposition/synergy/text-audio/most") is None
    problem = metric_problem("information/invariant/audio-text")
    assert problem is not None
    assert "information/invariant/" in problem.next_step


def test_what_no_trial_measures_is_refused_before_the_first(make_values: Callable[..., Any]):
    found = refusals(
        make_values,
        {"information": {"quantities": ["fusion"], "budget": None}},
        objectives=[MAE, SOUGHT],
        constraints=["information/mimrl/specific/text >= 0.1"],
    )
    assert "search.objectives.1.metric" in found
    assert "Add target to base.information.quantities" in found
    assert "search.constraints.0" in found
    assert "Add mimrl to" in found


def test_information_of_an_absent_modality_is_refused(make_values: Callable[..., Any]):
    sought = {"metric": "information/target/vision", "direction": "maximize"}
    data = {**DATA, "modalities": ["text", "audio"]}
    found = refusals(make_values, {"data": data, "information": {"budget": None}}, objectives=[MAE, sought])
    assert "These data bring text, audio alone" in found


def test_an_objective_may_not_depend_on_the_clock(make_values: Callable[..., Any]):
    found = refusals(make_values, objectives=[MAE, SOUGHT])
    assert "base.information.budget" in found
    assert "Write null" in found


def test_rungs_cannot_compare_what_only_finished_trials_have(make_values: Callable[..., Any]):
    found = refusals(make_values, {"information": {"budget": None}}, objectives=[SOUGHT, MAE])
    assert "search.scheduler.name" in found
    assert "{name: none}" in found


def test_what_is_measured_is_not_searched(make_values: Callable[..., Any]):
    choices = {"type": "categorical", "choices": ["copula", "networks"]}
    with pytest.raises(ConfigError, match=r"(?s)information\.estimator.*cannot be searched"):
        parse(StudyConfig, make_values({"information.estimator": choices}), "space.yaml")


def test_a_trial_whose_information_has_no_value_fails_with_the_status_as_reason(
    make_study_config: Callable[..., StudyConfig], tmp_path: Path
):
    config = make_study_config(base={"information": {"budget": None}}, objectives=[MAE, SOUGHT])
    few = {"target/fusion": not_measured("too_few", num_samples=20, num_groups=4, dims=(1, 1))}
    with Study.open(config, tmp_path) as study:
        study.bind_corpus("0f3a")
        suggestion = study.ask()
        assert suggestion is not None
        ending = Ending("completed", {"valid/mae": 0.5}, information=few)
        assert study.finish(suggestion.number, ending) == "failed"
    record = read_study(config.study, tmp_path).trial(suggestion.number)
    assert record.reason == "information/target/fusion has no value: too few rows (20)"
    assert record.information == few


def test_information_that_contradicts_itself_counts_with_its_worse_end(
    make_study_config: Callable[..., StudyConfig], tmp_path: Path
):
    """Five failed trials stop a search; a doubtful measurement is no failure."""
    config = make_study_config(base={"information": {"budget": None}}, objectives=[MAE, SOUGHT])
    x, y = np.random.default_rng(0).standard_normal((2, 100))
    measured = CopulaPanel({"x": x, "y": x + 0.5 * y}).measure("x", "y")
    doubtful = {"target/fusion": replace(measured, status="disagree")}
    with Study.open(config, tmp_path) as study:
        study.bind_corpus("0f3a")
        suggestion = study.ask()
        assert suggestion is not None
        ending = Ending("completed", {"valid/mae": 0.5}, information=doubtful)
        assert study.finish(suggestion.number, ending) == "completed"
    record = read_study(config.study, tmp_path).trial(suggestion.number)
    assert record.values == (0.5, measured.low if SOUGHT["direction"] == "maximize" else measured.high)
    assert record.reason.startswith("information/target/fusion disagree: counts as ")


@pytest.mark.slow
@pytest.mark.ray
def test_a_search_for_information_finds_stores_and_reproduces_it(
    launch: Callable[..., Any], make_study_config: Callable[..., StudyConfig], tmp_path: Path
):
    config = make_study_config(
        base={"data": DATA, "information": {"budget": None}},
        objectives=[SOUGHT, MAE],
        scheduler={"name": "none"},
        trials=2,
    )
    launched = launch(config)
    records = launched.study.trials()
    assert [record.outcome for record in records] == ["completed", "completed"]
    for record in records:
        assert list(record.information) == names(CORE, ("text", "audio", "vision"))
        measured = metrics(record.information)
        assert record.values[0] == measured[SOUGHT["metric"]]
        assert {k: v for k, v in record.metrics.items() if k.startswith(METRIC)} == measured
        assert all(math.isfinite(value) for value in measured.values())
    told = launched.witness.told("trial_measured")
    assert dict(told) == {record.number: record.information for record in records}

    exported = export(launched.study, tmp_path / "best.yaml")
    assert exported.provenance is not None
    assert exported.provenance.metric == SOUGHT["metric"]
    report = retrain(exported, num_seeds=1, overrides={}, runs=tmp_path, say=lambda line: None)
    assert report.reproduced is True
