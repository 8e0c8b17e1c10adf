"""Trials that wait at a rung: in the study, for the sampler, over the death of a driver, on a real Ray."""

from __future__ import annotations

from typing import Any

import pytest

from mmsa.data import open_corpus
from mmsa.search.corpora import Corpora
from mmsa.search.execution.callback import StudyCallback
from mmsa.search.execution.stop_request import StopRequest
from mmsa.search.execution.trial import CHECKPOINT, Assignment, TrialRun, WorkerContext
from mmsa.search.execution.tune import StudySearcher, scheduler_of
from mmsa.search.study.study import Study

pytestmark = pytest.mark.slow

HALVING = {"name": "halving", "grace": 1, "reduction": 2}


def base(epochs: int) -> dict[str, Any]:
    train = {"epochs": epochs, "batch_size": 20, "device": "cpu", "threads": 1}
    return {"model": {"name": "late_fusion"}, "train": train}


class NoLimit:
    """Of memory."""

    count = 99


def reported(study: Study, number: int, epochs: range, value: float) -> None:
    for epoch in epochs:
        study.report(number, epoch, {"valid/mae": value / epoch}, value / epoch, seconds=float(epoch))


@pytest.fixture
def config(make_study_config) -> Any:
    return make_study_config(base=base(epochs=8), scheduler=HALVING, trials=4)


def test_a_paused_trial_is_handed_out_only_when_it_is_resumed(tmp_path, config):
    with Study.open(config, tmp_path) as study:
        number = study.ask().number
        reported(study, number, range(1, 2), 1.0)
        study.pause(number)
        assert [study.ask().number for _ in range(3)] == [1, 2, 3]
        assert study.ask() is None
        again = study.resume(number)
        assert (again.number, again.resume, again.reported) == (number, True, {1: 1.0})


def test_the_sampler_takes_a_paused_trial_for_pruned_until_it_has_ended(tmp_path, config):
    with Study.open(config, tmp_path) as study:
        number = study.ask().number
        reported(study, number, range(1, 2), 1.0)
        study.pause(number)
        seen = study._sampling.proposals._study.trials[number]
        assert (seen.state.name, seen.intermediate_values) == ("PRUNED", {1: 1.0})
        study.resume(number)
        reported(study, number, range(2, 9), 1.0)
        study.finish(number, study.ending_of_paused(number, "x"))
        assert study._sampling.proposals._study.trials[number].last_step == 8


def test_the_ending_of_a_paused_trial_is_its_best_epoch_so_far_and_costs_nothing_more(tmp_path, config):
    with Study.open(config, tmp_path) as study:
        number = study.ask().number
        reported(study, number, range(1, 3), 1.0)
        study.pause(number)
        study.finish(number, study.ending_of_paused(number, "waited in vain"))
        trial = study.trial(number)
        assert (trial.outcome, trial.reason, trial.best_epoch) == ("pruned", "waited in vain", 2)
        assert trial.metrics["valid/mae"] == 0.5
        assert trial.cost.seconds == study.cost().seconds == 2.0


def test_the_next_driver_pauses_what_waits_and_adopts_what_ran(tmp_path, config):
    with Study.open(config, tmp_path) as study:
        for number, epochs in enumerate([3, 1, 2]):
            assert study.ask().number == number
            reported(study, number, range(1, epochs + 1), 1.0 + number)
    with Study.open(config, tmp_path) as study:
        scheduler = scheduler_of(study, "search")
        assert scheduler.paused == {1: 1, 2: 2}
        assert (study.ask().number, study.ask().number) == (0, 3)


def test_at_the_end_what_was_never_promoted_is_pruned(tmp_path, config, witness):
    with Study.open(config, tmp_path) as study:
        study.ask()
        number = study.ask().number
        reported(study, number, range(1, 2), 9.0)
        study.pause(number)
        scheduler = scheduler_of(study, "search")
        StudyCallback(study, scheduler, NoLimit(), [witness], StopRequest()).end_paused()
        assert study.trial(number).outcome == "pruned"
        assert scheduler.paused == {}
    told = [(event, number) for event, number, *_ in witness.events]
    assert told == [("trial_started", 1), ("trial_epoch", 1), ("trial_finished", 1)]


def test_the_searcher_waits_for_reports_that_may_promote(tmp_path, config):
    with Study.open(config, tmp_path) as study:
        searcher = StudySearcher(
            study, "search", scheduler_of(study, "search"), NoLimit(), StopRequest(), list
        )
        assert [searcher.suggest(str(n))["assignment"].number for n in range(4)] == [0, 1, 2, 3]
        assert searcher.suggest("one too many") is None


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_promoting_halving_on_a_real_ray(launch, make_study_config):
    """One trial at a time: all pause at rungs, few go on from their checkpoints, nothing waits at the end."""
    config = make_study_config(base=base(epochs=6), scheduler=HALVING, trials=8)
    launched = launch(config, concurrency=1)
    trials = launched.study.trials()
    assert {trial.outcome for trial in trials} == {"completed", "pruned"}
    assert trials[0].outcome == "completed"
    promoted = [trial for trial in trials[1:] if len(trial.epochs) > 1]
    assert any(trial.outcome == "completed" for trial in promoted)
    assert all(trial.notes["continued_after"] in (1, 2, 4) for trial in promoted if trial.notes)
    for trial in trials:
        assert list(trial.epochs) == list(range(1, len(trial.epochs) + 1))
        assert trial.outcome == "completed" or len(trial.epochs) in (1, 2, 4)
    assert sum(len(trial.epochs) for trial in trials) < 0.6 * 8 * 6
    folder = launched.summary.runs / "tried" / "trials"
    best = launched.summary.best.number
    assert [path.parent.name for path in folder.glob(f"*/{CHECKPOINT}")] == [str(best)]


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_promoting_halving_goes_on_after_an_interruption(launch, make_study_config):
    config = make_study_config(base=base(epochs=6), scheduler=HALVING, trials=6)
    first = launch(config, concurrency=1, trials="3")
    assert {trial.outcome for trial in first.study.trials()} == {"completed", "pruned"}
    second = launch(config, concurrency=1, trials="6")
    assert second.summary.counts.total() == 6
    assert "running" not in second.study.counts()


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_driver_that_died_before_a_rung_was_reported_skips_none(
    launch, make_study_config, witness, tmp_path
):
    scheduler = {**HALVING, "reduction": 3}  # so that a rung with two trials lets none go on
    config = make_study_config(base=base(epochs=4), scheduler=scheduler, trials=3)
    with Study.open(config, tmp_path / "runs") as study:
        study.ask()
        given = study.ask()
        corpus, cache, folder = open_corpus(config.base.data), tmp_path / "cache", study.trial_folder(1)
        context = WorkerContext(config.base, "valid/mae", cache, 0.0, tmp_path)
        assignment = Assignment(1, study.trial_config(given), {}, folder)
        run = TrialRun(assignment, context, Corpora(corpus, corpus, config.base, cache))
        epoch = run.advance()
        run.close()
    launched = launch(config, witness, concurrency=1)
    first, second, *_ = [event for event in witness.events if event[1:2] == (1,)][1:]
    assert (first[:3], second) == (("trial_epoch", 1, 1), ("trial_paused", 1))
    assert launched.study.trial(1).reported[1] == epoch.metrics["valid/mae"]
