"""What has seen test does not enter a search unsaid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmsa.config import parse, with_overrides
from mmsa.data.ledger import LEDGER, Ledger, OpenedBeside, Opening
from mmsa.reports.study_report import study_report
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.records import Ending
from mmsa.search.study.cards import study_card
from mmsa.search.study.study import Study
from mmsa.search.study.view import StudyView, read_study
from mmsa.tracking.notes import study_note


def space(study: str = "new", **search: Any) -> StudyConfig:
    values = {
        "study": study,
        "base": {"data": {"name": "planted"}, "model": {"name": "late_fusion"}},
        "search": {
            "parameters": {
                "optim.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
                "train.batch_size": {"type": "int", "low": 8, "high": 64},
            },
            "objectives": [{"metric": "valid/mae", "direction": "minimize"}],
            "trials": 3,
            "references": "none",
            "sampler": {"name": "random"},
            "scheduler": {"name": "none"},
            **search,
        },
    }
    return parse(StudyConfig, values, "space")


def opened(runs: Path, study: str | None = "old", **overrides: Any) -> None:
    """An entry for trial 3 of a study with this configuration; another model lies beside it."""
    config = with_overrides(space().base, {"seed": 7, "train.threads": 2, **overrides})
    other = with_overrides(space().base, {"optim.lr": 0.07, "train.batch_size": 11})
    beside = OpenedBeside(None, "c1", other.model_dump(mode="json"), [1])
    entry = Opening("planted", "c0", "d0", study, 3, [1], {}, date="2026-01-02T00:00:00+00:00")
    Ledger(runs / LEDGER).open(replace(entry, config=config.model_dump(mode="json"), beside=[beside]))


def begun(config: StudyConfig, runs: Path) -> StudyView:
    with Study.open(config, runs) as study:
        study.bind_corpus("a" * 64)
    return read_study(config.study, runs)


CHOSEN = {"optim.lr": 0.0123456, "train.batch_size": 20}


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (CHOSEN, True),
        ({**CHOSEN, "optim.lr": 0.01235}, True),  # as a report shows it
        ({"optim.lr": 0.07, "train.batch_size": 11}, True),  # beside the one that was taken
        ({**CHOSEN, "optim.lr": 0.0128}, False),
        ({**CHOSEN, "train.batch_size": 21}, False),
        ({"optim.lr": 0.0123456}, False),  # with the default batch size
    ],
)
def test_a_start_that_has_seen_test_is_told_in_every_report(
    tmp_path: Path, start: Mapping[str, Any], told: bool
) -> None:
    opened(tmp_path, **CHOSEN)
    study = begun(space(starts=["defaults", start]), tmp_path)
    report = study_report(study, tmp_path).markdown()
    expected = "start 1 had seen test before this study began with it"
    assert [line.startswith(expected) for line in study.tested] == [True] * told
    assert (f"note: {expected}" in report) is told
    card = study_card(study)
    assert ("tested" in card.tags) is told
    assert (f"What it began with: {expected}" in study_note(card, [], {})) is told
    if told:
        assert "opened on 2026-01-02 (trial 3 of study old)" in study.tested[0] or (
            "(the defaults of study old)" in study.tested[0]
        )


def test_defaults_are_told_only_if_the_very_configuration_was_opened(tmp_path: Path) -> None:
    opened(tmp_path, **{"train.epochs": 7})
    assert begun(space(), tmp_path).tested == []
    opened(tmp_path, study=None)
    (line,) = begun(space("newer"), tmp_path).tested
    assert line.startswith("defaults had seen test")
    assert line.endswith("(of no study)")


def test_what_is_opened_later_says_nothing_of_what_the_study_began_with(tmp_path: Path) -> None:
    config = space(starts=["defaults", CHOSEN])
    begun(config, tmp_path)
    opened(tmp_path, "new", **CHOSEN)
    opened(tmp_path, "old", **CHOSEN)
    assert begun(config, tmp_path).tested == []
    more = space(starts=["defaults", CHOSEN, {"optim.lr": 0.07, "train.batch_size": 11}])
    (line,) = begun(more, tmp_path).tested
    assert line.startswith("start 2 had seen test")


def test_a_study_that_learns_from_one_that_was_tested_says_so_and_hands_it_on(tmp_path: Path) -> None:
    for name, priors in (("first", []), ("second", ["first"]), ("third", ["second"])):
        if priors == ["first"]:
            opened(tmp_path, "first", **{"optim.lr": 0.09})
        with Study.open(space(name, priors=priors, starts=[]), tmp_path) as study:
            study.bind_corpus("a" * 64)
            suggestion = study.ask()
            assert suggestion is not None
            study.finish(suggestion.number, Ending("completed", {"valid/mae": 1.0}))
    assert read_study("first", tmp_path).tested == []
    (second,) = read_study("second", tmp_path).tested
    assert second.startswith(
        "study first, whose best points this one draws from, had seen test: it was opened 1"
    )
    (third,) = read_study("third", tmp_path).tested
    assert third == f"{second} (of study second, which this one draws from)"


def test_an_opening_of_before_configurations_were_written_down_is_looked_up_in_its_study(
    tmp_path: Path,
) -> None:
    with Study.open(space("old", starts=["defaults", CHOSEN]), tmp_path) as study:
        study.bind_corpus("a" * 64)
        for _ in range(2):
            suggestion = study.ask()
            assert suggestion is not None
            study.finish(suggestion.number, Ending("completed", {"valid/mae": 1.0}))
    Ledger(tmp_path / LEDGER).open(Opening("planted", "c", "d", "old", 1, [0], {}))
    (line,) = begun(space(starts=["defaults", CHOSEN]), tmp_path).tested
    assert line.startswith("start 1 had seen test")
