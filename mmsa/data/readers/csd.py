"""Reader of CMU-MultimodalSDK's computational sequences: a folder of csd files, which are HDF5.

=================================  =========================================================================
in a file                          content
=================================  =========================================================================
<root>/data/<key>/features         (n, d) numbers; of words (n, 1) bytes, ``sp`` for a pause
<root>/data/<key>/intervals        (n, 2) seconds
<root>/metadata/<field>            not read
=================================  =========================================================================

A key is a video, or, in files that were aligned to labels, ``video[k]``. A row is an interval of the labels;
of files by video it has the frames whose middle lies in that interval. The name of the root, such as
``CMU_MOSI_COVAREP``, says what a file is. Key sets differ: a row without a key lacks the modality.

The standard folds are lists of videos in the code of the SDK. They are read from ``folds.json`` beside the
files, ``{"train": [...], "valid": [...], "test": [...]}``; without it all rows are train, for folds.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import SPLITS, Features, SplitName, Strings
from mmsa.data.known_targets import EMOTIONS, MOSEI_EMOTIONS, SENTIMENT
from mmsa.data.readers.base import FileConfig, split_of, strings
from mmsa.data.readers.columns import Column, Columns, ColumnsReader, InputName, Labels, ragged
from mmsa.data.readers.hdf5 import array_of, members, opened_hdf5
from mmsa.data.readers.settings import FeaturesConfig
from mmsa.data.target_spec import TargetSpec
from mmsa.data.validation import first_few
from mmsa.errors import DataError, shown

logger = logging.getLogger("mmsa.data")

_LABELS = "labels"
_ROLES: Mapping[str, re.Pattern[str]] = {
    "strings": re.compile(r"words$", re.IGNORECASE),
    "features": re.compile(r"wordvectors|glove|bert", re.IGNORECASE),
    "audio": re.compile(r"coa?varep|opensmile|mfcc", re.IGNORECASE),
    "vision": re.compile(r"facet|openface", re.IGNORECASE),
    _LABELS: re.compile(r"labels?$", re.IGNORECASE),
}
"""What a file holds, by the name of its root; the first that fits."""
_PAUSE = "sp"
_SEGMENT = re.compile(r"(.+)\[([0-9]+)\]", re.DOTALL)
_FRAMES: tuple[InputName, ...] = ("features", "audio", "vision")
FOLDS = "folds.json"
_LARGEST_FOLDS = 16 << 20  # bytes


@dataclass(frozen=True)
class LabelledSegment:
    """One row.

    Attributes:
        id: ``video[k]``.
        video: that it is cut from.
        key: of the row in the files: the same as ``id`` where they are aligned, else the video.
        span: begin and end in seconds; None for all that an aligned key has.
        label: (1,), or (7,) of CMU-MOSEI.
    """

    id: str
    video: str
    key: str
    span: NDArray[np.float64] | None
    label: NDArray[np.float64]


class CsdReader(ColumnsReader):
    """Reader of the layout above."""

    Config: ClassVar[type[FileConfig]] = FeaturesConfig

    config: Any

    def named_targets(self) -> Sequence[TargetSpec]:
        """Sentiment and emotions of CMU-MOSEI; else the one label has no name."""
        return (SENTIMENT, EMOTIONS) if self._width(_LABELS) == 1 + len(MOSEI_EMOTIONS) else ()

    def columns(self) -> Mapping[SplitName, Columns]:
        """The columns of each split."""
        homes = self._homes()
        found: dict[SplitName, Columns] = {}
        for split in SPLITS:
            chosen = [row for row in self._rows if homes.get(row.video) == split]
            if chosen:
                found[split] = self._columns_of(split, chosen)
        return found

    @cached_property
    def _files(self) -> Mapping[str, Path]:
        """The file of each role.

        Raises:
            DataError: for a folder without labels, and with several files of a modality.
        """
        candidates: dict[str, dict[str, Path]] = {}
        for file in sorted(self.path.glob("*.csd")):
            root = self._root(file)
            role = next((name for name, pattern in _ROLES.items() if pattern.search(root)), None)
            if role is None:
                logger.warning("%s: its root is called %s, and it is not read", file.name, shown(root, 60))
                continue
            candidates.setdefault(role, {})[root] = file
        chosen: dict[str, Path] = {}
        for role, by_root in candidates.items():
            wanted = getattr(self.config, f"{role}_features", None) if role in ("audio", "vision") else None
            fitting = {root: file for root, file in by_root.items() if wanted is None or wanted in root}
            if len(fitting) != 1:
                setting = (
                    f"; name one by a part of it in data.{role}_features"
                    if role in ("audio", "vision")
                    else ""
                )
                raise DataError(f"{self.path}: {role} may be any of {first_few(by_root)}{setting}")
            chosen[role] = next(iter(fitting.values()))
        if _LABELS not in chosen:
            raise DataError(
                f"{self.path}: has no csd file of labels, whose root is called such as "
                f"CMU_MOSI_Opinion_Labels; it has {first_few(p.name for p in self.path.glob('*.csd'))}"
            )
        return chosen

    def _root(self, file: Path) -> str:
        with opened_hdf5(file) as content:
            roots = list(members(content, str(file)))
            if len(roots) != 1:
                raise DataError(f"{file}: has the groups {first_few(roots)}; a csd file has one")
            return roots[0]

    @contextmanager
    def _data(self, role: str) -> Iterator[Mapping[str, Any]]:
        file = self._files[role]
        with opened_hdf5(file) as content:
            (root,) = members(content, str(file)).values()
            parts = members(root, f"{file}: {shown(root.name, 60)}")
            if "data" not in parts:
                raise DataError(f"{file}: has no group `data` in its root")
            yield members(parts["data"], f"{file}: data")

    def _entry(
        self, data: Mapping[str, Any], key: str, role: str
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Features (n, d) and intervals (n, 2) of a key."""
        where = f"{self._files[role]}: {shown(key, 60)}"
        parts = members(data[key], where)
        if not {"features", "intervals"} <= parts.keys():
            raise DataError(f"{where}: must have features and intervals, and has {first_few(parts)}")
        features = array_of(parts["features"], where, "SO" if role == "strings" else "biuf")
        intervals = array_of(parts["intervals"], where).astype(np.float64)
        if features.ndim != 2 or not features.shape[1] or intervals.shape != (len(features), 2):
            raise DataError(
                f"{where}: features {features.shape} with intervals {intervals.shape}; "
                "must be (n, d) and (n, 2), with a column at least"
            )
        if role == "strings" and features.shape[1] != 1:
            raise DataError(f"{where}: {features.shape[1]} columns of words; must be one")
        return features, intervals

    def _width(self, role: str) -> int:
        with self._data(role) as data:
            return next((self._entry(data, key, role)[0].shape[1] for key in data), 0)

    @cached_property
    def _rows(self) -> list[LabelledSegment]:
        """An interval of the labels each."""
        found = []
        with self._data(_LABELS) as data:
            for key in data:
                features, intervals = self._entry(data, key, _LABELS)
                segment = _SEGMENT.fullmatch(key)
                if segment is not None and len(features):
                    # Several labels of an aligned key are those of its steps.
                    label = features.astype(np.float64).mean(axis=0)
                    found.append(LabelledSegment(key, segment[1], key, None, label))
                    continue
                found += [
                    LabelledSegment(f"{key}[{number}]", key, key, span, label)
                    for number, (span, label) in enumerate(
                        zip(intervals, features.astype(np.float64), strict=True)
                    )
                ]
        return found

    def _homes(self) -> Mapping[str, SplitName]:
        """The split of each video."""
        file = self.path / FOLDS
        videos = {row.video for row in self._rows}
        if not file.is_file():
            logger.warning("%s: has no %s, so all videos are train: search on folds", self.path.name, FOLDS)
            return dict.fromkeys(videos, "train")
        try:
            if file.stat().st_size > _LARGEST_FOLDS:
                raise ValueError("it is larger than a list of videos")
            lists = json.loads(file.read_text(encoding="utf-8"))
            named = [(str(video), split_of(name)) for name, listed in lists.items() for video in listed]
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(
                f"{file}: {shown(str(error), 200)}; must be lists of videos by train, valid and test"
            ) from None
        homes = {video: split for video, split in named if split}
        if videos and not videos & homes.keys():
            raise DataError(
                f"{file}: none of the {len(videos)} videos, such as {first_few(sorted(videos))}, stands in a "
                f"list of train, valid or test; it has {first_few(map(shown, lists)) or 'no list'}"
            )
        if shared := sorted({video for video, split in named if split and split != homes[video]}):
            rule = "a video must lie in one split, or scores measure recognition of the speaker"
            raise DataError(f"{file}: {first_few(shared)} stand in several lists; {rule}")
        if lost := sorted(videos - homes.keys()):
            logger.warning(
                "%s: %d videos are in no fold and are not used: %s", file.name, len(lost), first_few(lost)
            )
        return homes

    def _columns_of(self, split: SplitName, rows: Sequence[LabelledSegment]) -> Columns:
        source = f"{self.path.name} {split}"
        ids = strings([row.id for row in rows], f"{source} keys")
        groups = strings([row.video for row in rows], f"{source} videos")
        inputs: dict[InputName, Column] = {}
        if "strings" in self._files:
            inputs["strings"] = Column(None, partial(self._texts, rows, source))
        for name in _FRAMES:
            if name in self._files:
                width = self._width(name)
                inputs[name] = Column(width, partial(self._frames, rows, name, width, f"{source} {name}"))
        return Columns(ids, groups, self._labels(rows, source), inputs)

    def _labels(self, rows: Sequence[LabelledSegment], source: str) -> Mapping[str, Labels]:
        widths = sorted({len(row.label) for row in rows})

        def table() -> NDArray[np.float32]:
            if len(widths) != 1 or widths[0] not in (1, 1 + len(MOSEI_EMOTIONS)):
                raise DataError(f"{source}: labels have {first_few(widths)} columns; must be 1, or MOSEI's 7")
            with np.errstate(over="ignore"):
                return np.array([row.label for row in rows]).astype(np.float32)

        if self.named_targets():
            return {
                SENTIMENT.name: lambda: table()[:, 0],
                EMOTIONS.name: lambda: (table()[:, 1:] > 0).astype(np.float32),
            }
        return {"": lambda: table()[:, 0]}

    def _parts(self, rows: Sequence[LabelledSegment], role: str) -> Iterator[NDArray[Any] | None]:
        """The features of each row; None where the file has nothing of it."""
        with self._data(role) as data:
            last, entry = "", None
            for row in rows:
                if row.key != last:
                    entry = self._entry(data, row.key, role) if row.key in data else None
                    last = row.key
                if entry is None or row.span is None:
                    yield None if entry is None else entry[0]
                    continue
                features, intervals = entry
                middle = intervals.mean(axis=1)
                yield features[(middle >= row.span[0]) & (middle < row.span[1])]

    def _texts(self, rows: Sequence[LabelledSegment], source: str) -> Strings:
        texts = []
        for words in self._parts(rows, "strings"):
            told = [] if words is None else strings(words[:, 0], f"{source} words").tolist()
            texts.append(" ".join(word for word in told if word != _PAUSE))
        return Strings(strings(texts, f"{source} words"))

    def _frames(self, rows: Sequence[LabelledSegment], role: str, width: int, source: str) -> Features:
        found = []
        for row, part in zip(rows, self._parts(rows, role), strict=True):
            frames = np.empty((0, width), np.float32) if part is None else part
            if frames.shape[1] != width:
                raise DataError(
                    f"{source} of {shown(row.id, 60)}: {frames.shape[1]} columns; must be {width}"
                )
            found.append(frames)
        return ragged(found, width, source)
