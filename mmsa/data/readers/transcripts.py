"""Readers of sets of utterances whose labels are classes in a table: MELD and MIntRec.

=========  =================================================================================================
MELD       train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv: Utterance, Emotion, Sentiment,
           Dialogue_ID, Utterance_ID. Text only: the features that were released with it were selected by
           the labels of all splits
MIntRec    train.tsv, dev.tsv, test.tsv: season, episode, clip, text, label; video_feats.pkl and
           audio_feats.pkl, there or in video_data/ and audio_data/: frames (T, D) by season_episode_clip
=========  =================================================================================================

A group is a dialogue of MELD, which counts them anew in each split, or an episode of MIntRec.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Features, SplitName, Strings
from mmsa.data.known_targets import EMOTION, EXPRESSED, GOAL, INTENT, POLARITIES
from mmsa.data.readers.arrays import numbers
from mmsa.data.readers.base import FileConfig, strings
from mmsa.data.readers.columns import Column, Columns, ColumnsReader, InputName, Labels, ragged
from mmsa.data.readers.delimited import needed, read_texts
from mmsa.data.readers.settings import TextConfig
from mmsa.data.target_spec import TargetSpec
from mmsa.data.unpickling import load
from mmsa.data.validation import first_few
from mmsa.errors import DataError, did_you_mean, shown


class ClassTableReader(ColumnsReader):
    """Base of both readers.

    Attributes:
        FILES: the table of each split.
        DELIMITER: between its cells.
    """

    FILES: ClassVar[Mapping[SplitName, str]]
    DELIMITER: ClassVar[str]

    def columns(self) -> Mapping[SplitName, Columns]:
        """The columns of each split whose table is there."""
        files = {split: self.path / name for split, name in self.FILES.items()}
        return {split: self.columns_of(split, file) for split, file in files.items() if file.is_file()}

    def split_advice(self, split: SplitName) -> str:
        """The table that is missing."""
        return f"Its rows stand in {self.FILES[split]}: put that table into the folder."

    def columns_of(self, split: SplitName, file: Path) -> Columns:
        """The columns of the table of one split."""
        raise NotImplementedError


def class_positions(cells: Sequence[str], target: TargetSpec, file: Path) -> NDArray[np.float32]:
    """(N,) positions of classes; case does not matter.

    Raises:
        DataError: for names that are none of the classes.
    """
    positions = {name.lower(): float(position) for position, name in enumerate(target.classes)}
    wrong = sorted({cell for cell in cells if cell.lower() not in positions})
    if wrong:
        advice = did_you_mean(wrong[0], target.classes)
        raise DataError(f"{file}: {target.name} is {first_few(map(shown, wrong))}, no class. {advice}")
    return np.array([positions[cell.lower()] for cell in cells], np.float32)


class MeldReader(ClassTableReader):
    """Reader of MELD."""

    Config: ClassVar[type[FileConfig]] = TextConfig
    FILES: ClassVar[Mapping[SplitName, str]] = {
        "train": "train_sent_emo.csv",
        "valid": "dev_sent_emo.csv",
        "test": "test_sent_emo.csv",
    }
    DELIMITER = ","

    def named_targets(self) -> Sequence[TargetSpec]:
        """Seven emotions, and three polarities."""
        return EMOTION, POLARITIES

    def columns_of(self, split: SplitName, file: Path) -> Columns:
        """The columns of the table of one split."""
        table = read_texts(file, self.DELIMITER)
        dialogues = [f"{split}-dia{number}" for number in needed(table, file, "Dialogue_ID")]
        numbered = zip(dialogues, needed(table, file, "Utterance_ID"), strict=True)
        ids = strings([f"{dialogue}_utt{number}" for dialogue, number in numbered], f"{file.name} ids")
        texts = Strings(strings(needed(table, file, "Utterance"), f"{file.name} Utterance"))
        labels: Mapping[str, Labels] = {
            EMOTION.name: partial(class_positions, needed(table, file, "Emotion"), EMOTION, file),
            POLARITIES.name: partial(class_positions, needed(table, file, "Sentiment"), POLARITIES, file),
        }
        return Columns(ids, np.array(dialogues, np.str_), labels, {"strings": Column(None, lambda: texts)})


class MIntRecReader(ClassTableReader):
    """Reader of MIntRec."""

    FILES: ClassVar[Mapping[SplitName, str]] = {"train": "train.tsv", "valid": "dev.tsv", "test": "test.tsv"}
    DELIMITER = "\t"
    PICKLES: ClassVar[Mapping[InputName, tuple[str, ...]]] = {
        "vision": ("video_feats.pkl", "video_data/video_feats.pkl"),
        "audio": ("audio_feats.pkl", "audio_data/audio_feats.pkl"),
    }

    def named_targets(self) -> Sequence[TargetSpec]:
        """Twenty intents, and which of the two groups an intent is in."""
        return INTENT, GOAL

    def columns_of(self, split: SplitName, file: Path) -> Columns:
        """The columns of the table of one split."""
        table = read_texts(file, self.DELIMITER)
        places = zip(needed(table, file, "season"), needed(table, file, "episode"), strict=True)
        episodes = [f"{season}_{episode}" for season, episode in places]
        clips = zip(episodes, needed(table, file, "clip"), strict=True)
        ids = strings([f"{episode}_{clip}" for episode, clip in clips], f"{file.name} clips")
        texts = Strings(strings(needed(table, file, "text"), f"{file.name} text"))
        inputs: dict[InputName, Column] = {"strings": Column(None, lambda: texts)}
        for name, frames in self._frames.items():
            width = next((np.shape(value)[-1] for value in frames.values() if np.ndim(value) > 1), 0)
            inputs[name] = Column(width, partial(self._read, name, ids, width, f"{self.path.name} {split}"))
        cells = needed(table, file, "label")
        labels: Mapping[str, Labels] = {
            INTENT.name: partial(class_positions, cells, INTENT, file),
            GOAL.name: lambda: (class_positions(cells, INTENT, file) >= len(EXPRESSED)).astype(np.float32),
        }
        return Columns(ids, np.array(episodes, np.str_), labels, inputs)

    @cached_property
    def _frames(self) -> Mapping[InputName, Mapping[str, Any]]:
        """Frames of all clips, by their keys.

        Raises:
            DataError: for a pickle that holds anything but a dict of arrays.
        """
        found: dict[InputName, Mapping[str, Any]] = {}
        for name, places in self.PICKLES.items():
            file = next((self.path / place for place in places if (self.path / place).is_file()), None)
            if file is None or name not in self.config.modalities:
                continue
            content = load(file)
            if not isinstance(content, dict) or not all(isinstance(v, np.ndarray) for v in content.values()):
                raise DataError(
                    f"{file}: {shown(content, 40)}; must be a dict of arrays by season_episode_clip"
                )
            found[name] = content
        return found

    def _read(self, name: InputName, ids: NDArray[np.str_], width: int, source: str) -> Features:
        rows = []
        for key in ids.tolist():
            if key not in self._frames[name]:
                rows.append(np.empty((0, width), np.float32))
                continue
            frames = numbers(self._frames[name][key], f"{source} {name} of {key}")
            # Faces are (T, 1, D): there is one speaker in a frame.
            frames = frames[:, 0] if frames.ndim == 3 and frames.shape[1] == 1 else frames
            if frames.ndim != 2 or frames.shape[1] != width:
                raise DataError(f"{source} {name} of {key}: shape {frames.shape}; must be (T, {width})")
            rows.append(frames)
        return ragged(rows, width, f"{source} {name}")
