"""Reader of MulT's and MultiBench's pickles: ``{split: {text, audio, vision, labels, id}}``, padded left.

=============  ======================  =================================================================
key            shape                   meaning
=============  ======================  =================================================================
text           (N, T, D) or (N,) str   word vectors (GloVe), or strings
audio, vision  (N, T, D)               frames; with as many steps as the text, aligned to its words
labels         (N, 1, 1) or (N,)       one number
               (N, 1, 7)               CMU-MOSEI: sentiment, then how strong six emotions are
               (N, 4, 2)               IEMOCAP: four pairs, the second of which says that an emotion is there
id             (N, K) str or bytes     the video, or ``video_clip``, and perhaps start and end of the clip
=============  ======================  =================================================================

MultiBench writes UR-FUNNY and MUStARD so, with labels 0 and 1, or -1 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Features, SplitName, Strings
from mmsa.data.known_targets import EMOTIONS, IEMOCAP, SENTIMENT
from mmsa.data.published import identify
from mmsa.data.readers.arrays import id_parts, numbered, numbers, row_numbers, videos_of
from mmsa.data.readers.base import frames, label_column, real_steps, shape_of, split_of, strings
from mmsa.data.readers.columns import Column, Columns, InputName, Labels
from mmsa.data.readers.pickled import PickledReader
from mmsa.data.target_spec import TargetSpec
from mmsa.errors import DataError, Problem, did_you_mean

_BINARY = TargetSpec("label", "binary")
_MULTIBENCH = ("humor", "sarcasm")  # names of files whose labels are classes

Table = Mapping[str, Any]


class MultReader(PickledReader):
    """Reader of the layout above."""

    def columns(self) -> Mapping[SplitName, Columns]:
        """The columns of each split."""
        return {split: self._columns_of(split, table) for split, table in self._tables.items()}

    def named_targets(self) -> Sequence[TargetSpec]:
        """IEMOCAP's four emotions, or MOSEI's sentiment and emotions, or a class; else one label."""
        kinds = {self._kind(table) for table in self._tables.values()}
        kind = kinds.pop() if len(kinds) == 1 else ""
        if kind == "iemocap":
            return IEMOCAP
        if kind == "mosei":
            return SENTIMENT, EMOTIONS
        return (_BINARY,) if self._holds_classes else ()

    @property
    def origin(self) -> str:
        """The file itself where rows have no ids and are numbered."""
        if all("id" in table for table in self._tables.values()) or self.path.is_dir():
            return ""
        return identify(self.path)[0]

    @cached_property
    def _tables(self) -> Mapping[SplitName, Table]:
        if not isinstance(self.content, dict):
            raise DataError(f"{self.path}: holds a {type(self.content).__name__}, not a dict of splits")
        tables: dict[SplitName, Table] = {}
        for name, table in self.content.items():
            if not (split := split_of(name)):
                continue
            if split in tables or not isinstance(table, dict):
                raise DataError(f"{self.path}: {name!r} must be the only dict of columns of {split}")
            tables[split] = table
        return tables

    @property
    def _holds_classes(self) -> bool:
        """Whether the one label of a row is a class: nothing but the name of the file says so."""
        return any(word in self.path.stem.lower() for word in _MULTIBENCH)

    def _kind(self, table: Table) -> str:
        shape = shape_of(table.get("labels")) or ()
        return {(4, 2): "iemocap", (1, 7): "mosei", (7,): "mosei"}.get(shape[1:], "")

    def _columns_of(self, split: SplitName, table: Table) -> Columns:
        source, problems = f"{self.path.name} {split}", []
        if "labels" not in table:
            advice = did_you_mean("labels", [key for key in table if isinstance(key, str)])
            problems.append(Problem(f"{split}.labels", None, "is not in the file", advice))
        shapes = {key: shape_of(table[key]) for key in ("text", "audio", "vision", "labels") if key in table}
        problems += [
            Problem(f"{split}.{key}", key, "has rows of different shapes; must be (N, T, D)")
            for key, shape in shapes.items()
            if shape is None
        ]
        known = {key: shape for key, shape in shapes.items() if shape}
        num_rows = next((shape[0] for shape in known.values()), 0)
        ids, groups = self._ids(table, split, num_rows, source)
        inputs: dict[InputName, Column] = {}
        for name in ("audio", "vision"):
            if len(known.get(name, ())) in (2, 3):
                inputs[name] = Column(known[name][-1], partial(self._frames, table, name, source))
        if len(known.get("text", ())) == 3:
            inputs["features"] = Column(known["text"][-1], partial(self._frames, table, "text", source))
        elif len(known.get("text", ())) == 1:
            inputs["strings"] = Column(None, lambda: Strings(strings(table["text"], f"{source} text")))
        return Columns(ids, groups, self._labels(table, source), inputs, tuple(problems))

    def _ids(
        self, table: Table, split: SplitName, num_rows: int, source: str
    ) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
        if "id" not in table:
            ids = row_numbers(split, num_rows, source)
            return ids, ids
        parts_NK = id_parts(table["id"], f"{source} id")
        if parts_NK.shape[1] == 1:
            return numbered(parts_NK[:, 0], source), videos_of(parts_NK[:, 0].tolist(), source)
        # The video, and where the clip begins and ends in it.
        names = np.array(["_".join(parts) for parts in parts_NK.tolist()], dtype=np.str_)
        return numbered(names, source), parts_NK[:, 0]

    def _frames(self, table: Table, name: str, source: str) -> Features:
        padded = numbers(table[name], f"{source} {name}")
        if padded.ndim not in (2, 3) or 0 in padded.shape[1:]:
            raise DataError(f"{source} {name}: shape {padded.shape}; must be (N, T, D) or (N, D)")
        starts_N = self._starts(table, padded, source) if padded.ndim == 3 else None
        return frames(padded, None, f"{source} {name}", starts_N)

    def _starts(self, table: Table, padded_NTD: NDArray[Any], source: str) -> NDArray[np.int64] | None:
        """First real step of each row where frames are aligned to words: silence after it is no padding."""
        if len(shape := shape_of(table.get("text")) or ()) != 3 or shape[:2] != padded_NTD.shape[:2]:
            return None
        starts_N, words_N = real_steps(numbers(table["text"], f"{source} text"))
        if not (starts_N[words_N > 0] > 0).any():  # padded on the right, or not at all
            return None
        real_NT = np.array([(row != 0).any(axis=1) for row in padded_NTD]).reshape(padded_NTD.shape[:2])
        first_N = np.where(real_NT.any(axis=1), real_NT.argmax(axis=1), padded_NTD.shape[1])
        # A row without words starts where its frames do; one whose frames are all zeros has none.
        return np.where((words_N > 0) & real_NT.any(axis=1), starts_N, first_N)

    def _labels(self, table: Table, source: str) -> Mapping[str, Labels]:
        def read() -> NDArray[Any]:
            return numbers(table["labels"], f"{source} labels")

        kind = self._kind(table)
        if kind == "iemocap":
            return {target.name: partial(_present, read, position) for position, target in enumerate(IEMOCAP)}
        if kind == "mosei":
            return {
                SENTIMENT.name: lambda: read().reshape(-1, 7)[:, 0].astype(np.float32),
                EMOTIONS.name: lambda: (read().reshape(-1, 7)[:, 1:] > 0).astype(np.float32),
            }
        if self._holds_classes:
            return {_BINARY.name: lambda: _as_class(label_column(read(), f"{source} labels"))}
        return {"": lambda: _as_label(read(), f"{source} labels")}


class MultiBenchReader(MultReader):
    """Reader of MultiBench's affect files, which are MulT's with classes for labels."""

    @property
    def _holds_classes(self) -> bool:
        """Whether the labels are two classes: 0 and 1, or -1 and 1, and nothing else."""
        labels = self._tables.get("train", {}).get("labels")  # of train alone: others may stay closed
        return labels is not None and set(np.unique(numbers(labels, "labels")).tolist()) in ({0, 1}, {-1, 1})


def _present(read: Any, position: int) -> NDArray[np.float32]:
    present_N: NDArray[np.int64] = read()[:, position].argmax(axis=-1)
    return present_N.astype(np.float32)


def _as_class(labels_N: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(labels_N == -1, np.float32(0), labels_N)


def _as_label(values: NDArray[Any], what: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf, and is refused as a label
        return label_column(values, what)
