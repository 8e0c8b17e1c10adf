"""Reader of MPDD 2025: one track, elderly or young people, in clips of some seconds.

=============================================  =============================================================
file                                           content
=============================================  =============================================================
Training/labels/<one>.json                     a list of clips: id, audio_feature_path, video_feature_path,
                                               bin_category, tri_category, pen_category
Testing/labels/<one>.json                      the same without categories
Training/<window>/Audio/<features>/<path>      npy of a clip, (T, D) or (D,); Testing likewise
Training/<window>/Visual/<features>/<path>     likewise
=============================================  =============================================================

**This layout is not verified**: nobody here has seen the files. ``data.path`` is the folder of one track; the
categories are two, three or five classes, of which a track may lack the last. There is no valid: search on
folds. A group is a person, the first part of the name of a clip, as far as known counted anew in test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Features, SplitName
from mmsa.data.known_targets import MPDD
from mmsa.data.readers.base import FileConfig, json_table, pseudonym, strings
from mmsa.data.readers.columns import Column, Columns, ColumnsReader, InputName, Labels, ragged
from mmsa.data.readers.npy import array_in
from mmsa.data.readers.settings import MpddConfig
from mmsa.data.target_spec import TargetSpec
from mmsa.data.validation import first_few
from mmsa.errors import DataError, Problem, shown

_FOLDERS: Mapping[SplitName, str] = {"train": "Training", "test": "Testing"}
_INPUTS: Mapping[InputName, tuple[str, str]] = {
    "audio": ("Audio", "audio_feature_path"),
    "vision": ("Visual", "video_feature_path"),
}
Clip = Mapping[str, Any]


class MpddReader(ColumnsReader):
    """Reader of the layout above."""

    Config: ClassVar[type[FileConfig]] = MpddConfig

    config: Any

    def named_targets(self) -> Sequence[TargetSpec]:
        """The categories that clips of train have."""
        first = next(iter(self._clips["train"]), {})
        return tuple(target for key, target in MPDD.items() if key in first)

    def columns(self) -> Mapping[SplitName, Columns]:
        """The columns of train, and of test."""
        return {split: self._columns_of(split, clips) for split, clips in self._clips.items() if clips}

    @cached_property
    def _clips(self) -> Mapping[SplitName, list[Clip]]:
        """The clips of each split whose folder is there.

        Raises:
            DataError: for files that are damaged or hold anything else.
        """
        found = {split: _clips_in(self.path / folder / "labels") for split, folder in _FOLDERS.items()}
        if not found["train"]:
            raise DataError(
                f"{self.path}: has no clips in Training/labels; data.path is the folder of one track"
            )
        return found

    def _columns_of(self, split: SplitName, clips: Sequence[Clip]) -> Columns:
        source = f"{self.path.name} {split}"
        names = [Path(clip["audio_feature_path"]).stem for clip in clips]
        ids = strings([self._shown(f"{split}:{name}") for name in names], f"{source} clips")
        people = [f"{split}:{name.partition('_')[0]}" for name in names]
        groups = strings([self._shown(person) for person in people], f"{source} people")
        inputs: dict[InputName, Column] = {}
        for kind in _INPUTS:
            files = [self._file(split, kind, clip) for clip in clips]
            first = next((file for file in files if file.is_file()), None)
            if first is not None:
                shape = array_in(first).shape
                width = int(shape[-1]) if shape else 0
                inputs[kind] = Column(width, partial(_frames, files, width, f"{source} {kind}"))
        problems = []
        lacking = [target.name for key, target in MPDD.items() if not all(key in clip for clip in clips)]
        wanted = [target.name for target in self.named_targets() if target.name in lacking]
        if wanted:
            rule = "have no such category"
            advice = "The organisers keep those of test: measure on folds of train, or hand predictions in."
            problems.append(Problem(f"{split} labels", ", ".join(wanted), rule, advice))
        labels: Mapping[str, Labels] = {
            target.name: partial(_categories, clips, key, target, source) for key, target in MPDD.items()
        }
        return Columns(ids, groups, labels, inputs, tuple(problems))

    def _shown(self, name: str) -> str:
        """A name that only who has the labels can tell from others: numbers of people are guessed at once."""
        return pseudonym(name, self._key) if self.config.pseudonyms else name

    @cached_property
    def _key(self) -> bytes:
        files = sorted((self.path / _FOLDERS["train"] / "labels").glob("*.json"))
        return hashlib.sha256(files[0].read_bytes()).digest()

    def _file(self, split: SplitName, kind: InputName, clip: Clip) -> Path:
        folder, key = _INPUTS[kind]
        features: str = self.config.audio_features if kind == "audio" else self.config.vision_features
        # Only the name: a table may not lead out of its folder.
        window: str = self.config.clip
        return self.path / _FOLDERS[split] / window / folder / features / Path(clip[key]).name


def _clips_in(folder: Path) -> list[Clip]:
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if not files:
        return []
    if len(files) > 1:
        raise DataError(
            f"{folder}: has {first_few(file.name for file in files)}; must have one, of all clips"
        )
    (file,) = files
    clips = json_table(file)
    paths = [key for _, key in _INPUTS.values()]
    if not isinstance(clips, list) or not all(
        isinstance(clip, dict)
        and all(isinstance(clip.get(key), str) and Path(clip[key]).name for key in paths)
        for clip in clips
    ):
        raise DataError(f"{file}: must be a list of clips, each with {' and '.join(paths)}")
    return clips


def _categories(clips: Sequence[Clip], key: str, target: TargetSpec, source: str) -> NDArray[np.float32]:
    values = [clip.get(key) for clip in clips]
    wrong = [
        shown(value, 40) for value in values if type(value) is not int or not 0 <= value < len(target.classes)
    ]
    if wrong:
        rule = f"must be a whole number from 0 to {len(target.classes) - 1}"
        raise DataError(f"{source}: {key} is {first_few(dict.fromkeys(wrong))}; {rule}")
    return np.array(values, np.float32)


def _frames(files: Sequence[Path], width: int, source: str) -> Features:
    rows = []
    for file in files:
        frames = np.atleast_2d(array_in(file)) if file.is_file() else np.empty((0, width), np.float32)
        if frames.ndim != 2 or frames.shape[1] != width:
            raise DataError(f"{file}: shape {frames.shape}; must be (T, {width}) or ({width},)")
        rows.append(frames)
    return ragged(rows, width, source)
