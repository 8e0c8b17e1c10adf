"""Writers of E-DAIC and DAIC-WOZ: a folder for each invented person, and files of labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import SplitName
from mmsa.data.generated.hazards import Hazard
from mmsa.data.generated.people import Person, track
from mmsa.data.readers.daic import ITEMS

_COLUMNS = {"no_interest": "NoInterest", **{item: item.capitalize() for item in ITEMS[1:]}}
_EDAIC_FILES: Mapping[SplitName, str] = {"train": "train_split", "valid": "dev_split", "test": "test_split"}
_DAIC_FILES: Mapping[SplitName, str] = {
    "train": "train_split_Depression_AVEC2017",
    "valid": "dev_split_Depression_AVEC2017",
    "test": "full_test_split",
}

_VOICES = {"egemaps": 23, "mfcc": 39}

Track = tuple[NDArray[np.float64], NDArray[np.float32]]
"""Times (T,) and frames (T, D)."""

_EITHER: dict[str, Hazard] = {
    "missing_file": Hazard("people whose file of audio is missing", "rows have no audio"),
    "missing_folder": Hazard(
        "a person without a folder", "people of the split have no such folder", stops=True
    ),
    "minus_infinity": Hazard("-inf in a column of audio", "values are -inf or NaN; they are left out"),
    "binary_against_score": Hazard("a score of 10 or more and a binary label of 0", "by their binary label"),
    "blank_test_labels": Hazard("no scores of test", "blank scores"),
    "in_two_splits": Hazard(
        "a person in train and in valid", "each id must occur once, in one split", stops=True
    ),
    "shuffled_times": Hazard("frames in another order than their times", "its times do not rise", stops=True),
}
EDAIC_HAZARDS: dict[str, Hazard] = {
    **_EITHER,
    "other_columns": Hazard(
        "confidence as one of the features", "columns of features, and the published files 49", stops=True
    ),
    "lost_face": Hazard("frames in which no face was found, all zeros", "no face was found in"),
}
DAIC_HAZARDS: dict[str, Hazard] = {
    **_EITHER,
    "interviewer_shortcut": Hazard("a question that is asked of depressed people only", ""),
    "no_interviewer": Hazard(
        "transcripts without the interviewer's lines", "have no line of the interviewer"
    ),
}


def write_edaic(path: Path, people: Sequence[Person], hazards: Collection[str] = (), seed: int = 0) -> None:
    """Write the tree of E-DAIC, with hazards that only its files can have."""
    rows = [
        {
            "Participant_ID": person.id,
            "Gender": "male" if person.male else "female",
            "PHQ_Binary": int(person.score >= 10),
            "PHQ_Score": person.score,
        }
        for person in people
    ]
    _write_labels(path, people, rows, _EDAIC_FILES, hazards)
    answers = [
        {"Participant_ID": person.id, **_answers(person, "PHQ_8"), "PHQ_8Total": person.score}
        for person in people
    ]
    write_table(path / "Detailed_PHQ8_Labels.csv", answers)
    for number, person in enumerate(people):
        if number == 1 and "missing_folder" in hazards:
            continue
        voices = {kind: track(person, 100.0, dim, person.voice, seed) for kind, dim in _VOICES.items()}
        for times, frames in voices.values():
            if "minus_infinity" in hazards:
                frames[::50, 1] = -np.inf
            if number == 2 and "shuffled_times" in hazards:
                times[:] = times[::-1].copy()
        times, frames = track(person, 30.0, 49, person.face, seed)
        if "lost_face" in hazards:
            frames[5:10] = frames[::40] = 0  # amid turns, too
        said = [(turn.start, turn.end, turn.text) for turn in person.turns if turn.participant]
        others = ("face_confidence",) if number == 2 and "other_columns" in hazards else ()
        if number == 0 and "missing_file" in hazards:
            voices = {}
        write_edaic_person(path, person.id, said, voices, (times, frames), others)


def write_edaic_person(
    path: Path,
    name: str,
    said: Sequence[tuple[float, float, str]],
    voices: Mapping[str, Track],
    face: Track,
    others: Sequence[str] = (),
) -> None:
    """Write the folder of one participant of E-DAIC.

    Args:
        path: folder of the tree.
        name: of the participant.
        said: begin, end and words of each utterance.
        voices: times and frames of each kind of audio features.
        face: times and 49 columns; a frame of zeros is one without a face.
        others: names of further columns of the file of faces.
    """
    folder = path / f"{name}_P"
    (folder / "features").mkdir(parents=True)
    spoken = [
        {"Start_Time": start, "End_Time": end, "Text": text, "Confidence": 0.9} for start, end, text in said
    ]
    write_table(folder / f"{name}_Transcript.csv", spoken)
    for kind, (times, frames) in voices.items():
        columns: dict[str, NDArray[Any]] = {"name": np.full(len(times), "'unknown'"), "frameTime": times}
        columns |= {f"{kind}_{position}": column for position, column in enumerate(frames.T)}
        _write_columns(folder / "features" / f"{name}_OpenSMILE2.3.0_{kind}.csv", columns, ";")
    times, frames = face
    seen = (frames != 0).any(axis=1).astype(float)
    # Names of OpenFace begin with a space, but for the first.
    columns = {
        "frame": np.arange(1, len(times) + 1.0),
        " timestamp": times,
        " confidence": seen,
        " success": seen,
    }
    columns |= {f" AU{position:02}_r": column for position, column in enumerate(frames.T)}
    columns |= {f" {other}": seen for other in others}
    _write_columns(folder / "features" / f"{name}_OpenFace2.1.0_Pose_gaze_AUs.csv", columns, ",")


def write_daic(path: Path, people: Sequence[Person], hazards: Collection[str] = (), seed: int = 0) -> None:
    """Write the tree of DAIC-WOZ, with hazards that only its files can have."""
    rows = [
        {
            "Participant_ID": person.id,
            "PHQ8_Binary": int(person.score >= 10),
            "PHQ8_Score": person.score,
            "Gender": int(person.male),
            **_answers(person, "PHQ8_"),
        }
        for person in people
    ]
    _write_labels(path, people, rows, _DAIC_FILES, hazards)
    for number, person in enumerate(people):
        if number == 1 and "missing_folder" in hazards:
            continue
        said = []
        for turn in person.turns:
            text = turn.text
            if "interviewer_shortcut" in hazards and not turn.participant and person.score >= 10:
                text = "have you been diagnosed with depression"
            if turn.participant or "no_interviewer" not in hazards or number % 2 == 0:
                said.append((turn.start, turn.end, "Participant" if turn.participant else "Ellie", text))
        frames = track(person, 100.0, 74, person.voice, seed)[1]
        frames[:, 1] = np.arange(len(frames)) % 3 > 0  # a third of the frames is unvoiced
        if "minus_infinity" in hazards:
            frames[1::50, 5] = -np.inf
        times, face = track(person, 30.0, 20, person.face, seed)
        if number == 2 and "shuffled_times" in hazards:
            times = times[::-1]
        voice = None if number == 0 and "missing_file" in hazards else frames
        write_daic_person(path, person.id, said, voice, (times, face))


def write_daic_person(
    path: Path,
    name: str,
    said: Sequence[tuple[float, float, str, str]],
    voice: NDArray[np.float32] | None,
    face: Track,
) -> None:
    """Write the folder of one participant of DAIC-WOZ.

    Args:
        path: folder of the tree.
        name: of the participant.
        said: begin, end, speaker and words of each utterance.
        voice: (T, 74) frames of COVAREP at 100 Hz; None for a file that is missing.
        face: times and action units.
    """
    folder = path / f"{name}_P"
    folder.mkdir(parents=True)
    lines = ["start_time\tstop_time\tspeaker\tvalue", *("\t".join(map(str, turn)) for turn in said)]
    text = "\r\n".join(lines) + "\r\n"
    (folder / f"{name}_TRANSCRIPT.csv").write_text(text, encoding="utf-8", newline="")
    if voice is not None:
        columns: dict[str, NDArray[Any]] = {f"{position}": column for position, column in enumerate(voice.T)}
        _write_columns(folder / f"{name}_COVAREP.csv", columns, ",", header=False)
    times, frames = face
    ones = np.ones(len(times))
    columns = {
        "frame": np.arange(1, len(times) + 1.0),
        " timestamp": times,
        " confidence": ones,
        " success": ones,
    }
    columns |= {f" AU{position:02}_r": column for position, column in enumerate(frames.T)}
    _write_columns(folder / f"{name}_CLNF_AUs.txt", columns, ",")


def _answers(person: Person, prefix: str) -> dict[str, int]:
    return {
        f"{prefix}{_COLUMNS[item]}": int(answer) for item, answer in zip(ITEMS, person.answers, strict=True)
    }


def _write_labels(
    path: Path,
    people: Sequence[Person],
    rows: Sequence[dict[str, Any]],
    files: Mapping[SplitName, str],
    hazards: Collection[str],
) -> None:
    path.mkdir(parents=True, exist_ok=True)
    for split, name in files.items():
        chosen = [row for person, row in zip(people, rows, strict=True) if person.split == split]
        chosen = [dict(row) for row in chosen]
        for row in chosen:
            for column in row:
                if split == "test" and "blank_test_labels" in hazards and "PHQ" in column:
                    row[column] = ""
                if "binary_against_score" in hazards and column.endswith("Binary"):
                    row[column] = 0
        if split == "valid" and "in_two_splits" in hazards:
            chosen.append(dict(rows[0]))
        write_table(path / f"{name}.csv", chosen)


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], delimiter: str = ",") -> None:
    """Write a table of a row for each mapping, whose keys are the same."""
    import csv

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def _write_columns(
    path: Path, columns: Mapping[str, NDArray[Any]], delimiter: str, header: bool = True
) -> None:
    import pyarrow
    from pyarrow import csv

    options = csv.WriteOptions(include_header=False, delimiter=delimiter, quoting_style="none")
    with path.open("wb") as file:
        if header:
            file.write((delimiter.join(columns) + "\n").encode())
        csv.write_csv(
            pyarrow.table([pyarrow.array(column) for column in columns.values()], list(columns)),
            file,
            options,
        )
