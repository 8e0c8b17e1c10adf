"""Csv and Parquet tables, with the features of rows in columns or in npy files beside them.

Shapes: N rows, L frames of all rows, T steps, D features.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data import budget
from mmsa.data.corpus import Features
from mmsa.data.custom import format_of
from mmsa.data.custom_tables import (
    LENGTHS,
    ArrayTable,
    Chosen,
    ColumnTable,
    Kind,
    float32,
    no_features,
    offsets_of,
)
from mmsa.data.readers.base import strings
from mmsa.data.readers.npy import Header, read_header, read_rows
from mmsa.data.validation import finite_features, first_few
from mmsa.errors import DataError, shown


class Folder:
    """Npy files beside a table: ``<name>.npy`` of all rows, or one for each row.

    Args:
        folder: that no file may lie outside of.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._known: dict[str, Header] = {}

    def holds(self, name: str) -> bool:
        """Whether there are files for a column of this name."""
        return "{" in name or self._inside(f"{name}.npy").is_file() or self._inside(name).is_dir()

    def whole(self, name: str) -> Path | None:
        """The file of all rows, if that is how they lie.

        Raises:
            DataError: where files of single rows lie beside it.
        """
        path, single = self._inside(f"{name}.npy"), self._inside(name)
        if "{" in name or not path.is_file():
            return None
        if single.is_dir() and any(single.glob("*.npy")):
            raise DataError(
                f"{path} has all rows of {shown(name)}, and {single}/ has files of single rows; remove one "
                f"of them, or name the latter by their pattern, {shown(name + '/{id}.npy')}, in data.arrays"
            )
        return path

    def of_row(self, name: str, row_id: str) -> Path | None:
        """The file of a row; None where it lacks the modality."""
        path = self._inside(self._pattern(name).replace("{id}", row_id))
        return path if path.is_file() else None

    def sought(self, name: str, ids: NDArray[np.str_]) -> str:
        """Where the file of the first row would lie."""
        return shown(self._pattern(name).replace("{id}", str(ids[0])) if len(ids) else self._pattern(name))

    def _pattern(self, name: str) -> str:
        return name if "{" in name else f"{name}/{{id}}.npy"

    def named(self, name: str) -> Path | None:
        """The file that a table names, of which an empty name is none.

        Raises:
            DataError: for a file that is not there.
        """
        if not name:
            return None
        path = self._inside(name)
        if not path.is_file():
            raise DataError(f"{path}: is named by the table, and there is no such file")
        return path

    def header(self, path: Path) -> Header:
        """Header of an npy file.

        Raises:
            DataError: for anything but numbers.
        """
        key = str(path)
        if key not in self._known:
            self._known[key] = self._opened(path, lambda stream, header: header)
        return self._known[key]

    def values(self, path: Path, chosen_N: Chosen | None = None) -> NDArray[Any]:
        """Content of an npy file, or chosen rows of it."""
        values: NDArray[Any] = self._opened(path, lambda stream, header: read_rows(stream, header, chosen_N))
        return values

    def _opened(self, path: Path, use: Callable[[Any, Header], Any]) -> Any:
        try:
            with path.open("rb") as stream:
                header = read_header(stream, path.stat().st_size)
                if not header.holds_numbers or not 1 <= len(header.shape) <= 3:
                    raise ValueError(f"is {header}; features are numbers of one to three axes")
                return use(stream, header)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: {shown(str(error), 300)}") from None

    def _inside(self, name: str) -> Path:
        """A path in the folder; a table of somebody else may not reach for other files of the user."""
        path = self._folder / name
        if "\0" in name or not path.resolve().is_relative_to(self._folder.resolve()):
            raise DataError(f"{self._folder}: {shown(name)} lies outside of the folder, and is not read")
        return path


