"""The scripts of ``launch/`` inside the test process: a process of their own takes seconds to load torch."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[1] / "launch"


def launched(monkeypatch: pytest.MonkeyPatch, script: str, *arguments: str) -> int:
    """The exit code of a script; what is not told as an error of the user's is raised."""
    with monkeypatch.context() as patched:
        patched.setattr(sys, "argv", [script, *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(LAUNCH / script), run_name="__main__")
    return int(ended.value.code or 0)
