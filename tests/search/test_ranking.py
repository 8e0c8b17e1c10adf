"""One ranking: whatever shows, exports or acts upon the best trial means the same one."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from mmsa.errors import StudyError
from mmsa.interface import TrialCard
from mmsa.ranking import front_of, ranked
from mmsa.reports.study_report import study_report
from mmsa.results.export import export
from mmsa.results.exported import load_export
from mmsa.search.records import STANDARD_ERRORS, Ending, TrialRecord
from mmsa.search.samplers.proposals import CONSTRAINT, PastTrial, Proposals
from mmsa.search.stops import Noise
from mmsa.search.study.cards import study_card, trial_card
from mmsa.search.study.opening import best_points
from mmsa.search.study.study import Study, read_study
from mmsa.search.summary import summary_of
from mmsa.tracking.artifacts import trials_csv

LR = {"optim.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}}
BOUND = "valid/acc7 >= 0.8"
_BASE = {
    "data": {"name": "planted", "rows_train": 40, "rows_valid": 20, "rows_test": 20},
    "model": {"name": "mmim"},
    "train": {"epochs": 2, "batch_size": 20, "device": "cpu", "threads": 1},
}


def filled(study: Study, results: list[tuple[float, float]]) -> None:
    """Trials with an error and an accuracy each."""
    study.bind_corpus("digest")
    for mae, accuracy in results:
        number = study.ask().number
        study.finish(number, Ending("completed", {"valid/mae": mae, "valid/acc7": accuracy}, best_epoch=1))


def summary_text(study: Study, runs: Path) -> str:
    return summary_of(study, runs, None, Counter(), 1.0).text()


def report_text(study: Study, runs: Path) -> str:
    return study_report(study, runs).markdown()


def everywhere(study: Study, runs: Path) -> set[int]:
    """The best trial as each part of the platform has it."""
    card, cards = study_card(study), [trial_card(study, trial) for trial in study.trials()]
    rows = csv.DictReader(io.StringIO(trials_csv(card, cards)))
    first_row = next(row for row in report_text(study, runs).splitlines() if re.match(r"\| trial \d", row))
    return {
        study.best().number,
        study.completed("search")[0].number,
        study.front()[0].number,
        ranked(cards, card.directions)[0].number,
        front_of(cards, card.directions)[0].number,
        next(int(row["number"]) for row in rows if row["rank"] == "1"),
        int(first_row.split("trial ")[1].split(" ")[0]),
        int(summary_text(study, runs).split("best:     trial ")[1].split(",")[0]),
    }


def test_a_bound_that_is_edited_changes_the_best_trial_everywhere(tmp_path, make_study_config):
    results = [(0.5, 0.9), (0.2, 0.7), (0.4, 0.85)]
    with Study.open(make_study_config(LR, constraints=[BOUND], trials=3), tmp_path) as study:
        filled(study, results)
        assert everywhere(study, tmp_path) == {2}
    with Study.open(make_study_config(LR, trials=3), tmp_path) as study:  # the bound is gone: its reason, too
        assert everywhere(study, tmp_path) == {1}
        assert trial_card(study, study.trial(1)).reason == ""
    with Study.open(make_study_config(LR, constraints=["valid/acc7 >= 0.88"], trials=3), tmp_path) as study:
        assert everywhere(study, tmp_path) == {0}
        assert trial_card(study, study.trial(2)).reason == "breaks valid/acc7 >= 0.88 by 0.03"


def test_a_trial_that_is_out_of_the_space_is_the_best_nowhere(tmp_path, make_study_config):
    with Study.open(make_study_config(LR, trials=3), tmp_path) as study:
        filled(study, [(0.1, 0.9), (0.3, 0.9), (0.2, 0.9)])
        worst = study.trial(1).overrides["optim.lr"]
    narrow = {"optim.lr": {"type": "float", "low": worst * 0.999, "high": worst * 1.001, "log": True}}
    base = {"optim": {"lr": worst}}
    config = make_study_config(narrow, base={**base, **_BASE}, trials=4)
    with Study.open(config, tmp_path) as study:
        assert everywhere(study, tmp_path) == {1}


def test_the_defaults_are_the_trial_that_runs_them_now(tmp_path, make_study_config):
    before, now = ({**_BASE, "optim": {"lr": lr}} for lr in (1e-3, 2e-3))
    with Study.open(make_study_config(LR, base=before, trials=2), tmp_path) as study:
        filled(study, [(0.5, 0.9), (0.4, 0.9)])
        assert study.defaults().number == 0
    with Study.open(make_study_config(LR, base=now, trials=3), tmp_path) as study:
        assert study.defaults() is None  # trial 0 lies in the space, but is another point of it
        assert "defaults: not tried yet" in summary_text(study, tmp_path)
        assert "(defaults)" not in report_text(study, tmp_path)
        filled(study, [(0.3, 0.9)])
        assert study.defaults().number == 2
        assert "trial 2 (defaults)" in report_text(study, tmp_path)


def test_an_infeasible_best_is_said_to_be_one_and_exported_by_its_number_only(tmp_path, make_study_config):
    config = make_study_config(LR, constraints=[BOUND], trials=2)
    with Study.open(config, tmp_path) as study:
        filled(study, [(0.5, 0.75), (0.2, 0.7)])
        assert everywhere(study, tmp_path) == {0}  # that breaks it by less
        text = summary_text(study, tmp_path)
        assert "trial 0, valid/mae 0.5000; it breaks valid/acc7 >= 0.8 by 0.05" in text
        assert "--trial 0 --out" in text
        assert "every trial breaks a bound" in report_text(study, tmp_path)
        with pytest.raises(StudyError, match=r"0, breaks valid/acc7 >= 0.8 by 0.05(.|\n)*--trial 0"):
            export(study, tmp_path / "best.yaml")
        assert not (tmp_path / "best.yaml").exists()
        export(study, tmp_path / "best.yaml", trial=0)
    assert load_export(tmp_path / "best.yaml").provenance.breaks == "breaks valid/acc7 >= 0.8 by 0.05"


def test_a_bound_on_what_was_never_measured_is_not_known_to_be_kept(tmp_path, make_study_config):
    with Study.open(make_study_config(LR, trials=1), tmp_path) as study:
        filled(study, [(0.5, 0.9)])
    Study.open(make_study_config(LR, constraints=["valid/pearson >= 0.5"], trials=1), tmp_path).close()
    with pytest.raises(StudyError, match=r"valid/pearson >= 0\.5, which was not measured"):
        export(read_study("tried", tmp_path), tmp_path / "best.yaml")


def test_only_feasible_trials_are_what_a_study_knows(tmp_path, make_study_config):
    with Study.open(make_study_config(LR, constraints=[BOUND], trials=3), tmp_path) as study:
        filled(study, [(0.5, 0.75), (0.2, 0.7), (0.9, 0.9)])
        assert best_points(study) == [study.trial(2).overrides]


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.0]), st.integers(0, 3), st.booleans()), max_size=12))
def test_what_breaks_less_is_before_what_is_better(trials):
    cards = [
        TrialCard(number, "completed", {}, "", (float(value),), violation=violation, superseded=superseded)
        for number, (violation, value, superseded) in enumerate(trials)
    ]
    order = ranked(cards, ["maximize"])
    assert len(order) == sum(not superseded for *_, superseded in trials)
    keys = [(card.violation, -card.values[0], card.number) for card in order]
    assert keys == sorted(keys)


def test_the_stop_rule_takes_the_best_feasible_trial(make_study_config):
    space = make_study_config(LR).space
    trials = [
        TrialRecord(
            number,
            "completed",
            {"optim.lr": 10 ** (-4 + 3 * number / 29)},
            (0.5 + 0.001 * (number % 3),),
            notes={STANDARD_ERRORS: {"valid/mae": 0.5}},
        )
        for number in range(30)
    ]
    alluring = replace(trials[7], values=(0.1,), notes={STANDARD_ERRORS: {"valid/mae": 1e-9}})

    def said(*changed: TrialRecord) -> str:
        numbers = {trial.number for trial in changed}
        known = [*(trial for trial in trials if trial.number not in numbers), *changed]
        return Noise(Noise.Config()).reason(known, space, "valid/mae", "minimize")

    assert said(alluring) == ""  # its own error is what counts, as it is the best
    assert "less than the standard error of the best trial's, 0.5" in said(replace(alluring, violation=1.0))
    assert said(*(replace(trial, violation=1.0) for trial in trials)) == ""


def test_the_memory_of_a_sampler_keeps_what_breaks_no_bound(make_study_config):
    config = make_study_config(LR, sampler={"name": "random"})
    past = [
        PastTrial(
            number,
            {"optim.lr": 10 ** (-4 + 3 * number / 399)},
            TrialState.COMPLETE,
            [1.0 if number == 0 else 0.0],
            {},
            {CONSTRAINT + BOUND: -1.0 if number == 0 else 1.0},
        )
        for number in range(400)
    ]
    shown = Proposals(config.space, ["minimize"], config.build_sampler, 100, {}, past)._study.trials
    assert len(shown) == 100
    assert shown[0].values == [1.0]
