"""Information on the test split, measured on frozen representations of every retrained seed.

Shapes: N rows, D features.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Split
from mmsa.data.target_spec import TargetKind
from mmsa.experiment import InformationConfig
from mmsa.information import decompose
from mmsa.information.measure_panel import SCALES, measure_panel, principal_directions
from mmsa.information.target import FAST, Decomposition
from mmsa.information.target.mimrl import FUSION
from mmsa.measurement import Measurement

INFORMATION = "information.json"
"""Name of the file, beside the models, with all measurements of information on test."""

Information = Mapping[str, Measurement]
Vectors = Mapping[str, NDArray[np.floating[Any]]]


def measure_test(
    vectors: Vectors, test: Split, config: InformationConfig, kind: TargetKind = "regression"
) -> dict[str, Measurement]:
    """Measure on test what a run measures on valid, in nats.

    Without the decomposition, which ``decomposed`` computes for one seed only, and without a time budget.

    Args:
        vectors: (N, D) of each modality and of the ``fusion``.
        test: the rows.
        config: which quantities, and the estimator.
        kind: of the target.
    """
    families = [family for family in config.quantities if family != "decomposition"]
    return measure_panel(vectors, test.labels, test.groups, families, estimator=config.estimator, kind=kind)


def decomposed(vectors: Vectors, split: Split, kind: TargetKind = "regression") -> Decomposition | None:
    """Decompose the information about the labels over sets of modalities.

    Vectors are projected on their principal directions first, as on valid.

    Args:
        vectors: (N, D) of each modality and, where there is one, of the ``fusion``.
        split: the rows.
        kind: of the target.

    Returns:
        None of several labels at once.

    Raises:
        DataError: for labels of which nothing can be told.
    """
    if kind == "multilabel":
        return None
    labels = split.labels if kind in SCALES else split.labels.astype(np.int64)
    directions = {name: principal_directions(values) for name, values in vectors.items()}
    fusion = directions.pop(FUSION, None)
    return decompose(directions, labels, split.groups, fusion=fusion, effort=FAST)


def save_information(
    path: Path, seeds: Mapping[int, Information], decomposition: Decomposition | None
) -> None:
    """Write all measurements of all seeds, and the decomposition, to a JSON file."""
    content: dict[str, Any] = {
        "split": "test",
        "seeds": {
            str(seed): {name: measured.to_dict() for name, measured in information.items()}
            for seed, information in seeds.items()
        },
        "decomposition": None if decomposition is None else decomposition.to_dict(),
    }
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def information_table(title: str, columns: Mapping[str, Information]) -> list[str]:
    """Text table with one line per quantity; empty if there is none.

    Args:
        title: what was measured, for the first line.
        columns: measurements by the head of their column.
    """
    found = list(dict.fromkeys(name for information in columns.values() for name in information))
    if not found:
        return []
    cells = {head: [information[name].text() for name in found] for head, information in columns.items()}
    width = max(map(len, found)) + 2
    widths = {head: max(map(len, [head, *texts])) + 2 for head, texts in cells.items()}
    rows = [
        f"{name:<{width}}" + "".join(f"{texts[row]:>{widths[head]}}" for head, texts in cells.items())
        for row, name in enumerate(found)
    ]
    heads = "".join(f"{head:>{widths[head]}}" for head in columns)
    return [f"information {title}, in nats, with 90 % intervals", f"{'':<{width}}{heads}", *rows]
