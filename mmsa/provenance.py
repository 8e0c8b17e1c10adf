"""Which code made a result: the commit it ran from and the versions of what it ran on."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("mmsa", "torch", "numpy", "scipy", "scikit-learn", "transformers")


@cache
def git_state() -> tuple[str, bool] | None:
    """The commit that mmsa runs from, and whether files of it were changed; None for an installed package."""
    if (
        _git("ls-files", "--error-unmatch", __file__) is None
    ):  # not ours: a repository may hold the environment
        return None
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return None if commit is None or changes is None else (commit, bool(changes))


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, no shell
            ["git", "-C", str(Path(__file__).parent), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def versions() -> dict[str, str]:
    """Versions of Python and of every package that a result can depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}
