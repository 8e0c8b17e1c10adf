"""Readers of pickles: what their content is, and which project writes such content.

All pickles begin alike, and a file of gigabytes is parsed once: ``layout: auto`` reads any pickle as
``pickle``, which parses it, looks at its outermost containers, and hands it to the reader of its layout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mmsa.data.corpus import Outline, Split, SplitName
from mmsa.data.readers.base import LAYOUTS, FileConfig, Reader, split_of
from mmsa.data.readers.columns import ColumnsReader
from mmsa.data.target_spec import TargetSpec
from mmsa.data.unpickling import load
from mmsa.errors import DataError

PICKLES = (".pkl", ".pickle", ".p")
_TUPLES = {3: "mag_bert", 4: "misa", 6: "mmim"}
"""Layouts of lists of rows, by the number of items in the first part of a row."""
_UNKNOWN = "mmsa"  # whose reader says what it found and which layouts there are


class PickledReader(ColumnsReader):
    """Base of the readers of pickles.

    Args:
        path: a file, or a folder with one pickle for each split.
        config: what of it is read, and how.
        content: of the file, where somebody has parsed it already.
    """

    def __init__(self, path: Path, config: FileConfig, content: Any = None):
        super().__init__(path, config)
        self._given = content

    @cached_property
    def content(self) -> Any:
        """What the pickle holds; of a folder, a dict of what the pickle of each split holds."""
        return content_of(self.path) if self._given is None else self._given


def content_of(path: Path) -> Any:
    """The content of a pickle, or of the pickles in a folder by the split that each is named after.

    Raises:
        DataError: for what is no pickle, and for a folder without any.
    """
    if not path.is_dir():
        return load(path)
    files = split_pickles(path)
    if not files:
        raise DataError(f"{path}: has no pickle of a split, such as train.pkl and dev.pkl")
    return {name: load(file) for name, file in files.items()}


def split_pickles(folder: Path) -> Mapping[str, Path]:
    """The pickles in a folder that bear the name of a split, by that name."""
    return {
        file.stem: file
        for file in sorted(folder.iterdir())
        if file.suffix in PICKLES and split_of(file.stem) and file.is_file()
    }


class AnyPickleReader(Reader):
    """Reader of a pickle whose content says which layout it has."""

    def read(self, splits: Sequence[SplitName]) -> dict[SplitName, Split]:
        """Read the named splits."""
        return self._reader.read(splits)

    def outlines(self) -> dict[SplitName, Outline]:
        """Outlines of all splits of the file."""
        return self._reader.outlines()

    def targets(self) -> tuple[TargetSpec, ...]:
        """The targets of the file, the primary one first."""
        return self._reader.targets()

    def layout(self) -> str:
        """The layout of the content."""
        return self._reader.layout()

    @cached_property
    def _reader(self) -> Reader:
        content = content_of(self.path)
        reader: Any = LAYOUTS[layout_in(content)]
        opened: Reader = reader(self.path, self.config, content)
        return opened


def layout_in(content: Any) -> str:
    """The layout of the content of a pickle, as far as its outermost containers tell."""
    if isinstance(content, dict):
        tables = [table for name, table in content.items() if split_of(name)]
        table = tables[0] if tables else None
        if isinstance(table, list):
            return _layout_of_rows(table)
        if isinstance(table, dict) and "labels" in table and "regression_labels" not in table:
            return "mult"
        return _UNKNOWN
    if isinstance(content, list):
        # GCNet's files are lists of dicts and sets, with one for each kind of content.
        if len(content) in (6, 7) and all(isinstance(part, dict) for part in content[:4]):
            return "gcnet"
        return _layout_of_rows(content)
    return "poria" if isinstance(content, tuple) and len(content) == 7 else _UNKNOWN


def _layout_of_rows(rows: list[Any]) -> str:
    row = rows[0] if rows else None
    inner = row[0] if isinstance(row, (tuple, list)) and row else None
    return _TUPLES.get(len(inner), _UNKNOWN) if isinstance(inner, (tuple, list)) else _UNKNOWN
