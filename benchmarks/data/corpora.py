"""A corpus as large as MOSEI in the layout of MMSA's pickle, and its store; a table as long as an interview.

Features are narrower and shorter than those of MOSEI (text 96 and not 768, at most 100 steps and not 500), so
that the pickle takes a gigabyte and not six. Lengths vary as real ones do, and padding is zeros.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

ROWS = {"train": 16_326, "valid": 1_871, "test": 200}
STEPS = {"text": 50, "audio": 100, "vision": 100}
DIMS = {"text": 96, "audio": 74, "vision": 35}
CSV_ROWS, CSV_COLUMNS = 120_000, 41  # of an hour's MFCC at 100 Hz and less


def write_pickle(path: Path) -> None:
    random = np.random.default_rng(0)
    content = {split: _split(random, split, rows) for split, rows in ROWS.items()}
    with path.open("wb") as file:
        pickle.dump(content, file, protocol=4)


def _split(random: np.random.Generator, split: str, rows: int) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "id": np.array([f"{split}{row // 5}$_${row % 5}" for row in range(rows)]),
        "raw_text": np.array([f"this is clip {row}" for row in range(rows)]),
        "regression_labels": random.uniform(-3, 3, rows).astype(np.float32),
    }
    for name, steps in STEPS.items():
        values = random.standard_normal((rows, steps, DIMS[name]), np.float32)
        lengths = np.clip(random.lognormal(np.log(steps / 3), 0.6, rows), 1, steps).astype(int)
        values[np.arange(steps) >= lengths[:, None]] = 0
        columns[name] = values
        if name != "text":
            columns[f"{name}_lengths"] = lengths.tolist()
    return columns


def write_csv(path: Path) -> None:
    """As openSMILE writes them: semicolons, a header, a name and a time before the features."""
    random = np.random.default_rng(0)
    values = random.standard_normal((CSV_ROWS, CSV_COLUMNS - 2)) * 20
    names = ["name", "frameTime", *(f"mfcc_{n}" for n in range(CSV_COLUMNS - 2))]
    with path.open("w", encoding="utf-8") as file:
        file.write(";".join(names) + "\n")
        for row, numbers in enumerate(values.tolist()):
            file.write(f"'unknown';{row / 100:.2f};" + ";".join(f"{number:.6f}" for number in numbers) + "\n")
