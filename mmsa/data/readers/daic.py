"""Readers of DAIC-WOZ (AVEC 2017) and E-DAIC (AVEC 2019): a folder ``<id>_P`` for each person, and csv files.

==========================================  =============================================================
E-DAIC: ``<id>_P/features/``                kept columns
==========================================  =============================================================
<id>_OpenSMILE2.3.0_egemaps.csv             ``;``, all but name and frameTime: 23
<id>_OpenSMILE2.3.0_mfcc.csv                ``;``, likewise: 39
<id>_OpenFace2.1.0_Pose_gaze_AUs.csv        ``,``, all but frame, timestamp, confidence and success: 49
<id>_BoAW_openSMILE_2.3.0_eGeMAPS.csv       ``;``, no header, all but the first two: 100; MFCC and
                                            <id>_BoVW_openFace_2.1.0_Pose_Gaze_AUs.csv likewise
<id>_CNN_ResNet.mat, <id>_CNN_VGG.mat       the variable ``feature``: 2048, 4096; has no times
==========================================  =============================================================

==========================================  =============================================================
DAIC-WOZ: ``<id>_P/``                       kept columns
==========================================  =============================================================
<id>_COVAREP.csv                            ``,``, no header: 74, at 100 Hz; column 1 tells voiced frames
<id>_FORMANT.csv                            ``,``, no header, at 100 Hz
<id>_CLNF_AUs.txt, _gaze.txt, _pose.txt     ``,``, all but frame, timestamp, confidence and success
<id>_TRANSCRIPT.csv                         tabs: start_time, stop_time, speaker, value
==========================================  =============================================================

Labels stand in train_split.csv, dev_split.csv and test_split.csv of E-DAIC, and in
train_split_Depression_AVEC2017.csv and its like of DAIC-WOZ. Names of files and columns differ in case
between copies.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import ModalityName, SplitName
from mmsa.data.known_targets import DEPRESSED, SCORE
from mmsa.data.readers.base import FileConfig
from mmsa.data.readers.delimited import (
    as_numbers,
    column,
    header_of,
    needed,
    num_cells,
    read_numbers,
    read_texts,
)
from mmsa.data.readers.interviews import (
    InterviewReader,
    People,
    Turn,
    score_labels,
)
from mmsa.data.readers.settings import DaicConfig, EDaicConfig
from mmsa.data.readers.windows import Stream
from mmsa.data.target_spec import TargetSpec
from mmsa.errors import DataError, Problem

logger = logging.getLogger("mmsa.data")

ITEMS = (
    "no_interest",
    "depressed",
    "sleep",
    "tired",
    "appetite",
    "failure",
    "concentrating",
    "moving",
)
"""The eight questions of the PHQ-8, as the columns of the data sets call them."""
_ABOUT_FRAMES = ("name", "frame", "frametime", "timestamp", "confidence", "success")
_RATE = 100.0  # frames of audio in a second
_GENDERS: Mapping[str, float] = {"female": 0.0, "f": 0.0, "male": 1.0, "m": 1.0, "0": 0.0, "1": 1.0}
_OFFSETS: Mapping[str, float] = {"318": 34.319917, "321": 3.8379167, "341": 6.1892, "362": 16.8582}
"""Seconds by which transcripts of some people of DAIC-WOZ come too early (public code of several groups)."""
_INTERRUPTED: Mapping[str, tuple[float, float]] = {"373": (395.0, 428.0), "444": (286.0, 387.0)}
"""Seconds in which somebody came in."""

Kind = tuple[str, str, bool, int]  # pattern of the file, delimiter, whether it has a header, columns (0: any)


class PhqReader(InterviewReader):
    """Base of both readers: labels, folders and genders.

    Attributes:
        SPLIT_FILES: names of the file of labels of each split; the first that is there is read.
        GENDERS: names of the classes of gender.
    """

    SPLIT_FILES: ClassVar[Mapping[SplitName, tuple[str, ...]]]
    GENDERS: ClassVar[tuple[str, str]]

    def named_targets(self) -> Sequence[TargetSpec]:
        """The score, whether it counts as depressed, gender, and the answers where they are there."""
        answers = [
            TargetSpec(f"phq8_{item}", "ordinal", low=0, high=3) for item in ITEMS if item in self._items
        ]
        return SCORE, DEPRESSED, TargetSpec("gender", "binary", classes=self.GENDERS), *answers

    def folder(self, person: str) -> Path:
        """``<id>_P``."""
        return self.path / f"{person}_P"

    def people(self) -> Mapping[SplitName, People]:
        """The people of each split."""
        return {split: self._people_in(split, file) for split, file in self._label_files.items()}

    def _people_in(self, split: SplitName, file: Path) -> People:
        table = read_texts(file)
        ids = needed(table, file, "Participant_ID")
        problems = []
        scores = column(table, file, "PHQ_Score", "PHQ8_Score")
        blank = [] if scores is None else [cell for cell in scores if not cell]
        if scores is None or blank:
            rule = "has no column of scores" if scores is None else f"has {len(blank)} blank scores"
            names = " or ".join(self.SPLIT_FILES[split])
            advice = f"Put the file with labels there ({names}), or remove the rows without one."
            problems.append(Problem(f"{split} labels", file.name, rule, advice))
        binary = column(table, file, "PHQ_Binary", "PHQ8_Binary")
        use_column = binary is not None and self.config.depressed == "column"
        labels = score_labels(
            partial(_label, scores or [""] * len(ids), file, "score"),
            partial(_label, binary, file, "binary label") if binary and use_column else None,
            f"{self.path.name} {split}",
        )
        genders = column(table, file, "Gender") or [""] * len(ids)
        coded = np.array([_GENDERS.get(cell.lower(), np.nan) for cell in genders], np.float32)
        answers = {f"phq8_{item}": partial(self._answers, item, ids, table, file) for item in self._items}
        return People(ids, {**labels, "gender": lambda: coded, **answers}, tuple(problems))

    @cached_property
    def _label_files(self) -> Mapping[SplitName, Path]:
        found: dict[SplitName, Path] = {}
        for split, names in self.SPLIT_FILES.items():
            places = [folder / name for name in names for folder in (self.path, self.path / "labels")]
            if file := next((place for place in places if place.is_file()), None):
                found[split] = file
        if not found:
            wanted = ", ".join(names[0] for names in self.SPLIT_FILES.values())
            raise DataError(
                f"{self.path}: has none of the files of labels {wanted}; put them beside the folders"
            )
        return found

    @cached_property
    def _items(self) -> Mapping[str, str]:
        """The columns of answers in the files of train, or in a file of their own, by the item."""
        file = self._item_file or next(iter(self._label_files.values()))
        by_words = {_words(name): name for name in header_of(file, ",")}
        return {item: by_words[word] for item in ITEMS if (word := _words(f"phq8_{item}")) in by_words}

    @cached_property
    def _item_file(self) -> Path | None:
        names = ("Detailed_PHQ8_Labels.csv", "detailed_lables.csv")
        places = [folder / name for name in names for folder in (self.path, self.path / "labels")]
        return next((place for place in places if place.is_file()), None)

    def _answers(
        self, item: str, ids: Sequence[str], table: Mapping[str, list[str]], file: Path
    ) -> NDArray[np.float32]:
        """(N,) answers; NaN for people whose answers are not known."""
        if self._item_file is not None:
            file, table = self._item_file, read_texts(self._item_file)
        people = column(table, file, "Participant_ID", "Participant") or []
        cells = column(table, file, self._items[item]) or [""] * len(people)
        by_person = dict(zip(people, as_numbers(cells, file, self._items[item]), strict=True))
        return np.array([by_person.get(person, np.nan) for person in ids], np.float32)


def _label(cells: Sequence[str], file: Path, what: str) -> NDArray[np.float32]:
    return as_numbers(cells, file, what).astype(np.float32)


def _words(name: str) -> str:
    return name.lower().replace("_", "").replace(" ", "")


class EDaicReader(PhqReader):
    """Reader of E-DAIC."""

    Config: ClassVar[type[FileConfig]] = EDaicConfig
    TELLS_SPEAKERS = False
    SPLIT_FILES: ClassVar[Mapping[SplitName, tuple[str, ...]]] = {
        "train": ("train_split.csv",),
        "valid": ("dev_split.csv",),
        "test": ("test_split.csv",),
    }
    GENDERS = ("female", "male")
    KINDS: ClassVar[Mapping[str, Kind]] = {
        "egemaps": ("{id}_OpenSMILE2.3.0_egemaps.csv", ";", True, 23),
        "mfcc": ("{id}_OpenSMILE2.3.0_mfcc.csv", ";", True, 39),
        "boaw_egemaps": ("{id}_BoAW_openSMILE_2.3.0_eGeMAPS.csv", ";", False, 100),
        "boaw_mfcc": ("{id}_BoAW_openSMILE_2.3.0_MFCC.csv", ";", False, 100),
        "pose_gaze_aus": ("{id}_OpenFace2.1.0_Pose_gaze_AUs.csv", ",", True, 49),
        "bovw": ("{id}_BoVW_openFace_2.1.0_Pose_Gaze_AUs.csv", ";", False, 100),
        "resnet": ("{id}_CNN_ResNet.mat", "", False, 2048),
        "vgg": ("{id}_CNN_VGG.mat", "", False, 4096),
    }

    def width(self, modality: ModalityName) -> int:
        """The published number of columns."""
        return self._kind(modality)[-1]

    def turns(self, person: str) -> list[Turn]:
        """The recognised utterances; they are of the participant, as far as the recognition goes."""
        file = find(self.folder(person), f"{person}_Transcript.csv")
        if file is None:
            return []
        table = read_texts(file)
        starts = as_numbers(needed(table, file, "Start_Time"), file, "Start_Time")
        ends = as_numbers(needed(table, file, "End_Time"), file, "End_Time")
        return [
            Turn(float(start), float(end), text, "")
            for start, end, text in zip(starts, ends, needed(table, file, "Text"), strict=True)
        ]

    def stream(self, person: str, modality: ModalityName) -> Stream | None:
        """Frames with the times that stand beside them."""
        pattern, delimiter, header, width = self._kind(modality)
        folder = self.folder(person) / "features"
        file = find(folder, pattern.format(id=person))
        if file is None:
            self._refuse_numbered(folder, pattern)
            return None
        if file.suffix == ".mat":
            return self._network_stream(file, width)
        if not header:
            _, values = read_numbers(file, delimiter, lambda name: name != "f0", header=False)
            times, frames = values[:, :1], values[:, 1:]
            return Stream(
                times[:, 0].astype(float), with_width(frames, width, file), (frames != 0).any(axis=1)
            )
        return timed(file, delimiter, width)

    def _kind(self, modality: ModalityName) -> Kind:
        name = self.config.audio_features if modality == "audio" else self.config.vision_features
        return self.KINDS[name]

    def _network_stream(self, file: Path, width: int) -> Stream:
        if self.config.window != "none":
            raise DataError(f"{file}: has no times, which windows need; write data.window: none")
        values = mat_variable(file, "feature")
        valid_T: NDArray[np.bool_] = (values != 0).any(axis=1)
        return Stream(np.arange(len(values), dtype=float), with_width(values, width, file), valid_T)

    def _refuse_numbered(self, folder: Path, pattern: str) -> None:
        """Refuse bags of words that are named by their place in a list, as the baseline of 2019 has them."""
        name = pattern.partition("{id}")[2]
        for split in ("training", "development", "test"):
            if next(folder.glob(f"{split}_*{name}"), None) is not None:
                raise DataError(
                    f"{folder}: its files are named by their place in a list of the {split} set, which is "
                    f"not shipped with them; rename each to {pattern.format(id='<id>')}, by its participant"
                )


class DaicReader(PhqReader):
    """Reader of DAIC-WOZ."""

    Config: ClassVar[type[FileConfig]] = DaicConfig
    TELLS_SPEAKERS = True
    SPLIT_FILES: ClassVar[Mapping[SplitName, tuple[str, ...]]] = {
        "train": ("train_split_Depression_AVEC2017.csv",),
        "valid": ("dev_split_Depression_AVEC2017.csv",),
        "test": ("full_test_split.csv", "test_split_Depression_AVEC2017.csv"),
    }
    GENDERS = ("gender 0", "gender 1")

    def width(self, modality: ModalityName) -> int:
        """74 of COVAREP, or what the file of the first person has."""
        if modality == "audio" and self.config.audio_features == "covarep":
            return 74
        everybody = (person for people in self._people.values() for person in people.ids)
        widths = (self._width_of(person, modality) for person in everybody)
        return next((width for width in widths if width), 1)

    def turns(self, person: str) -> list[Turn]:
        """What both said, at corrected times, without what was said while somebody came in."""
        file = find(self.folder(person), f"{person}_TRANSCRIPT.csv")
        if file is None:
            return []
        table = read_texts(file, "\t")
        offset = _OFFSETS.get(person, 0.0)
        starts = as_numbers(needed(table, file, "start_time"), file, "start_time") + offset
        ends = as_numbers(needed(table, file, "stop_time"), file, "stop_time") + offset
        first, last = _INTERRUPTED.get(person, (np.inf, -np.inf))
        found = []
        for start, end, speaker, text in zip(
            starts, ends, needed(table, file, "speaker"), needed(table, file, "value"), strict=True
        ):
            who: Literal["participant", "interviewer"] = (
                "participant" if speaker.lower() == "participant" else "interviewer"
            )
            if end <= first or start >= last:
                found.append(Turn(float(start), float(end), text, who))
        return found

    def stream(self, person: str, modality: ModalityName) -> Stream | None:
        """Frames at 100 Hz of audio, or with the times that stand beside them."""
        file = self._file(person, modality)
        if file is None:
            return None
        if modality == "vision":
            return timed(file, ",", self._width)
        _, values = read_numbers(file, ",", header=False)
        valid_T: NDArray[np.bool_] = (values != 0).any(axis=1)
        if self.config.audio_features == "covarep":
            with_width(values, 74, file)
            valid_T = values[:, 1] == 1  # the others are unvoiced, and zero but for noise
        return Stream(np.arange(len(values)) / _RATE, values, valid_T)

    @cached_property
    def _width(self) -> int:
        return self.width("vision")

    def _file(self, person: str, modality: ModalityName) -> Path | None:
        names: Mapping[str, str] = {
            "covarep": "COVAREP.csv",
            "formant": "FORMANT.csv",
            "aus": "CLNF_AUs.txt",
            "gaze": "CLNF_gaze.txt",
            "pose": "CLNF_pose.txt",
        }
        kind = self.config.audio_features if modality == "audio" else self.config.vision_features
        return find(self.folder(person), f"{person}_{names[kind]}")

    def _width_of(self, person: str, modality: ModalityName) -> int:
        file = self._file(person, modality)
        if file is None:
            return 0
        return num_cells(file, ",") if modality == "audio" else sum(map(_is_feature, header_of(file, ",")))


def _is_feature(name: str) -> bool:
    return name.lower() not in _ABOUT_FRAMES


def timed(file: Path, delimiter: str, width: int) -> Stream:
    """Frames of a file that says when each of them was, and perhaps whether it was successful.

    Raises:
        DataError: for another number of columns.
    """
    names, values = read_numbers(
        file, delimiter, lambda name: name.lower() not in ("name", "frame", "confidence")
    )
    kept = [position for position, name in enumerate(names) if _is_feature(name)]
    lower = [name.lower() for name in names]
    clock = next((lower.index(name) for name in ("frametime", "timestamp") if name in lower), None)
    if clock is None:
        raise DataError(f"{file}: has neither frameTime nor timestamp, which says when a frame was")
    frames = with_width(values[:, kept], width, file)
    valid_T: NDArray[np.bool_] = (frames != 0).any(axis=1)
    if "success" in lower:
        valid_T &= values[:, lower.index("success")] == 1
    times = np.nan_to_num(values[:, clock].astype(float))
    if (np.diff(times) < 0).any():
        raise DataError(f"{file}: its times do not rise; the rows are in another order, or of two recordings")
    return Stream(times, frames, valid_T)


def with_width(frames: NDArray[np.float32], width: int, file: Path) -> NDArray[np.float32]:
    """The frames, if they have as many columns as the layout.

    Raises:
        DataError: for another number.
    """
    if frames.shape[1] != width:
        found = frames.shape[1]
        raise DataError(
            f"{file}: has {found} columns of features, and the published files {width}; it was made "
            "by another version, or holds columns such as confidence under other names"
        )
    return frames


def mat_variable(file: Path, name: str) -> NDArray[np.float32]:
    """A (T, D) variable of a mat file of version 5.

    Raises:
        DataError: for a file of version 7.3, a damaged one, and one without the variable.
    """
    from scipy.io import loadmat

    try:
        found = loadmat(file, variable_names=[name], mat_dtype=False)
    except NotImplementedError:
        raise DataError(f"{file}: is a mat file of version 7.3; save it with '-v7'") from None
    except Exception as error:  # the parser of mat files raises whatever a damaged one leads it to
        raise DataError(f"{file}: is no mat file, or is damaged ({type(error).__name__})") from None
    values = found.get(name)
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "fiu":
        raise DataError(f"{file}: has no numbers of shape (T, D) in a variable {name!r}")
    frames: NDArray[np.float32] = values.astype(np.float32)
    return frames


def find(folder: Path, name: str) -> Path | None:
    """The file of a name, whose case does not matter; None if there is none."""
    entries = folder.iterdir() if folder.is_dir() else ()
    return next((entry for entry in entries if entry.name.lower() == name.lower()), None)
