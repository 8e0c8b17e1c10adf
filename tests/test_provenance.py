from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import mmsa.provenance
from mmsa.provenance import git_state, versions


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that mmsa seems to run from."""
    monkeypatch.setattr(mmsa.provenance, "__file__", str(tmp_path / "provenance.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    git_state.cache_clear()
    yield tmp_path
    git_state.cache_clear()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_commit_and_changes(tree: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", "-C", str(tree), *identity, *arguments], check=True, capture_output=True)

    git("init")
    (tree / "provenance.py").write_text("one")
    assert git_state() is None  # a repository around mmsa that does not hold it
    git_state.cache_clear()
    git("add", "provenance.py")
    git("commit", "-m", "one")
    state = git_state()
    assert state is not None
    assert len(state[0]) == 40
    assert state[1] is False
    (tree / "provenance.py").write_text("two")
    git_state.cache_clear()
    assert git_state() == (state[0], True)


def test_outside_of_a_working_tree(tree: Path) -> None:
    assert git_state() is None


def test_versions_name_what_computes() -> None:
    assert versions()["torch"] == torch.__version__
