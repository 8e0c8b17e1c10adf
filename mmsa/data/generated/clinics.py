"""Writers of CMDC and MPDD, in layouts that nobody here could verify."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from mmsa.data.generated.hazards import Hazard
from mmsa.data.generated.interviews import write_table
from mmsa.data.generated.people import Person, track
from mmsa.data.generated.vlogs import write_arrays

CMDC_HAZARDS: dict[str, Hazard] = {
    "missing_file": Hazard("a participant without answers", "rows have no text"),
    "missing_row": Hazard("a participant without a row of labels", "have no row in it", stops=True),
    "other_columns": Hazard("frames with a column too many", "must be (T, 25)", stops=True),
    "no_table": Hazard("no table of scores", ""),
}
MPDD_HAZARDS: dict[str, Hazard] = {
    "missing_file": Hazard("a clip without a face", "rows have no vision"),
    "other_category": Hazard("a category that is none", "must be a whole number from 0", stops=True),
    "lost_path": Hazard("a clip without the name of its file", "must be a list of clips", stops=True),
    "cut_table": Hazard("a table that ends too early", "is no JSON, or is damaged", stops=True),
}


def cmdc_name(person: Person) -> str:
    """Name of the folder of a participant."""
    return f"{'MDD' if person.score >= 10 else 'HC'}{person.id}"


def write_cmdc(path: Path, people: Sequence[Person], hazards: Collection[str] = (), seed: int = 0) -> None:
    """Write the tree of CMDC, which has no splits: everybody is in train."""
    table = []
    for number, person in enumerate(people):
        folder = path / cmdc_name(person)
        folder.mkdir(parents=True)
        answers = [turn.text for turn in person.turns if turn.participant]
        voice = track(person, 2.0, 25, person.voice, seed)[1]
        face = track(person, 2.0, 17, person.face, seed)[1]
        if number == 1 and "other_columns" in hazards:
            voice = voice[:, :24]
        for question, answer in enumerate(answers, 1):
            if number or "missing_file" not in hazards:
                (folder / f"Q{question}.txt").write_text(answer, encoding="utf-8")
            part = slice(question - 1, None, len(answers))
            write_arrays(
                folder, {f"audio/Q{question}.npy": voice[part], f"vision/Q{question}.npy": face[part]}
            )
        if number or "missing_row" not in hazards:
            table.append({"id": folder.name, "score": person.score, "fold": number % 5})
    if "no_table" not in hazards:
        write_table(path / "labels.csv", table)


def write_mpdd(path: Path, people: Sequence[Person], hazards: Collection[str] = (), seed: int = 0) -> None:
    """Write one track of MPDD: people of valid are in Training, and those of test have no categories."""
    clips: dict[str, list[dict[str, Any]]] = {"Training": [], "Testing": []}
    for number, person in enumerate(people):
        folder = "Testing" if person.split == "test" else "Training"
        name = f"{person.id}_001.npy"
        clip: dict[str, Any] = {"id": number, "audio_feature_path": name, "video_feature_path": name}
        if folder == "Training":
            clip |= {"bin_category": int(person.score >= 10), "tri_category": min(person.score // 8, 2)}
        if number == 0 and "other_category" in hazards:
            clip["bin_category"] = 7
        if number == 0 and "lost_path" in hazards:
            del clip["audio_feature_path"]
        clips[folder].append(clip)
        voice = track(person, 1.0, 64, person.voice, seed)[1]
        face = track(person, 1.0, 17, person.face, seed)[1]
        arrays = {f"Audio/mfccs/{name}": voice, f"Visual/openface/{name}": face}
        if number == 0 and "missing_file" in hazards:
            del arrays[f"Visual/openface/{name}"]
        write_arrays(path / folder / "1s", arrays)
    for folder, table in clips.items():
        text = json.dumps(table)
        text = text[: len(text) // 2] if "cut_table" in hazards else text
        (path / folder / "labels").mkdir(parents=True)
        (path / folder / "labels" / "labels.json").write_text(text)
