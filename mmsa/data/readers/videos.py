"""Readers of pickles that go by videos: GCNet's lists of dicts, and the tuples of Poria and others.

=================  =========================================================================================
GCNet              a list of seven: utterances, labels, speakers and sentences of each video, each a dict by
                   video, then the sets of videos of train, valid and test (six for IEMOCAP, without valid);
                   beside it, perhaps, features/<name>-UTT/<utterance>.npy, one vector or some frames each
Poria              a tuple of seven: train X (V, T, D) and y (V, T), test X and y, the longest T, numbers of
                   utterances of train and of test; a video is a sequence of utterances, and a file has one
                   modality, which its name tells
=================  =========================================================================================

A row is an utterance, and its group the video. Padded labels are 0, as real ones may be, so rows are counted
by the stored numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Features, ModalityName, SplitName, Strings
from mmsa.data.known_targets import POLARITY
from mmsa.data.readers.arrays import numbers
from mmsa.data.readers.base import FileConfig, strings
from mmsa.data.readers.columns import Column, Columns, InputName, ragged
from mmsa.data.readers.npy import array_in
from mmsa.data.readers.pickled import PICKLES, PickledReader
from mmsa.data.readers.settings import GcnetConfig
from mmsa.data.target_spec import TargetSpec
from mmsa.data.unpickling import load
from mmsa.data.validation import first_few
from mmsa.errors import DataError, Problem, shown

_SETS: Mapping[int, tuple[SplitName, ...]] = {7: ("train", "valid", "test"), 6: ("train", "test")}
_INPUTS: Mapping[str, InputName] = {
    "audio": "audio",
    "video": "vision",
    "visual": "vision",
    "text": "features",
}


class GcnetReader(PickledReader):
    """Reader of GCNet's files."""

    Config: ClassVar[type[FileConfig]] = GcnetConfig

    def columns(self) -> Mapping[SplitName, Columns]:
        """The columns of each split."""
        content = self.content
        sizes = _SETS.get(len(content)) if isinstance(content, list) else None
        if sizes is None or not all(isinstance(part, dict) for part in content[:4]):
            rule = "must be a list of utterances, labels, speakers and sentences by video, and sets of videos"
            raise DataError(f"{self.path}: {shown(content, 40)}; {rule}")
        utterances, labels, _, sentences = content[:4]
        return {
            split: self._columns_of(split, self._videos(videos, split), utterances, labels, sentences)
            for split, videos in zip(sizes, content[4:], strict=True)
            if len(self._videos(videos, split))
        }

    @property
    def content(self) -> Any:
        """What the one pickle of the layout holds, of a folder as of a file."""
        if self._given is None:
            self._given = load(_only_pickle(self.path))
        return self._given

    def _videos(self, videos: Any, split: SplitName) -> list[str]:
        if not isinstance(videos, (set, list, tuple)) or not all(isinstance(name, str) for name in videos):
            raise DataError(f"{self.path}: the videos of {split} are {shown(videos)}; must be a set of names")
        return sorted(videos)  # a set has no order of its own

    def _columns_of(
        self, split: SplitName, videos: Sequence[str], utterances: Any, labels: Any, sentences: Any
    ) -> Columns:
        source = f"{self.path.name} {split}"
        problems = []
        if lost := [video for video in videos if video not in utterances]:
            rule = f"{len(lost)} videos of the split have no utterances"
            problems.append(Problem(f"{split} videos", first_few(lost), rule, "Remove them from its set."))
        known = [video for video in videos if video in utterances]
        names = [strings(utterances[video], f"{source} ids of {video}") for video in known]
        groups = [video for video, ids in zip(known, names, strict=True) for _ in ids]
        ids = np.concatenate([np.empty(0, np.str_), *names])
        counts = [len(name) for name in names]
        inputs: dict[InputName, Column] = {
            "strings": Column(None, partial(_sentences, known, counts, sentences, source))
        }
        for name, features in self._features().items():
            width = next((_width(features, person) for person in ids if _width(features, person)), 0)
            inputs[name] = Column(width, partial(_utterance_frames, features, ids, width, source))
        values = partial(_flat_labels, known, counts, labels, source)
        return Columns(ids, np.array(groups, np.str_), {"": values}, inputs, tuple(problems))

    def _features(self) -> Mapping[InputName, Path]:
        """Folders of features by what is read from them.

        Raises:
            DataError: for names of folders that are not there.
        """
        wanted: dict[InputName, str | None] = {
            "features": getattr(self.config, "text_features", None),
            "audio": getattr(self.config, "audio_features", None),
            "vision": getattr(self.config, "vision_features", None),
        }
        chosen = {name: self._folder / f"{feature}-UTT" for name, feature in wanted.items() if feature}
        lost = [place for place in chosen.values() if not place.is_dir()]
        if lost:
            raise DataError(f"{lost[0]}: there is no such folder; features here: {self._kinds() or 'none'}")
        return chosen

    def source_advice(self, modality: ModalityName) -> str:
        """The setting that names a folder of features, and those that are there."""
        kinds = self._kinds()
        return f" Or name its features in data.{modality}_features; here are {kinds}." if kinds else ""

    @property
    def _folder(self) -> Path:
        """Where the folders of features are."""
        return (self.path if self.path.is_dir() else self.path.parent) / "features"

    def _kinds(self) -> str:
        """Kinds of features that have a folder, in words."""
        return first_few(sorted(place.name.removesuffix("-UTT") for place in self._folder.glob("*-UTT")))


