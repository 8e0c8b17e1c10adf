"""Writers of CREMA-D and MUStARD: clips of actors in six emotions, and sarcasm in a series."""

from __future__ import annotations

import json
import pickle
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmsa.data.corpus import SplitName
from mmsa.data.generated.hazards import Hazard
from mmsa.data.generated.interviews import write_table
from mmsa.data.generated.recordings import Recording
from mmsa.data.generated.vlogs import write_arrays
from mmsa.data.readers.crema_d import split_of_actor

CREMA_HAZARDS: dict[str, Hazard] = {
    "ties": Hazard("clips whose votes are a tie", "which is a missing value"),
    "missing_file": Hazard("a clip without a face", "rows have no vision"),
    "minus_infinity": Hazard("-inf in a column of audio", "-inf set to 0"),
    "other_name": Hazard("a clip whose name tells no emotion", "must be <actor>_<sentence>", stops=True),
    "other_vote": Hazard("a vote that is no emotion", "must be a letter of", stops=True),
}
MUSTARD_HAZARDS: dict[str, Hazard] = {
    "missing_audio": Hazard("an utterance without sounds", "rows have no audio"),
    "no_text": Hazard("an utterance without words", "rows have no text"),
    "label_in_words": Hazard("a label that is text", "sarcasm true or false", stops=True),
    "cut_table": Hazard("a table that ends too early", "is no JSON, or is damaged", stops=True),
}
_SENTENCES = ("DFA", "IEO", "IOM", "ITH", "ITS", "IWL", "IWW", "MTI", "TAI", "TIE", "TSI", "WSI")


def crema_names(rows: Sequence[Recording]) -> list[tuple[str, str]]:
    """Name of the clip and actor of each row: a group is an actor whom the reader deals to the row's split.

    What is positive is happy, all else sad.
    """
    actors: dict[str, str] = {}
    candidates: Mapping[SplitName, list[str]] = {"train": [], "valid": [], "test": []}
    for number in range(1001, 9000):
        candidates[split_of_actor(str(number))].append(str(number))
    taken = dict.fromkeys(candidates, 0)
    spoken: dict[str, int] = {}
    names = []
    for row in rows:
        if row.group not in actors:
            actors[row.group] = candidates[row.split][taken[row.split]]
            taken[row.split] += 1
        actor = actors[row.group]
        sentence = _SENTENCES[spoken.get(actor, 0)]
        spoken[actor] = spoken.get(actor, 0) + 1
        names.append((f"{actor}_{sentence}_{'HAP' if row.label > 0 else 'SAD'}_XX", actor))
    return names


def write_crema(path: Path, rows: Sequence[Recording], hazards: Collection[str] = ()) -> None:
    """Write the tables of CREMA-D, and features in ``audio`` and ``vision``."""
    path.mkdir(parents=True, exist_ok=True)
    named, table = crema_names(rows), []
    for number, (row, (name, _)) in enumerate(zip(rows, named, strict=True)):
        vote = "H" if row.label > 0 else "S"
        votes = {"VoiceVote": vote, "FaceVote": vote, "MultiModalVote": vote}
        votes |= {"VoiceVote": "H:S"} if number == 0 and "ties" in hazards else {}
        votes |= {"FaceVote": "happy"} if number == 0 and "other_vote" in hazards else {}
        told = "clip one" if number == 0 and "other_name" in hazards else name
        table.append({"FileName": told, **votes})
        audio = row.audio.copy()
        if number == 0 and "minus_infinity" in hazards:
            audio[0, 0] = -np.inf
        arrays = {"audio": audio, "vision": row.vision}
        if number == 0 and "missing_file" in hazards:
            del arrays["vision"]
        write_arrays(path, {f"{kind}/{name}.npy": frames for kind, frames in arrays.items()})
    write_table(path / "summaryTable.csv", table)
    actors = sorted({actor for _, actor in named})
    sexes = [
        {"ActorID": actor, "Age": 30, "Sex": ("Male", "Female")[number % 2]}
        for number, actor in enumerate(actors)
    ]
    write_table(path / "VideoDemographics.csv", sexes)


def write_mustard(path: Path, rows: Sequence[Recording], hazards: Collection[str] = ()) -> None:
    """Write MUStARD's table, folds and sounds; what is positive is sarcastic. Fold 0 has test as test."""
    (path / "data").mkdir(parents=True, exist_ok=True)
    table: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(rows):
        table[row.id] = {
            "utterance": "" if number == 0 and "no_text" in hazards else row.text,
            "speaker": row.group,
            "context": ["something was said before"],
            "context_speakers": ["nobody"],
            "show": "NOWHERE",
            "sarcasm": "yes" if number == 0 and "label_in_words" in hazards else row.label > 0,
        }
    text = json.dumps(table, indent=1)
    text = text[: len(text) // 2] if "cut_table" in hazards else text
    (path / "data" / "sarcasm_data.json").write_text(text)
    kept = rows[1:] if "missing_audio" in hazards else rows
    sounds = {row.id: np.ascontiguousarray(row.audio.T, np.float64) for row in kept}
    (path / "audio_features.p").write_bytes(pickle.dumps(sounds, 2))
    test = [number for number, row in enumerate(rows) if row.split == "test"]
    folds = [(sorted(set(range(len(rows))) - set(test)), test)]
    for fold in range(1, 5):
        held = [number for number in range(len(rows)) if number % 4 == fold - 1]
        folds.append((sorted(set(range(len(rows))) - set(held)), held))
    (path / "split_indices.p").write_bytes(pickle.dumps(folds, 2))
