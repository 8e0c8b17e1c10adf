"""Searched parameters that mean nothing on the data at hand are named, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from mmsa.data import open_corpus
from mmsa.search.definition import idle as idle_module
from mmsa.search.definition.idle import idle_lines
from mmsa.search.definition.misfits import refuse_misfits
from mmsa.search.preview import dry_run
from mmsa.search.space.space import Space
from mmsa.search.summary import BestTrial, SearchSummary

CPC = {"objective": {"terms": {"cpc": {}}}}
PART = {"type": "float", "low": 0.001, "high": 2.0}


def idle(config: Any) -> dict[str, str]:
    return dict(refuse_misfits(config, open_corpus(config.base.data)).idle)


def data(*modalities: str) -> dict[str, Any]:
    return {
        "name": "planted",
        "rows_train": 40,
        "rows_valid": 20,
        "rows_test": 20,
        "modalities": list(modalities),
    }


@pytest.mark.slow
def test_information_of_modalities_that_are_not_there(make_study_config):
    """MIMRL without text: all but its fusion information is of text."""
    mimrl = [f"objective.terms.mimrl.{name}" for name in ("invariant", "complementary", "specific.text")]
    parameters = dict.fromkeys((*mimrl, "objective.terms.mimrl.fusion.audio"), PART)
    parameters |= {"objective.terms.mimrl.conditional.k": {"type": "int", "low": 1, "high": 3}}
    base = {"model": {"name": "mimrl"}, "objective": {"terms": {"mimrl": {}}}}
    config = make_study_config(parameters, base={**base, "data": data("audio", "vision")})
    expected = {*mimrl, "objective.terms.mimrl.conditional.k"}
    found = idle(config)
    assert found.keys() == expected
    assert found["objective.terms.mimrl.specific.text"] == "the data bring no text"
    everything = data("text", "audio", "vision")
    assert not idle(make_study_config(parameters, base={**base, "data": everything}))


@pytest.mark.parametrize(
    ("path", "parameter", "change", "reason"),
    [
        (
            "objective.terms.cpc.temperature",
            PART,
            {"objective": {"terms": {"cpc": {"weight": 0.0}}}},
            "weight is 0",
        ),
        (
            "model.vision.hidden",
            {"type": "int", "low": 8, "high": 64},
            {"data": data("text", "audio")},
            "no vision",
        ),
        ("objective.terms.cpc.fusion.vision", PART, {**CPC, "data": data("text", "audio")}, "no vision"),
        (
            "objective.terms.barber_agakov.invariant.text_vision",
            PART,
            {"objective": {"terms": {"barber_agakov": {}}}, "data": data("text", "audio")},
            "no vision",
        ),
        ("optim.lr_vision", PART, {"optim": {"lr_vision": 0.1}, "data": data("text", "audio")}, "no vision"),
        ("optim.lr_pretrained", PART, {"optim": {"lr_pretrained": 0.1}}, "nothing"),
        ("optim.lr_estimator", PART, {"optim": {"lr_estimator": 0.1}}, "nothing"),
        ("optim.layer_decay", {**PART, "high": 1.0}, {"optim": {"layer_decay": 0.9}}, "nothing"),
        ("optim.decay", {**PART, "high": 0.9}, {}, "nothing"),
        (
            "objective.strategy.repeats",
            {"type": "int", "low": 1, "high": 3},
            {"objective": {"strategy": {"name": "two_stage"}}},
            "nothing",
        ),
        ("train.patience", {"type": "int", "low": 2, "high": 8}, {}, "nothing"),
    ],
)
def test_settings_that_nothing_reads(make_study_config, path, parameter, change, reason):
    lr = {"type": "float", "low": 1e-4, "high": 0.1}
    found = idle(make_study_config({path: parameter, "optim.lr": lr}, base=change))
    assert found.keys() == {path}
    assert reason in found[path]


def test_what_another_parameter_makes_matter_is_not_named(make_study_config, tmp_path):
    parameters = {
        "objective.terms.cpc.weight": {"type": "float", "low": 0.1, "high": 1.0, "zero": 0.9},
        "objective.terms.cpc.temperature": PART,
        "optim.schedule": {"type": "categorical", "choices": ["constant", "plateau"]},
        "train.patience": {"type": "int", "low": 2, "high": 8},
        "model.audio.dropout": {"type": "float", "low": 0.0, "high": 0.5},
        "model.vision.dropout": {"same_as": "model.audio.dropout"},
    }
    base = {"objective": {"terms": {"cpc": {"weight": 0.0, "temperature": 0.5}}}}
    assert idle(make_study_config(parameters, base=base)) == {}
    absent = make_study_config(parameters, base={**base, "data": data("text", "audio")})
    named = [line for line in dry_run(absent, tmp_path) if "has no effect" in line]
    assert [line.split()[1] for line in named] == ["model.vision.dropout"]


def test_the_summary_marks_them(tmp_path):
    best = BestTrial(3, 0.5, {"optim.lr": 0.1, "optim.lr_vision": 0.2})
    summary = SearchSummary(
        "s",
        tmp_path,
        None,
        {"completed": 4},
        4,
        {},
        1.0,
        "valid/mae",
        best,
        0.6,
        idle=frozenset({"optim.lr_vision"}),
    )
    lines = [line for line in summary.text().splitlines() if "without effect" in line]
    assert [line.split(":")[0].strip() for line in lines] == ["optim.lr_vision"]
    assert idle_lines({"a.b": "why"}, Space({})) == [
        "warning: a.b has no effect: why; leave it out of the search"
    ]


def test_what_matters_at_the_defaults_is_seen_by_the_drafts_of_the_extremes(make_study_config, monkeypatch):
    """An open gate takes drafts of larger objectives, for what the defaults do not show alone."""
    drafted: list[bool] = []
    real = idle_module.blueprint

    def counted(run: Any, *data: Any) -> Any:
        drafted.append("cpc" in run.objective.built())
        return real(run, *data)

    monkeypatch.setattr(idle_module, "blueprint", counted)
    zero = {"type": "float", "low": 0.1, "high": 1.0, "zero": 0.5}
    base = {"objective": {"terms": {"cpc": {"weight": 0.0}}}, "data": data("text", "audio")}
    dropout = {"type": "float", "low": 0.1, "high": 0.4}
    config = make_study_config(
        {"objective.terms.cpc.weight": zero, "model.fusion.dropout": dropout}, base=base
    )
    assert not idle(config)
    assert drafted.count(True) == 2  # the extremes of its weight
