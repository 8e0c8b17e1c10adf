"""What every benchmark leaves behind: ``results/<name>.json``, written by the script and never by hand."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Literal

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One measured number.

    goal: what was aimed for, None without an aim. reference: what it is compared with.
    """

    value: float
    unit: str
    reference: str
    goal: float | None = None
    better: Literal["lower", "higher"] = "lower"


def record(name: str, figures: Mapping[str, Figure], replaces: str | None = None) -> Path:
    """Put ``figures`` into ``results/<name>.json``.

    Figures of other keys stay, but for those that begin with ``replaces``: a script that measures all of a
    family anew leaves nothing of an earlier version of it.
    """
    path = RESULTS / f"{name}.json"
    known = json.loads(path.read_text(encoding="utf-8"))["figures"] if path.exists() else {}
    if replaces is not None:
        known = {key: figure for key, figure in known.items() if not key.startswith(replaces)}
    report = {
        "command": " ".join(["python", Path(sys.argv[0]).as_posix(), *sys.argv[1:]]),
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.system()}",
        "figures": dict(sorted({**known, **{key: asdict(value) for key, value in figures.items()}}.items())),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
    return path
