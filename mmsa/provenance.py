"""Provenance of results: the code that ran, its commit, and the versions of the packages it ran on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from mmsa.extensions import find_extensions

_PACKAGES = ("mmsa", "torch", "numpy", "scipy", "scikit-learn", "transformers")
_FIND = "import importlib.util; spec = importlib.util.find_spec('mmsa'); print(spec.origin if spec else '')"


@dataclass(frozen=True)
class Code:
    """The copy of mmsa that a process runs, and the packages that extend it.

    Attributes:
        path: of its folder.
        digest: of its files, the same wherever they lie.
        extensions: names, versions and digests of these packages; empty without any.
    """

    path: str
    digest: str
    extensions: str = ""

    def __str__(self) -> str:
        extended = f", extended by {self.extensions}" if self.extensions else ""
        return f"{self.path} (digest {self.digest[:12]}){extended}"


@cache
def running_code() -> Code:
    """The code of this process, as it was on disk at the first call."""
    folder = Path(__file__).parent
    return Code(str(folder), digest_of(folder), _extensions_in_words())


def found_code() -> tuple[str, str, str]:
    """The fields of the ``Code`` that this Python would run, without importing it; else empty."""
    spec = find_spec("mmsa")
    if spec is None or spec.origin is None:
        return "", "", ""
    folder = Path(spec.origin).parent
    return str(folder), digest_of(folder), _extensions_in_words()


def _extensions_in_words() -> str:
    modules: dict[tuple[str, str], set[str]] = {}
    for extension in find_extensions():
        modules.setdefault((extension.package, extension.version), set()).add(extension.module)
    return ", ".join(
        f"{package} {version} (digest {'-'.join(map(_digest_of_module, sorted(names)))})"
        for (package, version), names in sorted(modules.items())
    )


def _digest_of_module(name: str) -> str:
    """The first digits of the digest of a top-level module or package, which is not imported."""
    spec = find_spec(name)
    if spec is None:
        return "none"
    where = [*(spec.submodule_search_locations or ()), *([spec.origin] if spec.origin else [])]
    return digest_of(Path(where[0]))[:12]


def digest_of(path: Path) -> str:
    """Digest of the names and contents of all Python files below ``path``, or of one file."""
    digest = blake2b(digest_size=16)
    folder, files = (path, sorted(path.rglob("*.py"))) if path.is_dir() else (path.parent, [path])
    for file in files:
        digest.update(blake2b(str(file.relative_to(folder)).encode()).digest())
        digest.update(blake2b(file.read_bytes()).digest())
    return digest.hexdigest()


@cache
def python_path() -> str:
    """The ``PYTHONPATH`` with which another Python runs the code of this process from any folder."""
    given = os.environ.get("PYTHONPATH", "")
    entries = [str(Path(entry).absolute()) for entry in given.split(os.pathsep)] if given else []
    command = [sys.executable, "-P", "-c", _FIND]  # -P: not what lies in the folder it is started in
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entries)}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    folder = Path(__file__).parent
    if Path(found.stdout.strip()).parent != folder:  # a Python that was started with -m or -c in its folder
        entries.insert(0, str(folder.parent))
    return os.pathsep.join(entries)


@cache
def git_state() -> tuple[str, bool] | None:
    """The commit that mmsa runs from, and whether tracked files were changed; None if it is installed."""
    # An installed package may lie in somebody's repository too, but is not tracked by it.
    if _git("ls-files", "--error-unmatch", __file__) is None:
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
    """Versions of Python and of all packages that a result can depend on."""
    extensions = {extension.package: extension.version for extension in find_extensions()}
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}, **extensions}
