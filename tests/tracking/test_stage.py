"""Finalists beside the trials of the search, in tables and rankings."""

from __future__ import annotations

from mmsa.interface import StudyCard, TrialCard
from mmsa.ranking import ranked
from mmsa.tracking.artifacts import trials_csv

STUDY = StudyCard("study", "identity", "planted", ("valid/mae",), ("minimize",), 3, "")
TRIALS = [
    TrialCard(0, "completed", {"optim.lr": 0.1}, "", (0.5,)),
    TrialCard(1, "completed", {"optim.lr": 0.2}, "", (0.7,)),
    TrialCard(2, "completed", {"optim.lr": 0.2, "train.epochs": 9}, "", (0.6,), stage="finalist"),
]


def test_a_finalist_is_ranked_before_every_trial_of_the_search():
    assert [trial.number for trial in ranked(TRIALS, STUDY.directions)] == [2, 0, 1]
    assert [trial.number for trial in ranked(TRIALS[:2], STUDY.directions)] == [0, 1]


def test_the_table_says_which_stage_a_trial_is_of():
    head, *rows = (line.split(",") for line in trials_csv(STUDY, TRIALS).splitlines())
    assert [row[head.index("stage")] for row in rows] == ["search", "search", "finalist"]
