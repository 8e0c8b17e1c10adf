"""What is wrong with real files, planted into invented recordings.

Each hazard knows the words by which opening the file must name it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmsa.data.generated.recordings import Recording, of_split

Change = Callable[[list[Recording], np.random.Generator], list[Recording]]


@dataclass(frozen=True)
class Hazard:
    """One thing that is wrong.

    Attributes:
        what: in words.
        sign: a part of the message that names it when the file is opened.
        plant: changes rows; None where the writer of the layout plants it.
        stops: whether the file is refused for it.
    """

    what: str
    sign: str
    plant: Change | None = None
    stops: bool = False


def _minus_infinity(rows: list[Recording], random: np.random.Generator) -> list[Recording]:
    for row in rows:
        if len(row.audio) and (row is rows[0] or random.random() < 0.1):
            row.audio[0, 0] = -np.inf  # as COVAREP writes the logarithm of silence
    return rows


def _nan(rows: list[Recording], random: np.random.Generator) -> list[Recording]:
    for row in rows:
        if len(row.vision) and (row is rows[0] or random.random() < 0.1):
            row.vision[0, 1] = np.nan
    return rows


def _constant(rows: list[Recording], random: np.random.Generator) -> list[Recording]:
    for row in rows:
        row.vision[:, 0] = 1.0
    return rows


def _absent(rows: list[Recording], random: np.random.Generator) -> list[Recording]:
    return [
        replace(row, audio=row.audio[:0], vision=row.vision[:0]) if number % 7 == 1 else row
        for number, row in enumerate(rows)
    ]


def _shared_video(rows: list[Recording], random: np.random.Generator) -> list[Recording]:
    by_split = of_split(rows)
    first, other = by_split["train"][0], by_split["valid"][0]
    name = f"{first.group}$_$999"
    return [replace(row, id=name, group=first.group) if row is other else row for row in rows]


COMMON: dict[str, Hazard] = {
    "minus_infinity": Hazard("-inf in a column of audio", "-inf set to 0", _minus_infinity),
    "nan": Hazard("NaN in a column of vision", "NaN set to 0", _nan),
    "constant": Hazard("a column of vision that is always 1", "columns are constant", _constant),
    "absent": Hazard("rows without audio and vision", "rows have no ", _absent),
    "shared_video": Hazard(
        "a video with rows in train and in valid", "must lie in one split", _shared_video, True
    ),
}
"""Hazards of files of utterances."""


def planted(
    rows: Sequence[Recording], hazards: Mapping[str, Hazard], names: Sequence[str], seed: int
) -> list[Recording]:
    """Rows with the hazards of these names."""
    random = np.random.default_rng([seed, 1])
    changed = list(rows)
    for name in names:
        if (plant := hazards[name].plant) is not None:
            changed = plant(changed, random)
    return changed
