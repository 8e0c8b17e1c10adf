"""A driver may die at any moment; the next one goes on with exactly the trials that were asked."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from mmsa.errors import StudyError
from mmsa.search.records import Ending
from mmsa.search.study.study import Study, read_study

HEAD = """
import sys, time
from pathlib import Path
from mmsa.search.definition.load import load_space
from mmsa.search.records import Ending
from mmsa.search.study.study import Study

study = Study.open(load_space(sys.argv[1]), Path(sys.argv[2]))
"""
HOLD_TWO_TRIALS = f"""{HEAD}
for _ in range(3):
    suggestion = study.ask()
    study.report(suggestion.number, 1, {{"valid/mae": 1.0}}, 1.0 + suggestion.number)
study.finish(0, Ending("completed", {{"valid/mae": 1.0}}))
print("ready", flush=True)
time.sleep(60)
"""
MOST_WRITES = 32
"""That a driver which is to be killed makes, however late that comes."""
RUN = f"""{HEAD}
print("ready", flush=True)
writes = 0

def wrote():
    global writes
    writes += 1
    print(writes, flush=True)
    if writes == {MOST_WRITES}:
        time.sleep(600)

while suggestion := study.ask():
    for epoch in (1, 2, 3):
        study.report(suggestion.number, epoch, {{"valid/mae": 1.0 / epoch}}, 1.0 / epoch)
        wrote()
    study.finish(suggestion.number, Ending("completed", {{"valid/mae": 0.3}}))
    wrote()
"""


@contextmanager
def driver(code: str, space: Path, runs: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the study open."""
    command = [sys.executable, "-c", code, str(space), str(runs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def space(tmp_path, make_values) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(make_values(trials=5)), encoding="utf-8")
    return path


@pytest.mark.slow
def test_trials_of_a_killed_driver_are_adopted(tmp_path, space, make_study_config):
    config = make_study_config(trials=5)
    with driver(HOLD_TWO_TRIALS, space, tmp_path) as process:
        with pytest.raises(StudyError, match=f"process {process.pid} on .* is searching this study"):
            Study.open(config, tmp_path)
        before = {record.number: record for record in read_study("tried", tmp_path).trials()}
        process.send_signal(signal.SIGKILL)
        process.wait()
    with Study.open(config, tmp_path) as study:
        asked = [study.ask() for _ in range(4)]
        assert [(s.number, s.resume) for s in asked] == [(1, True), (2, True), (3, False), (4, False)]
        assert [s.reported for s in asked] == [{1: 2.0}, {1: 3.0}, {}, {}]
        assert [s.overrides for s in asked[:2]] == [before[number].overrides for number in (1, 2)]
        assert study.ask() is None
        for suggestion in asked:
            study.report(suggestion.number, 1, {"valid/mae": 9.0}, 9.0)
            study.report(suggestion.number, 2, {"valid/mae": 0.5}, 0.5)
            study.finish(suggestion.number, Ending("completed", {"valid/mae": 0.5}))
        assert study.counts() == {"completed": 5}
        assert study.trial(1).reported == {1: 2.0, 2: 0.5}


def begun(config, runs: Path) -> Path:
    """The journal of a study with one trial finished and one that runs."""
    with Study.open(config, runs) as study:
        study.ask()
        study.finish(0, Ending("completed", {"valid/mae": 0.5}))
        study.ask()
    return runs / "tried" / "study.journal"


@pytest.mark.parametrize("rest", [b'{"op_code":5,"work', b'{"op_code":5}', b"\xff\xfe", b"{"])
def test_a_half_written_line_is_cut_off(tmp_path, make_study_config, rest):
    config = make_study_config()
    journal = begun(config, tmp_path)
    whole = journal.read_bytes()
    journal.write_bytes(whole + rest)
    assert [record.number for record in read_study("tried", tmp_path).trials()] == [0, 1]
    assert journal.read_bytes() == whole + rest  # reading changes nothing
    with Study.open(config, tmp_path) as study:
        assert study.ask().number == 1
        study.finish(1, Ending("completed", {"valid/mae": 0.4}))
    assert journal.read_bytes().startswith(whole)
    assert [record.values for record in read_study("tried", tmp_path).trials()] == [(0.5,), (0.4,)]


def test_a_driver_that_dies_after_any_write_leaves_a_study_that_goes_on(tmp_path, make_study_config):
    config = make_study_config(trials=3)
    text = begun(config, tmp_path / "whole").read_bytes()
    identity = (tmp_path / "whole" / "tried" / "identity").read_bytes()
    for length in (0, *(newline.end() for newline in re.finditer(b"\n", text))):
        runs = tmp_path / str(length)
        (runs / "tried").mkdir(parents=True)
        (runs / "tried" / "study.journal").write_bytes(text[:length])
        (runs / "tried" / "identity").write_bytes(identity)
        with Study.open(config, runs) as study:
            while suggestion := study.ask():
                study.finish(suggestion.number, Ending("completed", {"valid/mae": 0.5}))
            assert study.counts() == {"completed": 3}
            assert study.trial(0).start == "defaults"
            assert study.trial(0).overrides == {"optim.lr": 0.001}


def test_the_lock_of_a_dead_writer_holds_up_nobody(tmp_path, make_study_config):
    config = make_study_config()
    journal = begun(config, tmp_path)
    Path(f"{journal}.lock").symlink_to(journal)
    with Study.open(config, tmp_path) as study:
        study.ask()
        assert study.finish(1, Ending("completed", {"valid/mae": 0.4})) == "completed"


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_killed_at_random_moments(tmp_path, make_values):
    trials, moments, drivers = 30, random.Random(1), 0
    space = tmp_path / "space.yaml"
    space.write_text(yaml.safe_dump(make_values(trials=trials)), encoding="utf-8")
    while not drivers or read_study("tried", tmp_path).remaining:
        with driver(RUN, space, tmp_path) as process:
            for _ in range(moments.randrange(MOST_WRITES)):  # whatever the speed of the machine
                process.stdout.readline()
            time.sleep(moments.uniform(0.0, 0.02))
            process.send_signal(signal.SIGKILL)
            process.wait()
        drivers += 1
    study = read_study("tried", tmp_path)
    assert study.counts() == {"completed": trials}
    assert [record.number for record in study.trials()] == list(range(trials))
    assert all(record.reported == {1: 1.0, 2: 0.5, 3: 1.0 / 3} for record in study.trials())
    assert drivers >= 4 * trials / MOST_WRITES
