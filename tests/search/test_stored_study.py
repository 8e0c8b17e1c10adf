"""A study whose driver was killed, as an earlier commit left it: today's code continues it.

``stored_study/make.py`` made it, and let that commit continue a copy: ``trials.json`` is what became of it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mmsa.search.definition.load import load_space
from mmsa.search.execution.executor import SearchOptions, run_search
from mmsa.search.study.view import StudyView, read_study

STORED = Path(__file__).with_name("stored_study")
EXPECTED: list[dict[str, Any]] = json.loads((STORED / "trials.json").read_text(encoding="utf-8"))
RUNS = Path("runs")


def assert_as_before(study: StudyView, numbers: range) -> None:
    for number in numbers:
        trial, expected = study.trial(number), EXPECTED[number]
        assert (trial.outcome, trial.best_epoch) == (expected["outcome"], expected["best_epoch"])
        assert trial.overrides == expected["overrides"]
        assert trial.values == pytest.approx(tuple(expected["values"]), rel=1e-4)
        epochs = {str(epoch): metrics["valid/mae"] for epoch, metrics in trial.epochs.items()}
        assert epochs == pytest.approx(expected["epochs"], rel=1e-4)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(300)
def test_the_same_command_continues_it_as_that_commit_would_have(ray_session, tmp_path, monkeypatch):
    shutil.copytree(STORED, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)  # the path of the data is relative
    before = read_study("stored", RUNS)
    assert before.counts() == {"completed": 1, "pruned": 1, "running": 1}
    assert_as_before(before, range(2))
    known = max(before.trial(2).epochs)
    said: list[str] = []
    options = SearchOptions(RUNS, concurrency=1, checkpoint_seconds=0.0)
    summary = run_search(load_space("space.yaml"), options, [], said.append)
    assert said[0].startswith("study stored: continues; 2 of 4 trials have ended, 1 was interrupted")
    assert (summary.num_trials, sum(summary.launched.values())) == (4, 2)
    study = read_study("stored", RUNS)
    assert [trial.number for trial in study.trials()] == [0, 1, 2, 3]
    assert study.trial(2).notes["continued_after"] >= known
    assert_as_before(study, range(4))
