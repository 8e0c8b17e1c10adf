"""The exported file: one complete configuration, and where it comes from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from mmsa.config import Block, FolderName, dump_yaml, load_yaml, parse
from mmsa.data.rows import Rows
from mmsa.errors import ConfigError, Problem
from mmsa.experiment import RunConfig


class Seen(Block):
    """The rows that a study, or one that it learned from, was trained on or chose by: digests of names."""

    rows: str
    groups: str
    """Videos or speakers."""

    def known(self) -> Rows:
        """To compare with other rows.

        Raises:
            DataError: for a file that was edited here.
        """
        return Rows.from_dict(self.model_dump())


class Provenance(Block):
    """Where a configuration comes from, and what it gave there."""

    study: FolderName
    trial: Annotated[int, Field(ge=0)]
    metric: str
    """The objective by which the trial was chosen; a valid metric."""
    value: float
    """What the trial reached: the metric of its best epoch."""
    breaks: str = ""
    """The bounds on metrics that it breaks, in words; empty where it breaks none."""
    best_epoch: int | None
    """Counted from 1."""
    seed: int
    threads: int
    """CPU threads the trial ran with, on which the last bits of its value depend."""
    corpus_digest: str
    """SHA-256 of the train and valid splits."""
    git_commit: str | None
    git_dirty: bool | None
    """Whether files of that commit had been changed."""
    versions: Mapping[str, str]
    date: str
    seen: Seen | None = None
    """The rows that cannot be test rows any more; files of before have none."""


class Exported(Block):
    """A configuration to retrain; without provenance it is somebody's own."""

    config: RunConfig
    provenance: Provenance | None = None


def save_export(exported: Exported, path: Path) -> None:
    """Write the file; a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(dump_yaml(exported.model_dump(mode="json")), encoding="utf-8")
    partial.replace(path)


def load_export(path: Path) -> Exported:
    """Read an exported file, or a plain run configuration.

    Raises:
        ConfigError: for a missing or unreadable file, unknown settings and refused values, all at once.
    """
    if not path.is_file():
        advice = "python launch/export.py --study NAME --out FILE writes one."
        raise ConfigError(str(path), [Problem("(file)", path.name, "does not exist", advice)])
    values = load_yaml(path)
    if "config" in values:
        return parse(Exported, values, str(path))
    return Exported(config=parse(RunConfig, values, str(path)))