class ArrowTable(ColumnTable):
    """A csv or Parquet file, with npy files beside it.

    Args:
        path: of the table, or the folder that it is in.
        file: the table.
        as_text: columns that are read as text even if they look like numbers: ``0012`` is no number.
        ids: column of ids, by which files of single rows are found; empty for row numbers.
    """

    def __init__(self, path: Path, file: Path, as_text: tuple[str, ...], ids: str):
        self.path, self._file, self._ids = path, file, ids
        self._beside = Folder(file.parent)
        self._table, self.warning = _arrow_table(file, as_text)

    @property
    def names(self) -> list[str]:
        """Columns of the table."""
        return list(self._table.column_names)

    def has(self, name: str) -> bool:
        """Whether the table or the folder has such a column."""
        return name in self._table.column_names or self._beside.holds(name)

    def count(self, name: str) -> int:
        """Rows of the table."""
        return int(self._table.num_rows)

    @cached_property
    def ids(self) -> NDArray[np.str_]:
        """(N,) what files of single rows are called by."""
        if not self._ids:
            return np.arange(self._table.num_rows).astype(np.str_)
        return self.text(self._ids, np.ones(self._table.num_rows, bool))

    def kind(self, name: str) -> Kind:
        """By the type of the column; files beside the table are frames."""
        import pyarrow as pa

        if name not in self._table.column_names:
            if self._beside.holds(name):
                return "frames"
            raise self.missing(name)
        found = self._table.schema.field(name).type
        if _is_list(found):
            return "frames"
        if pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_null(found):
            return "text"
        if pa.types.is_integer(found) or pa.types.is_floating(found) or pa.types.is_boolean(found):
            return "numbers"
        raise DataError(
            f"{self.path}: column {shown(name)} is of type {shown(str(found))}, which is not read"
        )

    def text(self, name: str, chosen_N: Chosen) -> NDArray[np.str_]:
        """A column of text; an empty field is an empty text."""
        column = self._column(name).filter(chosen_N)
        values = [value or "" for value in column.to_pylist()]
        return strings(values, f"{self.path}: {name}")

    def numbers(self, name: str, chosen_N: Chosen) -> NDArray[Any]:
        """A column of numbers; an empty field is NaN."""
        import pyarrow as pa

        if self.kind(name) != "numbers":
            raise DataError(f"{self.path}: column {shown(name)} holds lists, not one number a row")
        column = self._column(name).filter(chosen_N)
        values: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy()
        return values.astype(np.float64)

    def width(self, name: str) -> int:
        """D, by the first row that has any.

        Raises:
            DataError: for a column of single numbers.
        """
        whole = self._whole(name)
        if whole is not None:
            return int(self._beside.header(whole).shape[-1])
        if name not in self._table.column_names or self.kind(name) == "text":
            for path in self._files(name, np.ones(self._table.num_rows, bool)):
                if path is not None:
                    return int(self._beside.header(path).shape[-1])
            tried = (
                "" if name in self._table.column_names else f", such as {self._beside.sought(name, self.ids)}"
            )
            raise DataError(f"{self.path}: there is no file for any row of {shown(name)}{tried}")
        if self.kind(name) == "numbers":
            raise no_features(self.path, f"column {shown(name)} has one number a row, and no list of them")
        return _list_rows(self._column(name).slice(0), self.path, name)[2]

    def frames(self, name: str, chosen_N: Chosen, source: str) -> Features:
        """A column of lists, a column of names of npy files, or npy files beside the table."""
        whole = self._whole(name)
        if whole is not None:
            return self._of_whole(whole, name, chosen_N, source)
        if name in self._table.column_names and self.kind(name) == "frames":
            values, lengths_N, _ = _list_rows(self._column(name).filter(chosen_N), self.path, name)
            return finite_features(float32(values), offsets_of(lengths_N), source)
        width, rows = self.width(name), []
        for path in self._files(name, chosen_N):
            if path is None:
                rows.append(np.empty((0, width), np.float32))
                continue
            values = np.atleast_2d(self._beside.values(path))
            if values.ndim != 2 or values.shape[1] != width:
                raise DataError(
                    f"{path}: has shape {values.shape}; all rows must be (T, {width}) or ({width},)"
                )
            rows.append(float32(values))
        features = Features.from_rows(rows, width)
        return finite_features(np.array(features.values), features.offsets, source)

    def _whole(self, name: str) -> Path | None:
        path = self._beside.whole(name)
        if path is not None and name in self._table.column_names:
            raise DataError(
                f"{self.path}: has a column {shown(name)}, and {path} lies beside it; remove or rename one"
            )
        return path

    def _of_whole(self, path: Path, name: str, chosen_N: Chosen, source: str) -> Features:
        headers = {name: self._beside.header(path)}
        for form in LENGTHS[:2]:
            length = self._beside.whole(form.format(name))
            if length is not None:
                headers[form.format(name)] = self._beside.header(length)

        def read(array: str, chosen: Chosen | None) -> NDArray[Any]:
            found = self._beside.whole(array)
            assert found is not None
            return self._beside.values(found, chosen)

        return ArrayTable(self.path, headers, read, {}, "").frames(name, chosen_N, source)

    def _files(self, name: str, chosen_N: Chosen) -> list[Path | None]:
        if name in self._table.column_names:
            return [self._beside.named(file) for file in self.text(name, chosen_N).tolist()]
        return [self._beside.of_row(name, row_id) for row_id in self.ids[chosen_N].tolist()]

    def _column(self, name: str) -> Any:
        if name not in self._table.column_names:
            raise self.missing(name)
        return self._table.column(name)


