"""Writers of D-Vlog and LMVD: two npy arrays for each invented person, and a table of labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmsa.data.generated.hazards import Hazard
from mmsa.data.generated.interviews import write_table
from mmsa.data.generated.people import Person, track

VLOG_HAZARDS: dict[str, Hazard] = {
    "missing_file": Hazard("a person without a face", "rows have no vision"),
    "missing_files": Hazard(
        "a person with neither audio nor vision", "have neither audio nor vision", stops=True
    ),
    "nan": Hazard("NaN in a column of audio", "NaN set to 0"),
    "other_columns": Hazard("faces with a column too many", "must be (T, 136)", stops=True),
    "other_label": Hazard("a label that is no class", "must be one of normal", stops=True),
    "in_two_splits": Hazard(
        "a person in train and in valid", "each id must occur once, in one split", stops=True
    ),
    "fold_numbers": Hazard("folds that are numbered", "must be train, valid or test", stops=True),
}


def write_dvlog(path: Path, people: Sequence[Person], hazards: Collection[str] = (), seed: int = 0) -> None:
    """Write the tree of D-Vlog, with hazards that only its files can have."""
    _write_vlogs(path, people, hazards, seed, "index", 25, "{id}/{id}_acoustic.npy", "{id}/{id}_visual.npy")


def write_lmvd(path: Path, people: Sequence[Person], hazards: Collection[str] = (), seed: int = 0) -> None:
    """Write the tree of LMVD; ids have leading zeros."""
    _write_vlogs(path, people, hazards, seed, "id", 128, "audio/{id}.npy", "visual/{id}_visual.npy")


def _write_vlogs(
    path: Path,
    people: Sequence[Person],
    hazards: Collection[str],
    seed: int,
    first: str,
    dim: int,
    audio: str,
    vision: str,
) -> None:
    rows = []
    for number, person in enumerate(people):
        name = f"0{person.id}" if first == "id" else str(number)
        row = {
            first: name,
            "label": "depression" if person.score >= 10 else "normal",
            "duration": round(3 * person.seconds, 1),
            "gender": "m" if person.male else "f",
            "fold": person.split,
        }
        row |= {"label": "unsure"} if number == 0 and "other_label" in hazards else {}
        row |= {"fold": str(number % 5)} if "fold_numbers" in hazards else {}
        rows.append(row)
        if number == 1 and "missing_files" in hazards:
            continue
        voice, face = (
            track(person, 1.0, dim, person.voice, seed)[1],
            track(person, 1.0, 136, person.face, seed)[1],
        )
        if "nan" in hazards:
            voice[0, 1] = np.nan
        if number == 2 and "other_columns" in hazards:
            face = np.pad(face, [(0, 0), (0, 1)])
        write_arrays(path, {audio.format(id=name): voice})
        if number or "missing_file" not in hazards:
            write_arrays(path, {vision.format(id=name): face})
    if "in_two_splits" in hazards:
        rows.append({**rows[0], "fold": "valid"})
    write_table(path / "labels.csv", rows)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[np.float32]]) -> None:
    """Write npy files, by their places in a tree."""
    for place, array in arrays.items():
        (path / place).parent.mkdir(parents=True, exist_ok=True)
        np.save(path / place, array)
