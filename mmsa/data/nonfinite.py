"""What is said of features that are not finite, and of the 0 or the mean that stands for them.

A logarithm of silence is -inf. As a 0 it would be the highest value of a column that lies in -0.5 to -0.06.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Features, ModalityName, Split, SplitName
from mmsa.data.validation import first_few

SETTING = "data.nonfinite: impute"


def without_holes(splits: Mapping[SplitName, Split]) -> dict[SplitName, Split]:
    """The splits without a note of where something was not finite; nothing else changes."""

    def closed(_: ModalityName, features: Features) -> Features:
        return features if features.holes is None else replace(features, holes=None)

    return {name: split.with_features(closed) for name, split in splits.items()}


def with_flags(splits: Mapping[SplitName, Split]) -> dict[SplitName, Split]:
    """The splits with a column in each modality of features: the part of a frame that is not from the file.

    It is there whether or not something is missing: the width of a modality goes by the setting alone.
    """
    return {
        name: split.with_features(lambda _, features: features.flagged()) for name, split in splits.items()
    }


def flag_notes(splits: Mapping[SplitName, Split], source: str) -> list[str]:
    """Of each modality in which something was filled in, which column says so, and of how many rows."""
    notes = []
    for name, split in splits.items():
        for modality, features in split.modalities().items():
            if isinstance(features, Features) and features.holes is not None:
                frames_K = features.holes // features.dim
                rows = np.unique(np.searchsorted(features.offsets, frames_K, side="right"))
                notes.append(
                    f"{source} {name} {modality}: column {features.dim - 1} is the part of a frame that was "
                    f"filled in, which is above 0 in {len(rows)} of {len(features)} rows"
                )
    return notes


def imputed_notes(splits: Mapping[SplitName, Split], source: str) -> list[str]:
    """Of each modality, how many values are means."""
    return [
        f"{source} {name} {modality}: the mean of the rows that are trained on stands for "
        f"{len(features.holes):,} of them ({len(features.holes) / features.values.size:.2%} of all values)"
        for name, split in splits.items()
        for modality, features in split.modalities().items()
        if isinstance(features, Features) and features.holes is not None
    ]


def zeros_outside(split: Split, source: str, mapped: bool = False) -> list[str]:
    """Of each modality, the columns in which 0 stands for what is not finite, and is no value they have.

    Args:
        split: to look at.
        source: for messages.
        mapped: whether to look at what is mapped, too, which reads all of it.
    """
    notes = []
    for name, features in split.modalities().items():
        if not isinstance(features, Features) or features.holes is None:
            continue
        if features.mapped is not None and not mapped:
            continue
        zeros = features.holes[features.values.reshape(-1)[features.holes] == 0]
        columns_K = zeros % features.dim
        outside = [
            f"{column} ({low:.3g} to {high:.3g})"
            for column in np.unique(columns_K).tolist()
            for low, high in [_range_without(features, column)]
            if not low <= 0 <= high
        ]
        if outside:
            notes.append(
                f"{source} {name}: 0 stands for what is not finite and lies outside of all other values of "
                f"the columns {first_few(outside)}; {SETTING} puts means in its place"
            )
    return notes


def hole_notes(split: Split, source: str) -> list[str]:
    """Of each modality, the columns with values that are not finite, and how many each has."""
    notes = []
    for name, features in split.modalities().items():
        if isinstance(features, Features) and features.holes is not None:
            columns, counts = np.unique(features.holes % features.dim, return_counts=True)
            told = first_few(
                f"{column} ({count:,} of {len(features.values):,})"
                for column, count in zip(columns, counts, strict=True)
            )
            notes.append(f"{source} {name}: values are not finite in the columns {told}")
    return notes


def constant_notes(split: Split, source: str) -> list[str]:
    """Of each modality, the columns whose value never changes."""
    notes = []
    for name, features in split.modalities().items():
        if isinstance(features, Features) and len(features.values):
            note = constant_note(features.values.min(axis=0), features.values.max(axis=0))
            notes += [f"{source} {name}: {note}"] if note else []
    return notes


def constant_note(low_D: NDArray[np.float32], high_D: NDArray[np.float32]) -> str:
    """The columns whose smallest and largest value are the same; empty without any."""
    constant = np.flatnonzero(low_D == high_D)
    told = f"{len(constant)} of {len(low_D)} columns are constant: {first_few(constant.tolist())}"
    return told if len(constant) else ""


def _range_without(features: Features, column: int) -> tuple[float, float]:
    """Smallest and largest finite value of a column; of one without any, whatever has 0 in it."""
    holes = features.holes
    assert holes is not None
    known_L = np.ones(len(features.values), np.bool_)
    known_L[holes[holes % features.dim == column] // features.dim] = False
    values = features.values[known_L, column]
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
