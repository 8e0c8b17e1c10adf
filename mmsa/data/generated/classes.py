"""Writers of sets whose labels are classes: MELD, MIntRec and UR-FUNNY."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmsa.data.corpus import SplitName
from mmsa.data.generated.hazards import Hazard
from mmsa.data.generated.interviews import write_table
from mmsa.data.generated.recordings import Recording, of_split

MELD_HAZARDS: dict[str, Hazard] = {
    "unknown_class": Hazard("an emotion that is none of the seven", "no class", stops=True),
    "empty_text": Hazard("an utterance without words", "rows have no text"),
}
MINTREC_HAZARDS: dict[str, Hazard] = {
    "unknown_class": Hazard("an intent that is none of the twenty", "no class", stops=True),
    "missing_clip": Hazard("a clip without frames", "rows have no vision"),
}
URFUNNY_HAZARDS: dict[str, Hazard] = {
    "missing_text": Hazard("an id of a split that has no text", "ids of the split have no text", stops=True),
    "missing_frames": Hazard("a punchline without frames", "rows have no audio"),
}
_DEV: Mapping[SplitName, str] = {"train": "train", "valid": "dev", "test": "test"}


def write_meld(path: Path, rows: Sequence[Recording], hazards: Collection[str] = ()) -> None:
    """Write MELD's three csv files; what is positive is joy, all else sadness."""
    path.mkdir(parents=True, exist_ok=True)
    for split, chosen in of_split(rows).items():
        table = []
        for number, row in enumerate(chosen):
            dialogue, clip = row.id.split("$_$")
            emotion = "joy" if row.label > 0 else "sadness"
            emotion = "boredom" if number == 0 and "unknown_class" in hazards else emotion
            table.append(
                {
                    "Sr No.": number + 1,
                    "Utterance": "" if number == 0 and "empty_text" in hazards else row.text,
                    "Speaker": "nobody",
                    "Emotion": emotion,
                    "Sentiment": "positive" if row.label > 0 else "negative",
                    "Dialogue_ID": dialogue,
                    "Utterance_ID": clip,
                }
            )
        write_table(path / f"{_DEV[split]}_sent_emo.csv", table)


def write_mintrec(path: Path, rows: Sequence[Recording], hazards: Collection[str] = ()) -> None:
    """Write MIntRec's three tsv files and two pickles; what is positive is praise, all else a complaint."""
    path.mkdir(parents=True, exist_ok=True)
    frames: dict[str, dict[str, Any]] = {"audio": {}, "video": {}}
    for split, chosen in of_split(rows).items():
        table = []
        for number, row in enumerate(chosen):
            season, clip = row.id.split("$_$")
            label = "Praise" if row.label > 0 else "Complain"
            label = "Sing" if number == 0 and "unknown_class" in hazards else label
            table.append({"season": season, "episode": "E01", "clip": clip, "text": row.text, "label": label})
            if number == 0 and "missing_clip" in hazards:
                continue
            frames["audio"][f"{season}_E01_{clip}"] = row.audio
            frames["video"][f"{season}_E01_{clip}"] = row.vision[:, None]
        write_table(path / f"{_DEV[split]}.tsv", table, "\t")
    for name, content in frames.items():
        (path / f"{name}_feats.pkl").write_bytes(pickle.dumps(content))


def write_urfunny(path: Path, rows: Sequence[Recording], hazards: Collection[str] = ()) -> None:
    """Write UR-FUNNY's pickles of version 2; what is positive is humorous, and contexts may be empty."""
    path.mkdir(parents=True, exist_ok=True)
    folds = {_DEV[split]: [row.id for row in chosen] for split, chosen in of_split(rows).items()}
    language, covarep, openface = {}, {}, {}
    for number, row in enumerate(rows):
        if number == 0 and "missing_text" in hazards:
            continue
        context = [] if number % 3 == 0 else ["something was said before"]
        language[row.id] = {"punchline_sentence": row.text, "context_sentences": context}
        if number == 0 and "missing_frames" in hazards:
            continue
        covarep[row.id] = {"punchline_features": row.audio.tolist(), "context_features": []}
        openface[row.id] = {"punchline_features": row.vision, "context_features": []}
    labels = {row.id: int(row.label > 0) for row in rows}
    for name, content in {
        "data_folds": folds,
        "language_sdk": language,
        "covarep_features_sdk": covarep,
        "openface_features_sdk": openface,
        "humor_label_sdk": labels,
        "word_embedding_list": np.zeros((3, 300)).tolist(),
    }.items():
        (path / f"{name}.pkl").write_bytes(pickle.dumps(content))
