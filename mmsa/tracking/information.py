"""Measurements of information as tables: one to read, one with everything."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from mmsa.measurement import Measurement

if TYPE_CHECKING:
    from mlflow import MlflowClient

Information = Mapping[str, Measurement]
_COLUMNS = (
    "status",
    "value",
    "low",
    "high",
    "null_bound",
    "p_value",
    "estimator",
    "num_samples",
    "num_groups",
    "scope",
)
_TAG_LENGTH = 5000


def log_information(client: MlflowClient, run_id: str, information: Information) -> None:
    """Write ``information.csv`` and ``information.json`` into a run, where anything was measured.

    What is not ``ok`` stands in a tag too, so that no metric is seen without what must be said of it.
    """
    if information:
        said = ", ".join(f"{name} {m.status}" for name, m in information.items() if m.status != "ok")
        client.set_tag(run_id, "mmsa.information", (said or "all ok")[:_TAG_LENGTH])
        client.log_text(run_id, information_csv(information), "information.csv")
        client.log_text(run_id, information_json(information), "information.json")


def information_csv(information: Information) -> str:
    """A line for each quantity, in nats; what was not measured has its status alone."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["quantity", *_COLUMNS])
    for name, measured in information.items():
        writer.writerow([name, *_cells(getattr(measured, column) for column in _COLUMNS)])
    return table.getvalue()


def _cells(values: Iterable[object]) -> list[object]:
    return ["" if value is None else value for value in values]


def information_json(information: Information) -> str:
    """Every record as it is, by name."""
    records = {name: measured.to_dict() for name, measured in information.items()}
    return json.dumps(records, indent=2, allow_nan=False) + "\n"
