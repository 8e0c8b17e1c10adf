"""Commands whose output nobody takes, and folders that cannot be used."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from mmsa.cli import USER_ERROR, _Once, exit_code
from mmsa.config import parse
from mmsa.data.catalogue import DATA_SETS

CODE = """
import sys
from mmsa.cli import exit_code
def main():
    for number in range(20_000):
        print("line", number, flush=number % 100 == 0)
    print("done", file=sys.stderr)
    return 0
sys.exit(exit_code(main, prints_its_result={result}))
"""


def run(redirection: str, *, result: bool = False) -> subprocess.CompletedProcess[str]:
    """In bash; the exit code is that of the command, not of what reads it."""
    command = f'"$0" -c "$1" {redirection}; exit ${{PIPESTATUS[0]}}'
    words = ["bash", "-c", command, sys.executable, CODE.format(result=result)]
    return subprocess.run(words, capture_output=True, text=True)


@pytest.mark.parametrize("redirection", ["| head -n 1", "| true", ">&-", "> /dev/full"])
def test_a_command_goes_on_when_nobody_takes_its_output(redirection):
    ended = run(redirection)
    assert ended.returncode == 0, ended.stderr
    said = ended.stderr.splitlines()
    assert said[0] == "done"
    assert said[1:] == (
        ["note: some of the output is lost (No space left on device)"] if "full" in redirection else []
    )


def test_a_command_whose_result_is_its_output_fails_without_it():
    assert run("> /dev/full", result=True).returncode == 1
    assert run("| head -n 1", result=True).returncode == 0


def test_neither_output_can_be_written():
    assert run("> /dev/full 2> /dev/full").returncode == 0
    assert run(">&- 2>&- <&-").returncode == 0


def test_a_closed_output_is_not_taken_by_the_next_file(tmp_path):
    file = tmp_path / "file"
    code = f"""
import os
from mmsa.cli import exit_code
def main():
    with open({str(file)!r}, "w") as stream:
        os.write(1, b"for the terminal")
    return 0
exit_code(main)
"""
    subprocess.run(["bash", "-c", '"$0" -c "$1" >&-', sys.executable, code], check=True)
    assert file.read_text() == ""


def test_a_path_that_cannot_be_used_is_named_without_a_traceback(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert exit_code((tmp_path / "file" / "folder").mkdir) == USER_ERROR  # type: ignore[arg-type]
    assert capsys.readouterr().err == f"error: {tmp_path}/file/folder: Not a directory\n"
    assert exit_code((tmp_path / ("x" * 300)).mkdir) == USER_ERROR  # type: ignore[arg-type]
    assert "xxx...: File name too long" in capsys.readouterr().err


def test_a_note_on_data_is_told_once_and_others_as_often_as_they_come():
    code = (
        "import logging, sys\n"
        "from mmsa.cli import exit_code\n"
        "def main():\n"
        "    for name in ('mmsa.data', 'mmsa.data.hazards', 'mmsa.search.progress') * 2:\n"
        "        logging.getLogger(name).warning('told by %s', name)\n"
        "    return 0\n"
        "sys.exit(exit_code(main))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    assert said.count("note: told by mmsa.data.hazards\n") == said.count("note: told by mmsa.data\n") == 1
    assert said.count("note: told by mmsa.search.progress\n") == 2


def test_a_note_on_a_file_of_the_same_name_is_told_with_its_path(tmp_path, caplog):
    told = _Once()
    caplog.handler.addFilter(told)
    for folder in ("a", "a", "b", "a", "b"):
        (tmp_path / folder).mkdir(exist_ok=True)
        path = tmp_path / folder / "f.npz"
        np.savez(path, audio=np.full((4, 1), np.inf), label=np.arange(4.0), split=["train"] * 4)
        config = {"path": str(path), "modalities": ["audio"]}
        DATA_SETS["custom"](parse(DATA_SETS["custom"].Config, config, "test")).examine(("train",))
    caplog.handler.removeFilter(told)
    holes = [message for message in caplog.messages if "4 inf" in message or "inf set to 0" in message]
    first, second = holes
    assert second == f"{first} ({path})"
