"""Launch scripts: overrides as YAML, errors as messages and exit codes."""

from __future__ import annotations

from argparse import ArgumentParser

import pytest

from mmsa.cli import INTERRUPTED, USER_ERROR, add_runs_argument, exit_code, overrides
from mmsa.errors import ConfigError, StudyError


def test_values_are_read_as_in_a_space_file():
    assert overrides(["optim.lr=0.01", "data.modalities=[text, audio]", "data.path=/a=b.pkl"]) == {
        "optim.lr": 0.01,
        "data.modalities": ["text", "audio"],
        "data.path": "/a=b.pkl",
    }


def test_all_wrong_assignments_are_named_at_once():
    with pytest.raises(ConfigError, match="3 problems") as caught:
        overrides(["optim.lr", "seed=1", "seed=2", "data.path=[unclosed"])
    assert [problem.path for problem in caught.value.problems] == ["--set", "--set seed", "--set data.path"]


@pytest.mark.parametrize("given", [["--runs", "s3://key:hidden@bucket/runs"], []])
def test_a_url_is_no_folder_of_runs(given, monkeypatch, capsys):
    """A folder called "s3:" would be made in the working folder, on every node its own."""
    monkeypatch.setenv("MMSA_RUNS", "gs://bucket/runs")
    parser = ArgumentParser()
    add_runs_argument(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(given)
    told = capsys.readouterr().err
    assert "Mount the bucket" in told
    assert "hidden" not in told


def test_own_errors_become_a_message_and_code_2(capsys):
    def command() -> int:
        raise StudyError("no study called mosi")

    assert exit_code(command) == USER_ERROR
    assert capsys.readouterr().err == "error: no study called mosi\n"


def test_other_errors_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        exit_code(lambda: 1 // 0)


def test_an_interrupt_is_not_an_error(capsys):
    def command() -> int:
        raise KeyboardInterrupt

    assert exit_code(command) == INTERRUPTED
    assert "interrupted" in capsys.readouterr().err
