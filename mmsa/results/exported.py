"""The exported file: one complete configuration and its provenance."""

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
    """Digests of the rows that a study, or one that it learned from, trained on or selected by."""

    rows: str
    """As ``RowSet.text`` writes them."""
    groups: str
    """Their videos or speakers, likewise."""

    def known(self) -> Rows:
        """The rows, to compare with others.

        Raises:
            DataError: for text that ``RowSet.text`` never gives, as in a file that was edited.
        """
        return Rows.from_dict(self.model_dump())


class Provenance(Block):
    """The study and the trial that a configuration comes from, and the value it reached there."""

    study: FolderName
    trial: Annotated[int, Field(ge=0)]
    metric: str
    """The first objective of the study, a metric of the valid split."""
    value: float
    """That metric at the best epoch of the trial."""
    breaks: str = ""
    """The bounds on metrics that the trial breaks, in words; empty where it breaks none."""
    tested: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """What the study began with that had seen test, in words; older files have none."""
    best_epoch: int | None
    """Counted from 1."""
    seed: int
    threads: int
    """CPU threads of the trial; the last bits of its value depend on them."""
    corpus_digest: str
    """SHA-256 of the train and valid splits."""
    git_commit: str | None
    git_dirty: bool | None
    """Whether tracked files were changed."""
    versions: Mapping[str, str]
    date: str
    seen: Seen | None = None
    """Rows that cannot be test rows of this configuration; older files have none."""


class Exported(Block):
    """A configuration to retrain; without provenance it was written by hand."""

    config: RunConfig
    provenance: Provenance | None = None


def save_export(exported: Exported, path: Path) -> None:
    """Write the file in one step: a reader sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")  # beside it: a rename is atomic on one disk only
    partial.write_text(dump_yaml(exported.model_dump(mode="json")), encoding="utf-8")
    partial.replace(path)


def load_export(path: Path) -> Exported:
    """Read an exported file, or a plain run configuration.

    Raises:
        ConfigError: for a missing or unreadable file; listing all unknown settings and refused values.
    """
    if not path.is_file():
        advice = "python launch/export.py --study NAME --out FILE writes one."
        raise ConfigError(str(path), [Problem("(file)", path.name, "does not exist", advice)])
    values = load_yaml(path)
    if "config" in values:
        return parse(Exported, values, str(path))
    return Exported(config=parse(RunConfig, values, str(path)))