def _is_list(found: Any) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_list(found) or pa.types.is_large_list(found) or pa.types.is_fixed_size_list(found)
    )


def _list_rows(column: Any, path: Path, name: str) -> tuple[NDArray[Any], NDArray[np.int64], int]:
    """Values (L, D), frames of each row and D of a column of vectors or of lists of vectors."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    there_N = np.asarray(array.is_valid())
    present = array.filter(pa.array(there_N))
    nested = _is_list(present.type.value_type)
    inner = present.flatten() if nested else present
    lengths = there_N.astype(np.int64)
    if nested:
        lengths[there_N] = np.asarray(pc.list_value_length(present)).astype(np.int64)
    widths = np.unique(np.asarray(pc.list_value_length(inner).fill_null(-1)))
    if len(widths) > 1 or (len(widths) and widths[0] < 1):
        raise DataError(f"{path}: column {shown(name)} has vectors of {first_few(widths.tolist())} numbers")
    numbers = inner.flatten()
    if not (pa.types.is_floating(numbers.type) or pa.types.is_integer(numbers.type)):
        raise DataError(
            f"{path}: column {shown(name)} holds lists of {shown(str(numbers.type))}, not of numbers"
        )
    width = int(widths[0]) if len(widths) else 0
    values = numbers.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float32).reshape(-1, max(1, width)), lengths, width


def _arrow_table(file: Path, as_text: tuple[str, ...]) -> tuple[Any, str]:
    """The table, with names of columns stripped, and the warning that comes with it."""
    import pyarrow as pa

    beside = file.parent / "WARNING.txt"
    try:
        warning = beside.read_text(encoding="utf-8")[:10_000].strip() if beside.is_file() else ""
        if format_of(file) == "parquet":
            import pyarrow.parquet as pq

            parquet = pq.ParquetFile(file)
            spend = budget.for_inflation(file.stat().st_size)
            spend.spend(
                sum(parquet.metadata.row_group(n).total_byte_size for n in range(parquet.num_row_groups))
            )
            table = parquet.read()
            metadata = table.schema.metadata or {}
            warning = metadata.get(b"warning", warning.encode()).decode("utf-8", "replace")
        else:
            table = _csv_table(file, as_text)
        table.validate(full=True)  # offsets and UTF-8, which nothing below looks at again
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, MemoryError) as error:
        advice = "; save it in UTF-8" if "utf" in str(error).lower() else ""
        raise DataError(f"{file}: is not a table, or is damaged: {shown(str(error), 300)}{advice}") from None
    names = [name.strip() for name in table.column_names]
    if len(set(names)) != len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise DataError(f"{file}: several columns are called {first_few(repeated)}")
    return table.rename_columns(names), warning


def _csv_table(file: Path, as_text: tuple[str, ...]) -> Any:
    import pyarrow as pa
    from pyarrow import csv

    with file.open("rb") as stream:
        header = stream.readline(1 << 20).decode("utf-8-sig")
        stream.seek(0)
        quotes = any(b'"' in chunk for chunk in iter(lambda: stream.read(1 << 20), b""))
    delimiter = max(",;\t|", key=header.count)
    # Blocks can be read at once only where no value can hold the end of a line, as only quoted ones do.
    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=quotes)
    # Names are known only when the file is opened, with the spaces that some programs put before them.
    names = csv.open_csv(file, parse_options=parse).schema.names
    types = {name: pa.string() for name in names if name.strip() in as_text}
    convert = csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    return csv.read_csv(file, parse_options=parse, convert_options=convert)
