"""The user's own command, on a generated file in the layout of MMSA, from anywhere."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from launched import LAUNCH, launched

from mmsa.search.study.view import read_study


def search(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(LAUNCH / "search.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.ray
@pytest.mark.shipped
@pytest.mark.timeout(600)
def test_mosei_runs_to_the_end_and_test_is_nowhere(tmp_path, write_mmsa_pickle, tiny_encoder):
    data = tmp_path / "unaligned_50.pkl"
    write_mmsa_pickle(data, rows={"train": 40, "valid": 20, "test": 20}, steps=(5, 9, 12), change=_text_only)
    done = search(
        tmp_path,
        *("--space", "mosei.yaml", "--trials", "2", "--concurrency", "1", "--references", "constant"),
        *("--set", f"data.path={data}", "--set", f"model.text.path={tiny_encoder}"),
        *("--set", "model.text.max_length=20", "--set", "train.epochs=2"),
    )
    assert done.returncode == 0, done.stderr
    (note,) = done.stderr.splitlines()  # and nothing from Ray, Optuna or MLflow
    assert "not one of the published files" in note
    lines = done.stdout.splitlines()
    assert lines[0] == "study mosei: 11 trials"  # and eight finalists and the defaults, at most
    (defaults,) = [line for line in lines if line.startswith("defaults: trial 0, valid/mae")]
    assert "; as a finalist trial " in defaults
    assert any("rank correlation of the search with its 2 finalists" in line for line in lines)
    assert "  python launch/export.py --study mosei --out mosei-best.yaml" in lines
    assert any(line.startswith("  mlflow ui --backend-store-uri sqlite:///") for line in lines)

    study = read_study("mosei", tmp_path / "runs")
    assert [trial.stage for trial in study.trials()] == ["search"] * 2 + ["finalist"] * 2
    assert {trial.outcome for trial in study.trials()} == {"completed"}
    with closing(sqlite3.connect(tmp_path / "runs" / "mlflow.db")) as mirror:
        names = {name for (name,) in mirror.execute("SELECT DISTINCT key FROM metrics")}
    names |= {name for trial in study.trials() for epoch in trial.epochs.values() for name in epoch}
    assert "valid/mae" in names
    assert not any(name.startswith("test/") for name in names)


def _text_only(content: dict) -> None:
    for split in content.values():
        del split["text_bert"]  # of another tokenizer than the tiny encoder's


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """What the command says of arguments that it refuses, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        assert launched(monkeypatch, "search.py", *arguments) == 2
        return capsys.readouterr().err

    return run


def test_a_missing_file_is_named_with_where_to_ask_for_it(tmp_path, monkeypatch, refused):
    monkeypatch.setenv("MMSA_DATA", str(tmp_path))
    said = refused("--space", "mosei.yaml", "--no-mlflow")
    assert said.startswith(f"error: {tmp_path}/MOSEI/unaligned_50.pkl")
    assert "thuiar/MMSA" in said
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_touches_no_study(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert launched(monkeypatch, "search.py", "--space", "demo", "--dry-run", "--set", "train.epochs=5") == 0
    assert "epochs: 5" in capsys.readouterr().out
    assert not list(tmp_path.rglob("study.journal"))


def test_all_problems_of_a_command_are_told(refused):
    said = refused("--space", "demo", "--set", "optim.lrr=0.1", "--set", "train.epochs=none")
    assert "2 problems" in said
    assert "Did you mean 'lr'?" in said