def _only_pickle(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = [file for file in sorted(path.iterdir()) if file.suffix in PICKLES]
    if len(files) != 1:
        raise DataError(f"{path}: has {first_few(file.name for file in files) or 'no pickle'}; must have one")
    return files[0]


def _sentences(videos: Sequence[str], counts: Sequence[int], sentences: Any, source: str) -> Strings:
    texts = [
        strings(_of(sentences, video, count, source), source)
        for video, count in zip(videos, counts, strict=True)
    ]
    return Strings(np.concatenate([np.empty(0, np.str_), *texts]))


def _flat_labels(
    videos: Sequence[str], counts: Sequence[int], labels: Any, source: str
) -> NDArray[np.float32]:
    found = [
        numbers(_of(labels, video, count, source), f"{source} labels of {video}", 1)
        for video, count in zip(videos, counts, strict=True)
    ]
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf, and is refused as a label
        return np.concatenate([np.empty(0), *found]).astype(np.float32)


def _of(table: Any, video: str, count: int, source: str) -> Any:
    """What a dict has of a video, in which as many utterances are named."""
    found = table.get(video)
    if not isinstance(found, (list, tuple, np.ndarray)) or len(found) != count:
        raise DataError(f"{source}: {shown(found, 40)} for the {count} utterances of {video}")
    return found


def _width(folder: Path, utterance: str) -> int:
    file = folder / f"{utterance}.npy"
    return int(array_in(file).shape[-1]) if file.is_file() else 0


def _utterance_frames(folder: Path, ids: NDArray[np.str_], width: int, source: str) -> Features:
    rows = []
    for name in ids:
        file = folder / f"{name}.npy"
        frames = array_in(file) if file.is_file() else np.empty((0, width), np.float32)
        frames = frames[None] if frames.ndim == 1 else frames
        if frames.ndim != 2 or frames.shape[1] != width:
            raise DataError(f"{file}: shape {frames.shape}; must be ({width},) or (T, {width})")
        rows.append(frames)
    return ragged(rows, width, f"{source} {folder.name}")


class PoriaReader(PickledReader):
    """Reader of tuples of one modality, or of a folder with one for each."""

    def columns(self) -> Mapping[SplitName, Columns]:
        """The columns of train and test; there is no valid."""
        parts = {name: self._part(content, file) for name, (content, file) in self._contents().items()}
        columns: dict[SplitName, Columns] = {}
        for split in ("train", "test"):
            lengths = {name: part[split][2] for name, part in parts.items()}
            first = next(iter(lengths.values()))
            if any(other != first for other in lengths.values()):
                raise DataError(f"{self.path}: the files have other numbers of utterances of {split}")
            groups = np.array([f"{split}-{video}" for video, count in enumerate(first) for _ in range(count)])
            ids = [f"{split}-{video}[{k}]" for video, count in enumerate(first) for k in range(count)]
            inputs = {name: self._column(name, part[split]) for name, part in parts.items()}
            labels = partial(
                _unpadded_labels, *next(iter(parts.values()))[split][1:], f"{self.path.name} {split}"
            )
            columns[split] = Columns(np.array(ids, np.str_), groups, {POLARITY.name: labels}, inputs)
        return columns

    def named_targets(self) -> Sequence[TargetSpec]:
        """Whether an utterance is positive."""
        return (POLARITY,)

    def _contents(self) -> Mapping[InputName, tuple[Any, Path]]:
        files = [self.path]
        if self.path.is_dir():
            files = [file for file in sorted(self.path.iterdir()) if file.suffix in PICKLES]
        found: dict[InputName, tuple[Any, Path]] = {}
        for file in files:
            name = next((name for word, name in _INPUTS.items() if word in file.stem.lower()), None)
            if name is None or name in found:
                words = ", ".join(_INPUTS)
                raise DataError(f"{file}: the name of a file must tell its modality by one of {words}")
            given = self._given if file == self.path and self._given is not None else load(file)
            found[name] = (given, file)
        if not found:
            raise DataError(f"{self.path}: has no pickle")
        return found

    def _part(self, content: Any, file: Path) -> Mapping[SplitName, tuple[Any, Any, list[int]]]:
        if not isinstance(content, tuple) or len(content) != 7:
            raise DataError(
                f"{file}: {shown(content, 40)}; must be a tuple of seven, train X to test lengths"
            )
        train_X, train_y, test_X, test_y, _, train_lengths, test_lengths = content
        return {
            "train": (train_X, train_y, _counts(train_lengths, train_X, f"{file.name} train")),
            "test": (test_X, test_y, _counts(test_lengths, test_X, f"{file.name} test")),
        }

    def _column(self, name: InputName, part: tuple[Any, Any, list[int]]) -> Column:
        features, _, counts = part
        return Column(int(features.shape[-1]), partial(self._unpadded, features, counts, name))

    def _unpadded(self, features: NDArray[Any], counts: Sequence[int], name: InputName) -> Features:
        values = numbers(features, f"{self.path.name} {name}", 3)
        rows = [values[video, step][None] for video, count in enumerate(counts) for step in range(count)]
        return ragged(rows, values.shape[-1], f"{self.path.name} {name}")


def _counts(lengths: Any, features: Any, source: str) -> list[int]:
    """Numbers of utterances of each video, which fit the features."""
    if not isinstance(features, np.ndarray) or features.ndim != 3:
        raise DataError(f"{source}: X must be an array of shape (videos, utterances, D)")
    counts = numbers(lengths, f"{source} lengths", 1)
    if len(counts) != len(features) or not np.isin(counts, np.arange(features.shape[1] + 1)).all():
        rule = f"must be a whole number up to {features.shape[1]} for each of {len(features)} videos"
        raise DataError(f"{source} lengths: {shown(counts.tolist(), 60)}; {rule}")
    return [int(count) for count in counts]


def _unpadded_labels(labels: Any, counts: Sequence[int], source: str) -> NDArray[np.float32]:
    values = numbers(labels, f"{source} labels", 2)
    if len(values) != len(counts) or values.shape[1] < max(counts, default=0):
        raise DataError(
            f"{source} labels: shape {values.shape} for {len(counts)} videos of up to {max(counts)}"
        )
    rows = [values[video, :count] for video, count in enumerate(counts)]
    return np.concatenate([np.empty(0), *rows]).astype(np.float32)
