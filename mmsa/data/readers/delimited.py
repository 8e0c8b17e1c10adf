"""Tables of text: columns by the names of their header, which is stripped, read by pyarrow on all cores.

Files of clinical sets have up to 120,000 rows, one for each frame, and names with leading spaces.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.validation import first_few
from mmsa.errors import DataError, did_you_mean, shown

logger = logging.getLogger("mmsa.data")

_LONGEST_HEADER = 1 << 20  # bytes
_MISSING = ["", "nan", "NaN", "NA", "null", "None"]


def header_of(path: Path, delimiter: str) -> list[str]:
    """The names in the first line of a file, stripped.

    Raises:
        DataError: for a file that cannot be read, is empty, or has a name twice.
    """
    names = [name.strip().strip("\"'").strip() for name in _first_line(path).split(delimiter)]
    repeated = (
        sorted({name for name in names if names.count(name) > 1 and name}) if len(names) < 10_000 else []
    )
    if not any(names) or repeated:
        found = f"has the column {first_few(map(shown, repeated))} twice" if repeated else "has no header"
        raise DataError(f"{path}: {found}; its first line must name the columns, between {delimiter!r}")
    return names


def num_cells(path: Path, delimiter: str) -> int:
    """Number of cells in the first line of a file.

    Raises:
        DataError: for a file that cannot be read.
    """
    return len(_first_line(path).split(delimiter))


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.readline(_LONGEST_HEADER).decode("utf-8-sig", "replace")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def read_numbers(
    path: Path, delimiter: str, keep: Callable[[str], bool] | None = None, header: bool = True
) -> tuple[list[str], NDArray[np.float32]]:
    """The names of the kept columns, and their (T, D) numbers; empty cells are NaN.

    Args:
        path: the file.
        delimiter: between cells.
        keep: whether a column is wanted, by its stripped name; None keeps all.
        header: whether the first line names the columns; else they are called f0, f1, ....

    Raises:
        DataError: for rows of different lengths, and for cells that are no numbers.
    """
    import pyarrow

    names = header_of(path, delimiter) if header else None
    wanted = None if names is None else [name for name in names if keep is None or keep(name)]
    types = {} if wanted is None else dict.fromkeys(wanted, pyarrow.float32())
    table = _read(path, delimiter, names, types, wanted)
    found = [name for name in table.column_names if wanted is not None or keep is None or keep(name)]
    columns = [_floats(table[name], name, path) for name in found]
    values = np.empty((table.num_rows, len(columns)), np.float32)
    for position, column in enumerate(columns):
        values[:, position] = column
    return found, values


def _floats(column: Any, name: str, path: Path) -> NDArray[np.float32]:
    import pyarrow

    if not pyarrow.types.is_floating(column.type) and not pyarrow.types.is_integer(column.type):
        if column.null_count == len(column):
            return np.full(len(column), np.nan, np.float32)
        raise DataError(f"{path}: the column {shown(name)} is of type {column.type}; must be numbers")
    values: NDArray[np.float32] = column.to_numpy().astype(np.float32)
    return values


def read_texts(path: Path, delimiter: str = ",") -> dict[str, list[str]]:
    """All columns as stripped strings, by their stripped names: ids keep their leading zeros.

    Raises:
        DataError: for rows of different lengths.
    """
    import pyarrow

    names = header_of(path, delimiter)
    names = [name or f"column {position}" for position, name in enumerate(names)]
    table = _read(path, delimiter, names, dict.fromkeys(names, pyarrow.string()), None, missing=False)
    return {name: [cell.strip() for cell in table[name].to_pylist()] for name in table.column_names}


def _read(
    path: Path,
    delimiter: str,
    names: Sequence[str] | None,
    types: Mapping[str, Any],
    wanted: Sequence[str] | None,
    missing: bool = True,
) -> Any:
    from pyarrow import csv, lib

    reading = csv.ReadOptions(
        column_names=names, skip_rows=0 if names is None else 1, autogenerate_column_names=names is None
    )
    converting = csv.ConvertOptions(
        column_types=types,
        include_columns=wanted,
        null_values=_MISSING if missing else [],
        strings_can_be_null=False,
        check_utf8=True,
    )
    parsing = csv.ParseOptions(delimiter=delimiter, newlines_in_values=not missing)
    try:
        if names is not None and not _has_rows(path):  # which pyarrow takes for an empty file
            shown_names = [name for name in names if wanted is None or name in wanted]
            return lib.table([lib.array([], types[name]) for name in shown_names], shown_names)
        return csv.read_csv(path, reading, parsing, converting)
    except (lib.ArrowException, OSError, ValueError, KeyError, UnicodeError) as error:
        reason = shown(str(error).replace("CSV ", "").replace(str(path), ""), 300)
        raise DataError(
            f"{path}: is no table of cells between {delimiter!r}, or is cut short: {reason}"
        ) from None


def _has_rows(path: Path) -> bool:
    with path.open("rb") as file:
        file.readline(_LONGEST_HEADER)
        return bool(file.read(_LONGEST_HEADER).strip())


def column(table: Mapping[str, list[str]], path: Path, *names: str) -> list[str] | None:
    """The column of any of these names, whose case does not matter; None if there is none."""
    by_name = {name.lower(): name for name in table}
    found = next((by_name[name.lower()] for name in names if name.lower() in by_name), None)
    return None if found is None else table[found]


def needed(table: Mapping[str, list[str]], path: Path, *names: str) -> list[str]:
    """The same, for a column that must be there.

    Raises:
        DataError: naming the columns there are.
    """
    found = column(table, path, *names)
    if found is None:
        raise DataError(f"{path}: has no column {names[0]!r}. {did_you_mean(names[0], table)}")
    return found


def as_numbers(cells: Sequence[str], path: Path, what: str) -> NDArray[np.float64]:
    """(N,) numbers of cells; empty ones are NaN.

    Raises:
        DataError: for cells that are neither.
    """
    values, wrong = np.full(len(cells), np.nan), []
    for row, cell in enumerate(cells):
        if cell in _MISSING:
            continue
        try:
            values[row] = float(cell)
        except ValueError:
            wrong.append(f"{shown(cell)} in row {row + 1}")
    if wrong:
        raise DataError(f"{path}: {what}: {first_few(wrong)}; must be numbers")
    return values
