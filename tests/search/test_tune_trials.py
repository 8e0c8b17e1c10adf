"""What Ray Tune is given for the trials of a study."""

from __future__ import annotations

import pytest
from handing import ROOM, Handing
from ray import tune
from ray.tune.experiment import Experiment, Trial
from ray.tune.search import Searcher

from mmsa.search.execution.tune import LONGEST_START, TuneScheduler
from mmsa.search.execution.tune_trials import StudyTrials
from mmsa.search.schedulers import NoScheduler


class Idle(tune.Trainable):
    """Never runs."""


@pytest.fixture
def make_trials(tmp_path):
    def make(searcher: Searcher, most: int) -> StudyTrials:
        trials = StudyTrials(searcher, most)
        experiment = Experiment(
            "tune",
            Idle,
            num_samples=100,
            resources_per_trial=ROOM,
            storage_path=str(tmp_path),
            trial_name_creator=lambda trial: f"trial-{trial.config['assignment'].number}",
            max_failures=0,
        )
        trials.add_configurations([experiment])
        return trials

    return make


def test_a_trial_has_its_assignment_its_room_and_its_class(make_trials):
    trial = make_trials(Handing(7), 1).next_trial()
    trial.create_placement_group_factory()
    assert (str(trial), trial.config["assignment"].number, trial.max_failures) == ("trial-7", 7, 0)
    assert (trial.placement_group_factory, trial.get_trainable_cls()) == (ROOM, Idle)
    assert trial.status == trial.PENDING


def test_no_more_trials_than_there_is_room_for(make_trials):
    trials = make_trials(Handing(0, 1, 2), 2)
    first, second = trials.next_trial(), trials.next_trial()
    assert trials.next_trial() is None
    trials.on_trial_complete(first.trial_id)
    third = trials.next_trial()
    assert [trial.config["assignment"].number for trial in (first, second, third)] == [0, 1, 2]
    assert not trials.is_finished()


def test_it_waits_where_there_is_none_yet_and_ends_where_there_are_none(make_trials):
    trials = make_trials(Handing(0, None, 1), 4)
    trials.next_trial()
    assert trials.next_trial() is None
    assert not trials.is_finished()
    assert trials.next_trial().config["assignment"].number == 1
    assert trials.next_trial() is None
    assert trials.is_finished()


def test_what_tune_writes_of_a_trial_does_not_grow_with_it(make_trials, tmp_path):
    trial = make_trials(Handing(0), 1).next_trial()
    trial.update_last_result({"report": "long", "epoch": 1})
    assert trial.get_json_state() == ("{}", "{}")


def test_a_trial_whose_process_does_not_come_gets_one_that_is_free():
    now = 0.0
    scheduler = TuneScheduler(NoScheduler(NoScheduler.Config(), 1, "minimize"), lambda: now)
    first, second = (Trial("any", stub=True) for _ in range(2))
    for trial in (first, second):
        scheduler.on_trial_add(None, trial)
    assert scheduler.choose_trial_to_run(None) is None
    now = LONGEST_START
    assert scheduler.choose_trial_to_run(None) is first
    first.status = Trial.RUNNING
    assert scheduler.choose_trial_to_run(None) is second
    second.status = Trial.TERMINATED
    assert scheduler.choose_trial_to_run(None) is None
