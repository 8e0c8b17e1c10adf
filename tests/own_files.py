"""Rows written as a user writes data of their own: the same content in every format."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmsa.testing import Recording

FORMATS = ("npz", "safetensors", "csv", "parquet", "folder")


def write_own(path: Path, rows: Sequence[Recording], format: str) -> None:
    """Write a file, or for ``folder`` (a table and a file for each row) and ``csv`` a folder."""
    if format == "folder":
        write_folder(path, rows)
    elif format == "csv":
        write_table(path, rows)
    elif format == "parquet":
        write_parquet(path, rows)
    else:
        write_arrays(path, rows, format)


def texts(rows: Sequence[Recording]) -> dict[str, list[str]]:
    return {
        "id": [row.id for row in rows],
        "video_id": [row.group for row in rows],
        "split": [row.split for row in rows],
        "raw_text": [row.text for row in rows],
    }


def write_arrays(path: Path, rows: Sequence[Recording], format: str) -> None:
    from safetensors.numpy import save

    arrays = {"label": np.array([row.label for row in rows])}
    for name in ("audio", "vision"):
        arrays[name] = np.concatenate([getattr(row, name) for row in rows])
        arrays[f"{name}_length"] = np.array([len(getattr(row, name)) for row in rows])
    if format == "npz":
        with path.open("wb") as file:
            np.savez(file, **arrays, **{name: np.array(values) for name, values in texts(rows).items()})
    else:
        path.write_bytes(save(arrays, {name: json.dumps(values) for name, values in texts(rows).items()}))


def write_table(folder: Path, rows: Sequence[Recording]) -> None:
    """A csv file that names the npy files of each row, with nothing where a row lacks the modality."""
    folder.mkdir(exist_ok=True)
    columns = {**texts(rows), "label": [repr(row.label) for row in rows]}
    for name in ("audio", "vision"):
        columns[name] = [f"{name}-{n}.npy" if len(getattr(row, name)) else "" for n, row in enumerate(rows)]
        for file, row in zip(columns[name], rows, strict=True):
            if file:
                np.save(folder / file, getattr(row, name))
    with (folder / "rows.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([f" {name}" for name in columns])  # as OpenFace does
        writer.writerows(zip(*columns.values(), strict=True))


def write_folder(folder: Path, rows: Sequence[Recording]) -> None:
    """A table of labels, and ``<modality>/<id>.npy``."""
    folder.mkdir(exist_ok=True)
    columns = {**texts(rows), "label": [repr(row.label) for row in rows]}
    lines = ["\t".join(columns), *("\t".join(row) for row in zip(*columns.values(), strict=True))]
    (folder / "labels.tsv").write_text("\n".join(lines) + "\n")
    for name in ("audio", "vision"):
        (folder / name).mkdir(exist_ok=True)
        for row in rows:
            if len(getattr(row, name)):
                np.save(folder / name / f"{row.id}.npy", getattr(row, name))


def write_parquet(path: Path, rows: Sequence[Recording]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {**texts(rows), "label": [row.label for row in rows]}
    columns |= {name: [getattr(row, name).tolist() for row in rows] for name in ("audio", "vision")}
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata({"warning": "learnt with labels"}), path)
