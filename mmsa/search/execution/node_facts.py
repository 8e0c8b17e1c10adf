"""What a node says of itself. Sent to the nodes by value: one of them may have another mmsa, or none.

So nothing here may come from modules of mmsa but those that are sent along.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mmsa import extensions, provenance

SENT = (provenance, extensions)
"""Modules that this one needs on the node."""
PACKAGES = ("torch", "transformers", "numpy", "scipy", "scikit-learn")
"""What a trial's numbers depend on."""
NONCE = "driver"


@dataclass(frozen=True)
class NodeFacts:
    """One node's answer.

    Attributes:
        node: its address.
        code: fields of its ``Code``.
        versions: of ``PACKAGES``; empty for one that is not installed.
        clock: its time, in seconds since 1970.
        folder: what is wrong with the shared folder; empty if nothing.
        mark: name of a file that it left in the folder.
        unseen: paths that are not there.
        ahead: of the driver's clock, in seconds, as far as the answer's way shows it; the driver sets it.
    """

    node: str
    code: tuple[str, str, str]
    versions: Mapping[str, str]
    clock: float
    folder: str = ""
    mark: str = ""
    unseen: Sequence[str] = ()
    ahead: float = 0.0


def facts(node: str, folder: str, nonce: str, paths: Sequence[str]) -> dict[str, Any]:
    """Answer on the node; a plain dictionary, which any Python can read.

    Args:
        node: its address.
        folder: shared with the driver, which wrote ``nonce`` into its file ``NONCE``; empty for none.
        nonce: what must be read there.
        paths: that trials read.
    """
    mark = secrets.token_hex(8)
    return {
        "node": node,
        "code": provenance.found_code(),
        "versions": {name: _version(name) for name in PACKAGES},
        "clock": time.time(),
        "folder": _trouble(Path(folder), mark, nonce) if folder else "",
        "mark": mark,
        "unseen": [path for path in paths if not Path(path).exists()],
    }


def _version(name: str) -> str:
    try:
        return version(name).partition("+")[0]  # builds for CPU and CUDA of one version may work together
    except PackageNotFoundError:
        return ""


def _trouble(folder: Path, mark: str, nonce: str) -> str:
    """What is wrong with a folder when it is read, written and cleared; empty if nothing. Leaves ``mark``."""
    passing = folder / f"{mark}.gone"
    try:
        if (folder / NONCE).read_text(encoding="utf-8") != nonce:
            return "is another folder"
        for file in (passing, folder / mark):
            file.write_text(nonce, encoding="utf-8")
        if passing.read_text(encoding="utf-8") != nonce:
            return "does not keep what is written there"
        passing.unlink()
    except FileNotFoundError:
        return "is not there, or is another folder"
    except OSError as error:
        return f"cannot be used there: {error.strerror or error}"
    return ""
