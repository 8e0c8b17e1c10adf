"""Information on the test split: measured on frozen representations of every seed, told as a table.

Shapes: N rows, D features.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data import Split
from mmsa.experiment import InformationConfig
from mmsa.information import Measurement, decompose
from mmsa.information.measure_panel import measure_panel, principal_directions
from mmsa.information.target import FAST, Decomposition
from mmsa.information.target.mimrl import FUSION

Information = Mapping[str, Measurement]
Vectors = Mapping[str, NDArray[np.float32]]


def measure_test(vectors: Vectors, test: Split, config: InformationConfig) -> dict[str, Measurement]:
    """What a run measures of its valid split, without the decomposition and without a limit of time.

    Args:
        vectors: (N, D) by modality, and the ``fusion``.
    """
    families = [family for family in config.quantities if family != "decomposition"]
    return measure_panel(vectors, test.labels, test.groups, families, estimator=config.estimator)


def decompose_test(vectors: Vectors, test: Split) -> Decomposition:
    """What sets of modalities say about the labels, with brackets; of the principal directions."""
    directions = {name: principal_directions(values) for name, values in vectors.items()}
    fusion = directions.pop(FUSION)
    return decompose(directions, test.labels, test.groups, fusion=fusion, effort=FAST)


def save_information(path: Path, seeds: Mapping[int, Information], decomposition: Decomposition) -> None:
    """Write every record to a JSON file."""
    content: dict[str, Any] = {
        "split": "test",
        "seeds": {
            str(seed): {name: measured.to_dict() for name, measured in information.items()}
            for seed, information in seeds.items()
        },
        "decomposition": decomposition.to_dict(),
    }
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def information_table(title: str, columns: Mapping[str, Information]) -> list[str]:
    """One line for each quantity: value and interval, or why there is none. No line without a quantity.

    Args:
        title: what was measured, for the first line.
        columns: measurements by the head of their column.
    """
    found = list(dict.fromkeys(name for information in columns.values() for name in information))
    if not found:
        return []
    width = max(map(len, found)) + 2
    rows = [
        f"{name:<{width}}" + "".join(f"{_cell(information[name]):>24}" for information in columns.values())
        for name in found
    ]
    heads = "".join(f"{head:>24}" for head in columns)
    return [f"information {title}, in nats, with 90 % intervals", f"{'':<{width}}{heads}", *rows]


def _cell(measured: Measurement) -> str:
    if measured.status != "ok":
        return measured.status.replace("_", " ")
    return f"{measured.value:.3f} [{measured.low:.3f}, {measured.high:.3f}]"
