"""What trials cost and how much a search may: counted over launches and processes, limited by budgets."""

from __future__ import annotations

import pytest

from mmsa.search.costs import SearchBudget, Share
from mmsa.search.records import Cost, Ending
from mmsa.search.study.study import Study, read_study


def test_what_a_trial_took_is_counted_over_epochs_launches_and_processes(tmp_path, make_study_config):
    config = make_study_config(trials=2)
    with Study.open(config, tmp_path) as study:
        study.share = Share(cpus=2, gpus=0.5)
        study.ask()
        study.report(0, 1, {}, 1.0, seconds=10.0)
        study.report(0, 2, {}, 1.0, seconds=25.0)
        study.report(0, 1, {}, 1.0, seconds=5.0)  # another process, from the checkpoint after epoch 0
        assert study.cost() == Cost(30.0, 60.0, 15.0)
    with Study.open(config, tmp_path) as study:
        assert study.cost() == Cost(25.0, 50.0, 12.5)  # what was not yet stored with an epoch is lost
        study.share = Share(cpus=1)
        study.ask()
        study.report(0, 3, {}, 1.0, seconds=4.0)
        study.finish(0, Ending("completed", {"valid/mae": 1.0}, seconds=6.0))
        assert study.cost() == Cost(31.0, 56.0, 12.5)
    view = read_study("tried", tmp_path)
    assert view.cost() == view.trial(0).cost == Cost(31.0, 56.0, 12.5)


@pytest.mark.parametrize(
    ("budget", "seconds", "gpu_seconds", "said"),
    [
        (SearchBudget(), 1e9, 1e9, ""),
        (SearchBudget(seconds=60.0), 59.9, 1e9, ""),
        (
            SearchBudget(seconds=60.0),
            60.0,
            0.0,
            "the time budget of this launch, 0:01:00, is spent; to continue, run the same command again",
        ),
        (SearchBudget(gpu_hours=2.0), 1e9, 7199.0, ""),
        (
            SearchBudget(gpu_hours=2.0),
            0.0,
            7200.0,
            "the study's budget of 2 GPU-hours is spent; to continue, run the same command with a larger one",
        ),
    ],
)
def test_budgets(budget, seconds, gpu_seconds, said):
    assert budget.spent(seconds, Cost(gpu_seconds=gpu_seconds)) == said


def test_costs_as_people_read_them():
    assert str(Share(cpus=2).cost(1800.0)) == "1 CPU-hours"
    assert str(Share(cpus=2, gpus=1).cost(5400.0)) == "1.5 GPU-hours and 3 CPU-hours"
