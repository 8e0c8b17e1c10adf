"""A study whose driver was killed, as an earlier commit left it: today's code goes on with it.

``stored_study/make.py`` says how it was made, and by which commit ``trials.json`` was.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mmsa.search.definition.load import load_space
from mmsa.search.study.view import StudyView, read_study

STORED = Path(__file__).with_name("stored_study")
EXPECTED: list[dict[str, Any]] = json.loads((STORED / "trials.json").read_text(encoding="utf-8"))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The study in a folder of its own, which is the working folder: the data's path is relative to it."""
    shutil.copytree(STORED, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return Path("runs")


def assert_as_before(study: StudyView, numbers: range) -> None:
    for number in numbers:
        trial, expected = study.trial(number), EXPECTED[number]
        assert trial.outcome == expected["outcome"]
        assert trial.overrides == expected["overrides"]
        assert trial.values == pytest.approx(expected["values"], rel=1e-4)
        assert trial.best_epoch == expected["best_epoch"]
        epochs = {str(epoch): metrics["valid/mae"] for epoch, metrics in trial.epochs.items()}
        assert epochs == pytest.approx(expected["epochs"], rel=1e-4)


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_a_study_of_an_earlier_commit_is_continued_as_that_commit_would_have(runs, launch_for_module):
    before = read_study("stored", runs)
    assert before.counts() == {"completed": 1, "pruned": 1, "running": 1}
    assert_as_before(before, range(2))
    told = before.trial(2).epochs
    launched = launch_for_module(
        load_space("space.yaml"), runs=runs, cpus=1, concurrency=1, checkpoint_seconds=0.0
    )
    study = read_study("stored", runs)
    assert launched.said[0].startswith(
        "study stored: continues; 2 of 4 trials have ended, 1 were interrupted"
    )
    assert [trial.number for trial in study.trials()] == list(range(4))
    assert study.trial(2).notes["continued_after"] >= max(told)
    assert_as_before(study, range(4))
