"""Reader of UR-FUNNY: whether the last sentence of a passage, the punchline, is followed by laughter.

================================  ==========================================================================
file                              content
================================  ==========================================================================
data_folds.pkl                    {train, dev, test: ids}
humor_label_sdk.pkl               {id: 0 or 1}
language_sdk.pkl                  version 2: {id: punchline_sentence, context_sentences, ...}
word_embedding_indexes_sdk.pkl    version 1: {id: punchline_embedding_indexes, ...}, into word_list.pkl
covarep_features_sdk.pkl          {id: punchline_features (T, 81), ...}
openface_features_sdk.pkl         {id: punchline_features (T, 371), ...}
================================  ==========================================================================

Audio and vision are those of the punchline; text is the punchline, and with ``data.context`` what was said
before. The files do not tell who speaks, so each row is a group of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Features, SplitName, Strings
from mmsa.data.known_targets import HUMOR
from mmsa.data.readers.arrays import numbers
from mmsa.data.readers.base import FileConfig, split_of, strings
from mmsa.data.readers.columns import Column, Columns, ColumnsReader, InputName, ragged
from mmsa.data.readers.settings import ContextConfig
from mmsa.data.target_spec import TargetSpec
from mmsa.data.unpickling import load
from mmsa.data.validation import first_few
from mmsa.errors import DataError, Problem, shown

logger = logging.getLogger("mmsa.data")

_FILES: Mapping[InputName, str] = {"audio": "covarep_features_sdk.pkl", "vision": "openface_features_sdk.pkl"}


class UrFunnyReader(ColumnsReader):
    """Reader of both versions."""

    Config: ClassVar[type[FileConfig]] = ContextConfig

    config: Any

    def named_targets(self) -> Sequence[TargetSpec]:
        """Whether it is humorous."""
        return (HUMOR,)

    def columns(self) -> Mapping[SplitName, Columns]:
        """The columns of each split."""
        logger.warning(
            "%s: nobody can see whether a speaker is in two splits; each row is a group", self.path.name
        )
        found: dict[SplitName, Columns] = {}
        for name, keys in self._dict("data_folds.pkl").items():
            if split := split_of(name):
                if not isinstance(keys, (list, tuple, np.ndarray)):
                    raise DataError(
                        f"{self.path / 'data_folds.pkl'}: {name} is {shown(keys, 40)}; must be a list"
                    )
                found[split] = self._columns_of(split, list(keys))
        return found

    def _dict(self, name: str) -> Mapping[Any, Any]:
        file = self.path / name
        content = load(file)
        if not isinstance(content, dict):
            raise DataError(f"{file}: holds a {type(content).__name__}; must be a dict by id")
        return content

    @cached_property
    def _language(self) -> Mapping[Any, Any]:
        newer = (self.path / "language_sdk.pkl").is_file()
        return self._dict("language_sdk.pkl" if newer else "word_embedding_indexes_sdk.pkl")

    @cached_property
    def _words(self) -> Sequence[Any]:
        content = load(self.path / "word_list.pkl")
        if not isinstance(content, (list, tuple, np.ndarray)):
            raise DataError(f"{self.path / 'word_list.pkl'}: {shown(content, 40)}; must be a list of words")
        words: Sequence[Any] = list(content)
        return words

    @cached_property
    def _frames(self) -> Mapping[InputName, Mapping[Any, Any]]:
        there = {name: file for name, file in _FILES.items() if (self.path / file).is_file()}
        return {name: self._dict(file) for name, file in there.items() if name in self.config.modalities}

    def _columns_of(self, split: SplitName, keys: Sequence[Any]) -> Columns:
        source, problems = f"{self.path.name} {split}", []
        lost = [key for key in keys if not isinstance(self._language.get(key), dict)]
        if lost:
            rule = f"{len(lost)} ids of the split have no text"
            problems.append(
                Problem(f"{split} ids", first_few(lost), rule, "Remove them from data_folds.pkl.")
            )
        ids = strings([str(key) for key in keys], f"{source} ids")
        inputs: dict[InputName, Column] = {"strings": Column(None, partial(self._texts, keys, source))}
        for name, frames in self._frames.items():
            shapes = (
                np.shape(_part(frames, key)) for key in keys if isinstance(_part(frames, key), np.ndarray)
            )
            width = next((shape[1] for shape in shapes if len(shape) == 2), 0) or _width(frames, keys)
            inputs[name] = Column(width, partial(self._read, name, keys, width, source))
        labels = {HUMOR.name: partial(self._labels, keys, source)}
        return Columns(ids, ids, labels, inputs, tuple(problems))

    def _labels(self, keys: Sequence[Any], source: str) -> NDArray[np.float32]:
        table = self._dict("humor_label_sdk.pkl")
        if lost := [key for key in keys if key not in table]:
            raise DataError(f"{source}: {len(lost)} ids have no label: {first_few(lost)}")
        found = [table[key] if isinstance(table[key], (list, np.ndarray)) else [table[key]] for key in keys]
        values = [numbers(value, f"{source} labels").reshape(-1) for value in found]
        if any(len(value) != 1 for value in values):
            raise DataError(f"{source}: a label must be one number, 0 or 1")
        return np.concatenate([np.empty(0), *values]).astype(np.float32)

    def _texts(self, keys: Sequence[Any], source: str) -> Strings:
        return Strings(
            strings([self._text(self._language[key], source) for key in keys], f"{source} sentences")
        )

    def _text(self, entry: Mapping[str, Any], source: str) -> str:
        if "punchline_sentence" in entry:
            context = _list_in(entry, "context_sentences", source) if self.config.context else ()
            return " ".join(map(str, strings([*context, entry["punchline_sentence"]], source)))
        parts = [_list_in(entry, "punchline_embedding_indexes", source)]
        if self.config.context:
            parts = [*_list_in(entry, "context_embedding_indexes", source), *parts]
        positions = [int(place) for part in parts for place in numbers(part, source, 1)]
        if wrong := [place for place in positions if not 0 <= place < len(self._words)]:
            raise DataError(f"{source}: word {first_few(wrong)} of a list of {len(self._words)}")
        return " ".join(strings([self._words[place] for place in positions], source))

    def _read(self, name: InputName, keys: Sequence[Any], width: int, source: str) -> Features:
        rows = []
        for key in keys:
            found = _part(self._frames[name], key)
            empty = found is None or len(found) == 0
            frames = np.empty((0, width)) if empty else numbers(found, f"{source} {name} of {key}", 2)
            if frames.shape[1] != width:
                raise DataError(f"{source} {name} of {key}: shape {frames.shape}; must be (T, {width})")
            rows.append(frames)
        return ragged(rows, width, f"{source} {name}")


def _list_in(entry: Mapping[str, Any], key: str, source: str) -> Sequence[Any]:
    found = entry.get(key, ())
    if not isinstance(found, (list, tuple, np.ndarray)):
        raise DataError(f"{source}: {key} is {shown(found, 40)}; must be a list")
    return list(found)


def _part(frames: Mapping[Any, Any], key: Any) -> Any:
    """The frames of a punchline; None where there are none."""
    entry = frames.get(key)
    found = entry.get("punchline_features") if isinstance(entry, dict) else None
    return found if isinstance(found, (list, tuple, np.ndarray)) else None


def _width(frames: Mapping[Any, Any], keys: Sequence[Any]) -> int:
    """Number of columns of frames that are lists of lists."""
    lists = (_part(frames, key) for key in keys)
    first = next((found[0] for found in lists if isinstance(found, (list, tuple)) and found), ())
    return len(first) if isinstance(first, (list, tuple, np.ndarray)) else 0
