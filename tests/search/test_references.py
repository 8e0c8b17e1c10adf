"""Reference points: measured beside the trials, shown apart from them, seen by nothing that ranks trials."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsa.config import with_overrides
from mmsa.data import open_corpus
from mmsa.data.target_spec import TargetSpec
from mmsa.interface import PairedDifference, ReferencePoint
from mmsa.search.costs import SearchBudget
from mmsa.search.definition.references import planned_references
from mmsa.search.execution.references import ReferencePoints
from mmsa.search.execution.trial import CHECKPOINT, PREDICTIONS, Report
from mmsa.search.records import Cost, Ending
from mmsa.search.study.study import Study, StudyView, read_study
from mmsa.search.summary import reference_lines
from mmsa.training import run
from mmsa.training.metrics import evaluate

pytestmark = pytest.mark.timeout(300)

RIDGES = ["ridge/text", "ridge/audio", "ridge/vision", "ridge/all"]
TRAINED = ["alone/text", "alone/audio", "alone/vision", "without_terms"]
WITH_TERM = {
    "model": {"name": "late_fusion"},
    "objective": {"terms": {"infonce": {"weight": 0.1}}},
    "train": {"epochs": 8, "patience": 8, "batch_size": 20, "device": "cpu", "threads": 1},
}


@pytest.fixture(scope="module")
def config(make_study_config: Any) -> Any:
    sampler = {"name": "tpe", "startup": 2}
    return make_study_config(base=WITH_TERM, sampler=sampler, scheduler={"name": "none"}, references="all")


@pytest.fixture(scope="module")
def launches(launch_for_module: Any, config: Any) -> Any:
    """A launch that ends while the second training runs, and the next launch.

    What the first one leaves is what a killed driver leaves: nothing is written because a launch ends.
    """
    (runs,) = launch_for_module.args

    class UntilTheSecondTrains(SearchBudget):
        def spent(self, seconds: float, cost: Cost) -> str:
            begun = list(runs.glob(f"{config.study}/references/alone-audio-*/{CHECKPOINT}"))
            return "the second one trains" if begun else ""

    options = {"checkpoint_seconds": 0.0}
    first = launch_for_module(config, budget=UntilTheSecondTrains(), **options)
    return first, launch_for_module(config, **options)


@pytest.mark.slow
def test_a_launch_goes_on_with_the_reference_points_that_an_earlier_one_left(launches):
    first, second = launches
    # As soon as the defaults have ended; what was compared with the best trial is told once more.
    told = [point.name for (point,) in first.witness.told("reference_known")]
    assert told[:5] == [*RIDGES, "alone/text"]
    assert [point.name for point in first.summary.references] == told[:5]
    assert first.summary.counts == {"completed": 1}
    told = [point.name for (point,) in second.witness.told("reference_known")]
    assert told[:3] == ["alone/audio", "alone/vision", "without_terms"]
    assert {point.name for point in second.summary.references} == {*RIDGES, *TRAINED}
    assert {point.outcome for point in second.summary.references} == {"completed"}


@pytest.mark.slow
def test_they_are_no_trials(launches):
    for launched in launches:
        assert {number for number, *_ in launched.witness.told("trial_finished")} <= {0, 1, 2, 3}
    study, summary = launches[1].study, launches[1].summary
    assert [trial.number for trial in study.trials()] == [0, 1, 2, 3]
    assert (summary.num_trials, summary.counts) == (4, {"completed": 4})
    assert {trial.number for trial in study.completed("search")} == {0, 1, 2, 3}


def test_a_sampler_chooses_as_if_there_were_none(make_study_config, tmp_path):
    config = make_study_config(trials=6, sampler={"name": "tpe", "startup": 2}, references="all")

    def points(runs: Path, *, between: bool) -> list[Any]:
        with Study.open(config, runs) as study:
            for number in range(6):
                if between:
                    best_of_all = {"valid/mae": 0.0}
                    study.remember_reference(ReferencePoint(f"ridge/{number}", "completed", "", best_of_all))
                assert study.ask().number == number
                study.finish(number, Ending("completed", {"valid/mae": 1.0 + number}))
            assert study.best().number == 0
            return [trial.overrides for trial in study.trials()]

    assert points(tmp_path / "with", between=True) == points(tmp_path / "without", between=False)


@pytest.mark.slow
def test_a_reference_point_is_what_its_configuration_trains_on_its_own(launches):
    study: StudyView = launches[1].study
    points = {point.name: point for point in study.references()}
    base = with_overrides(study.config.base, {"information.quantities": []})
    audio = with_overrides(base, {"data.modalities": ["audio"], "objective.terms.infonce.weight": 0.0})
    silent = with_overrides(base, {"objective.terms.infonce.weight": 0.0})
    for name, run_config in (("alone/audio", audio), ("without_terms", silent)):
        expected = run(run_config, open_corpus(run_config.data))
        assert points[name].metrics["valid/mae"] == expected.metrics["valid/mae"]
        assert points[name].best_epoch == expected.best_epoch


@pytest.mark.slow
def test_it_is_compared_with_the_best_trial_row_by_row_of_valid(launches, launch_for_module):
    launched = launches[1]
    best, valid = launched.study.best(), open_corpus(launched.study.config.base.data)["valid"]
    folder = launch_for_module.args[0] / launched.study.name
    predictions_N = np.load(folder / "trials" / str(best.number) / PREDICTIONS)
    assert evaluate(valid.labels, predictions_N, TargetSpec("label", suite="mosi"))["mae"] == pytest.approx(
        best.values[0]
    )
    for point in launched.summary.references:
        gain = point.gains["valid/mae"]
        assert point.compared_with == best.number
        assert gain.value == pytest.approx(point.metrics["valid/mae"] - best.values[0], abs=1e-6)
        assert gain.low < gain.value < gain.high
        pearson = point.gains["valid/pearson"]
        assert pearson.value == pytest.approx(
            best.metrics["valid/pearson"] - point.metrics["valid/pearson"], abs=1e-6
        )
    assert not list(folder.glob(f"references/*/{CHECKPOINT}"))


def test_an_edit_of_the_base_makes_its_trainings_due_again(make_study_config, tmp_path):
    def due(config: Any, *, remembered: bool) -> int:
        corpus = open_corpus(config.base.data)
        plan = planned_references("all", config.base, corpus)
        with Study.open(config, tmp_path) as study:
            points = ReferencePoints(study, plan, corpus, [])
            number = points.due
            assert points.next() is None  # the defaults have not ended
            if remembered:
                while assignment := points.next(anyway=True):
                    points.ended(assignment.reference, Report("completed", 1, best={"valid/mae": 0.5}))
        return number

    config = make_study_config(base=WITH_TERM, references="all")
    assert due(config, remembered=True) == 4
    assert due(config, remembered=False) == 0
    assert due(with_overrides(config, {"base.train.batch_size": 10}), remembered=True) == 4
    assert due(with_overrides(config, {"base.objective.terms": {}}), remembered=True) == 3
    assert "without_terms" not in {point.name for point in read_study("tried", tmp_path).references()}


def test_what_does_not_fit_is_left_out_with_the_reason(make_study_config):
    config = make_study_config(
        base={**WITH_TERM, "model": {"name": "late_fusion", "fusion": {"name": "tfn"}}}
    )
    plan = planned_references("all", config.base, open_corpus(config.base.data))
    assert list(plan.ridges) == RIDGES
    assert list(plan.runs) == ["without_terms"]
    assert plan.left_out["alone/text"].startswith("model.fusion.name tfn fuses 2 modalities or more")
    assert plan.runs["without_terms"].objective.built() == {}
    assert planned_references("ridge", config.base, open_corpus(config.base.data)).runs == {}


def test_the_summary_says_in_words_what_the_best_trial_does_not_beat():
    def point(name: str, value: float, *gain: float) -> ReferencePoint:
        gains = {"valid/mae": PairedDifference(*gain)}
        return ReferencePoint(name, "completed", "", {"valid/mae": value}, gains=gains, compared_with=3)

    points = [
        point("ridge/text", 0.5, 0.1, 0.05, 0.15),
        point("ridge/all", 0.35, -0.05, -0.08, -0.02),
        point("alone/text", 0.39, -0.01, -0.03, 0.02),
        point("without_terms", 0.41, 0.01, -0.01, 0.03),
        replace(point("alone/audio", 0.5, 0.1, 0.05, 0.15), compared_with=2),
        ReferencePoint("alone/vision", "diverged", "", reason="the loss is not finite"),
    ]
    assert reference_lines(points, "valid/mae", 3) == [
        "references, none of them a trial: valid/mae, and by how much trial 3 is better [95 %]",
        "  ridge on text            0.5000  +0.1000 [+0.0500, +0.1500]",
        "  ridge on all modalities  0.3500  -0.0500 [-0.0800, -0.0200]",
        "  text alone               0.3900  -0.0100 [-0.0300, +0.0200]",
        "  without terms            0.4100  +0.0100 [-0.0100, +0.0300]",
        "  audio alone              0.5000  not compared row by row: the predictions of trial 3 are not kept",
        "  vision alone             diverged: the loss is not finite",
        "  the best trial is worse than ridge on all modalities",
        "  the best trial is no better than text alone",
        "  the best trial is not surely better than without terms: the interval includes 0",
    ]
    assert reference_lines([], "valid/mae", 3) == []
