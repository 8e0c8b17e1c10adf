"""Settings of data of one's own: which array or column is what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from mmsa.config import refuse
from mmsa.data.readers.base import TABLES, FileConfig
from mmsa.data.target_config import TargetConfig
from mmsa.data.validation import first_few
from mmsa.errors import DataError

Part = Literal["text", "audio", "vision", "interviewer"]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Names = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=500)], ...],
    BeforeValidator(_listed),
    Field(strict=False, min_length=1),
]


class CustomTarget(TargetConfig):
    """One target, and where its values are."""

    column: Names | None = None
    """Array or column of its values; null is the one of the target's own name. ``multilabel`` may name one
    column for each class."""


class CustomFileConfig(FileConfig):
    """Which array or column of a file of one's own is what."""

    id: str | None = None
    """Array or column of unique names; null is ``id``, or else the number of the row."""
    groups: str | None = None
    """Array or column of the video, speaker or participant of a row; null is ``video_id`` or ``group``, or
    else each row is a group of its own."""

    arrays: Mapping[Part, Names] = {}
    """Where text, audio and vision are, if not under their own names; ``{id}`` stands for the id of a row in
    names of files. Several names of text are read one after the other. ``interviewer`` is what others said,
    which is only checked."""
    targets: Mapping[str, CustomTarget] = {}
    """What can be predicted, the primary target first; without any it is ``label``, a number."""

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        for name in self.targets:
            if not name.strip() or "/" in name or not name.isprintable() or len(name) > 100:
                rule = "must be a name that can be printed, without '/', of at most 100 characters"
                raise refuse(name, rule, at=("targets", name))
        for part in ("audio", "vision", "interviewer"):
            if len(names := self.arrays.get(part, ("one",))) > 1:
                rule = "must be one array; only text may have several sources"
                raise refuse(list(names), rule, at=("arrays", part))
        for name, target in self.targets.items():
            if target.column is not None and len(target.column) not in (1, len(target.classes)):
                rule = f"must be one column, or one for each of {len(target.classes)} classes"
                raise refuse(list(target.column), rule, at=("targets", name, "column"))
        return self


def table_file(path: Path) -> Path:
    """The file that lists the rows: ``path`` itself, or the only table in a folder.

    Raises:
        DataError: for a folder without one, or with several.
    """
    if not path.is_dir():
        return path
    tables = sorted(file for file in path.iterdir() if file.suffix.lower() in TABLES and file.is_file())
    if len(tables) == 1:
        return tables[0]
    found = first_few(file.name for file in tables) or "none"
    raise DataError(
        f"{path}: must hold one table ({', '.join(TABLES)}) with a row for each id; it has {found}"
    )


def is_custom(path: Path) -> bool:
    """Whether a file or folder is of a layout that this reader knows."""
    if path.is_dir():
        return sum(file.suffix.lower() in TABLES for file in path.iterdir()) == 1
    return format_of(path) != ""


def format_of(path: Path) -> Literal["npz", "safetensors", "parquet", "csv", ""]:
    """The format of a file, by its first bytes, and of text by its name; empty for another one."""
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"PK"):
        return "npz"
    if start.startswith(b"PAR1"):
        return "parquet"
    # Eight bytes of a length, and a JSON object of that length.
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:
        return "safetensors"
    return "csv" if path.suffix.lower() in TABLES else ""
