"""Saved views and notes, as tags of a real database; a browser opens them in ``tests/browser``."""

from __future__ import annotations

import base64
import json
import shutil
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mmsa.interface import PairedDifference, ReferencePoint, SplitCard, StudyCard, TrialCard
from mmsa.tracking.location import Location
from mmsa.tracking.mirror import rebuild
from mmsa.tracking.notes import NOTE, verdict


@pytest.fixture
def location(store: Path, tmp_path: Path) -> Location:
    (tmp_path / "runs").mkdir()
    shutil.copy(store, tmp_path / "runs")
    return Location.of(tmp_path / "runs")


@pytest.fixture
def study(study: StudyCard) -> StudyCard:
    return replace(
        study,
        parameters=("optim.lr", "objective.terms.cpc.weight"),
        coefficients=("objective.terms.cpc.weight",),
        fixed={"model.name": "mmim", "train.epochs": 12},
        splits=[SplitCard("train", "ab" * 32, 600, 30), SplitCard("valid", "cd" * 32, 200, 10)],
    )


def experiment_of(location: Location) -> Any:
    return location.connect().get_experiment_by_name("planted")


def state_of(tag: str) -> dict[str, Any]:
    kind, _, packed = json.loads(tag)["state"].partition(";")
    assert kind == "deflate"
    state: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return state


def test_the_address_opens_a_view_of_trials_best_first(
    location: Location, study: StudyCard, trials: list[TrialCard]
) -> None:
    shown: list[str] = []
    rebuild(location, study, trials, shown.append)
    page = urlsplit(shown[0].replace("#", ""))
    asked = {name: value for name, (value,) in parse_qs(page.query).items()}
    assert page.path == f"//experiments/{experiment_of(location).experiment_id}/runs"
    assert asked["workflowType"] == "machine_learning"
    state = state_of(experiment_of(location).tags[f"mlflow.sharedViewState.{asked['viewStateShareKey']}"])
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`best/valid/mae`", True)
    assert {"tags.`mmsa.outcome`", "tags.`mmsa.reason`", "params.`optim.lr`"} <= {*state["selectedColumns"]}
    found = location.connect().search_runs([experiment_of(location).experiment_id], state["searchFilter"])
    assert len(found) == len(trials)
    kinds = [chart["type"] for chart in state["compareRunCharts"]]
    assert kinds[:2] == ["PARALLEL", "LINE"]


def test_what_trials_have_in_common_stands_at_the_parent(
    location: Location, study: StudyCard, trials: list[TrialCard]
) -> None:
    rebuild(location, study, trials)
    rebuild(location, replace(study, fixed={**study.fixed, "model.name": "misa", "seed": 1}), trials)
    client, experiment = location.connect(), experiment_of(location).experiment_id
    (parent,) = client.search_runs([experiment], "tags.`mmsa.role` = 'study'")
    assert parent.data.params == {"model.name": "mmim", "train.epochs": "12", "seed": "1"}
    inputs = {item.dataset.name: json.loads(item.dataset.profile) for item in parent.inputs.dataset_inputs}
    assert inputs["planted train"] == {"num_rows": 600, "num_groups": 30}
    assert len(inputs) == 2


def test_a_view_that_is_refused_costs_the_view_only(
    location: Location, study: StudyCard, trials: list[TrialCard], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise ValueError("no such tag")

    monkeypatch.setattr("mmsa.tracking.study_runs.save", refuse)
    shown: list[str] = []
    assert rebuild(location, study, trials, shown.append) == len(trials)
    assert "/runs/" in shown[0]
    assert "workflowType=machine_learning" in shown[0]


def test_a_note_that_somebody_wrote_is_theirs(
    location: Location, study: StudyCard, trials: list[TrialCard]
) -> None:
    rebuild(location, study, trials[:1])
    client, experiment = location.connect(), experiment_of(location).experiment_id

    def parent() -> Any:
        (found,) = client.search_runs([experiment], "tags.`mmsa.role` = 'study'")
        return found

    assert "**Best: trial 0, valid/mae 0.5000**" in parent().data.tags[NOTE][:200]
    assert "trial 0" in experiment_of(location).tags[NOTE][:200]
    better = replace(trials[0], number=3, values=(0.4,))
    rebuild(location, study, [*trials, better])
    assert "trial 3, valid/mae 0.4000" in parent().data.tags[NOTE]
    client.set_tag(parent().info.run_id, NOTE, "mine")
    rebuild(location, study, [*trials, better, replace(better, number=4, values=(0.3,))])
    assert parent().data.tags[NOTE] == "mine"


def test_the_verdict_says_how_sure_and_names_what_is_not_beaten(
    study: StudyCard, trials: list[TrialCard]
) -> None:
    def said(*gains: tuple[float, float, float], violation: float = 0.0) -> str:
        points = [
            ReferencePoint(
                f"ridge/{name}",
                "completed",
                "77ab",
                gains={"valid/mae": PairedDifference(*gain)},
                compared_with=0,
            )
            for name, gain in zip(("all", "text"), gains, strict=False)
        ]
        card = replace(study, references=points, constants={"valid/mae": 1.1})
        return verdict(card, [replace(trials[0], standard_error=0.02, violation=violation), *trials[1:]])

    assert said() == "**Best: trial 0, valid/mae 0.5000** ± 0.039 (95 %), a constant 1.1000."
    assert said((0.2, 0.1, 0.3)).endswith(", better than every reference point.")
    unsure = said((0.2, 0.1, 0.3), (0.1, -0.1, 0.3))
    assert unsure.endswith(", not surely better than ridge on text.")
    assert said((-0.2, -0.3, -0.1)).endswith(", worse than ridge on all modalities.")
    assert said(violation=0.5).startswith("**No trial keeps the bounds.**")
    assert len(unsure) < 200
    assert verdict(study, trials[1:]) == "**No trial has completed yet** by valid/mae."
