"""Reader of MMSA's layout: ``aligned_50.pkl``, ``unaligned_50.pkl``, ``unaligned_39.pkl``, MMSA-FET's files.

The file is a pickle of ``{split: {key: rows}}``. Other top-level keys are not read: the settings of MMSA-FET,
and ``train_mix`` of CH-SIMS v2, whose rows are those of train and unlabelled ones.

=========================  ============  ===================================================================
key                        shape         meaning
=========================  ============  ===================================================================
id                         (N,)          ``<video>$_$<clip>``; the video is the group
raw_text                   (N,) str      strings
text_bert                  (N, 3, T)     token ids, attention mask, token types; often stored as float
text                       (N, T, D)     hidden states of a pretrained encoder
audio, vision              (N, T, D)     zero-padded frames; ``<name>_lengths``, if there, are real
regression_labels          (N,)          with ``_T``, ``_A``, ``_V``, if there: labels of one modality alone
=========================  ============  ===================================================================
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Features, ModalityName, Outline, Split, SplitName, Strings, Tokens
from mmsa.data.readers.arrays import id_parts, numbers
from mmsa.data.readers.base import (
    CONVERT,
    HOW_TO_SPLIT,
    ONE_LABEL,
    FileConfig,
    Reader,
    TextForm,
    assemble,
    checked_lengths,
    frames,
    label_column,
    shape_of,
    split_of,
    strings,
)
from mmsa.data.readers.pickled import layout_in
from mmsa.data.unpickling import load
from mmsa.data.validation import first_few, raise_data_error
from mmsa.errors import DataError, Problem, did_you_mean

logger = logging.getLogger("mmsa.data")

_SEPARATOR = "$_$"
_MAX_TOKEN = 2**31 - 1
_TEXT_KEYS: dict[TextForm, str] = {"strings": "raw_text", "tokens": "text_bert", "features": "text"}
_WITHOUT_WIDTH = ("raw_text", "text_bert")

Table = Mapping[str, Any]


class MmsaReader(Reader):
    """Reader of the layout above; the pickle goes through ``mmsa.data.unpickling``.

    Args:
        path: the file.
        config: what of it is read, and how.
        content: of the file, where somebody has parsed it already.
    """

    def __init__(self, path: Path, config: FileConfig, content: Any = None):
        super().__init__(path, config)
        self._given = content

    def read(self, splits: Sequence[SplitName]) -> dict[SplitName, Split]:
        """Read the named splits."""
        missing = [split for split in splits if split not in self._tables]
        if missing:
            keys = first_few(self._content) or "none"
            raise DataError(
                f"{self.path}: has no split {' and no '.join(missing)}; its keys are {keys}. "
                + (HOW_TO_SPLIT[missing[0]] if self._tables else CONVERT)
            )
        tables = {split: self._tables[split] for split in splits}
        problems = [problem for split, table in tables.items() for problem in self._missing(split, table)]
        if self.config.target is not None:
            rule = "names one of several labels, and MMSA's files have one"
            problems.append(Problem("data.target", self.config.target, rule, "Leave it out."))
        raise_data_error(str(self.path), problems)
        return {name: self._split(table, name) for name, table in tables.items()}

    def outlines(self) -> dict[SplitName, Outline]:
        """Ids, groups and shapes of the columns; no label and no feature is looked at."""
        return {split: self._outline(split, table) for split, table in self._tables.items()}

    def _outline(self, split: SplitName, table: Table) -> Outline:
        problems = self._missing(split, table)
        keys = {name: self._key_of(name) for name in self.config.modalities}
        present = [key for key in ("regression_labels", *keys.values()) if key in table]
        ids, shapes = np.empty(0, np.str_), {key: shape_of(table[key]) for key in present}
        if "id" in table:
            try:
                ids = _ids(table, f"{self.path.name} {split}")
            except DataError as error:
                problems.append(Problem(f"{split}.id", shape_of(table["id"]), str(error)))
            else:
                problems += [] if len(ids) else [Problem(f"{split}.id", (0,), "has no rows")]
        wrong = {key: rule for key, shape in shapes.items() if (rule := _misshapen(key, shape, len(ids)))}
        problems += [Problem(f"{split}.{key}", shapes[key], rule) for key, rule in wrong.items()]
        widths = {
            name: None if key in _WITHOUT_WIDTH else (shapes[key] or (0,))[-1]
            for name, key in keys.items()
            if key in shapes and key not in wrong
        }
        return Outline(ids, _groups(ids), widths, problems=tuple(problems))

    @cached_property
    def _content(self) -> Mapping[Any, Any]:
        content = load(self.path) if self._given is None else self._given
        if not isinstance(content, dict):
            found = _layout_of(content) or f"a {type(content).__name__}"
            rule = "MMSA's files hold a dict of splits"
            raise DataError(f"{self.path}: holds {found}; {rule}. {_advice(content)}")
        return content

    @cached_property
    def _tables(self) -> Mapping[SplitName, Table]:
        """Columns of each split in the file."""
        tables: dict[SplitName, Table] = {}
        for key, table in self._content.items():
            if not (split := split_of(key)):
                continue
            if split in tables:
                raise DataError(f"{self.path}: {key!r} is not the only key for {split}; keep one of them")
            if not isinstance(table, Mapping):
                found = _layout_of(table) or f"a {type(table).__name__}"
                raise DataError(
                    f"{self.path}: {key!r} holds {found}; MMSA's files hold a dict of columns. "
                    + _advice(self._content)
                )
            tables[split] = table
        others = [key for key in self._content if not split_of(key)]
        if tables and others:
            logger.warning(
                "%s: not read, since their names are none of a split: %s", self.path.name, first_few(others)
            )
        return tables

    @cached_property
    def _text_form(self) -> TextForm:
        """The form of the text, decided once for all splits so that test is read as train was."""
        if self.config.text != "auto":
            return self.config.text
        with_text = [set(table) for table in self._tables.values() if set(table) & set(_TEXT_KEYS.values())]
        common = set.intersection(*with_text) if with_text else set()
        return next((form for form, key in _TEXT_KEYS.items() if key in common), "strings")

    def _key_of(self, modality: ModalityName) -> str:
        return _TEXT_KEYS[self._text_form] if modality == "text" else modality

    def _missing(self, split: SplitName, table: Table) -> list[Problem]:
        """A problem for each column that is missing."""
        keys = ("id", "regression_labels", *map(self._key_of, self.config.modalities))
        return [
            Problem(f"{split}.{key}", None, "is not in the file", _instead_of(key, table))
            for key in keys
            if key not in table
        ]

    def _split(self, table: Table, split: SplitName) -> Split:
        source, form = f"{self.path.name} {split}", self._text_form
        ids = _ids(table, source)
        if len(ids) == 0:
            raise DataError(f"{self.path}: {split} has no rows")
        modalities: dict[str, Any] = {
            name: _text(table, form, source) if name == "text" else _features(table, name, source)
            for name in self.config.modalities
        }
        labels = _labels(table, "regression_labels", source)
        unimodal = {
            name: _labels(table, key, source)
            for name in self.config.modalities
            if (key := f"regression_labels_{name[0].upper()}") in table
        }
        _report_plain(ids, source)
        return assemble(f"{self.path} {split}", ids, _groups(ids), labels, modalities, unimodal)


def _instead_of(key: str, table: Table) -> str:
    if key == "regression_labels" and "labels" in table:
        return "'labels' is what MulT's and MultiBench's files have: set data.layout: mult."
    return did_you_mean(key, map(str, table))


def _advice(content: Any) -> str:
    layout = layout_in(content)
    return CONVERT if layout == "mmsa" else f"Set data.layout: {layout}, or leave it out."


def _layout_of(content: Any) -> str:
    """Description of a list or tuple that another project writes; empty for anything else."""
    if isinstance(content, list) and content and isinstance(content[0], tuple):
        inner = content[0][0] if content[0] else None
        names = {3: "MAG-BERT writes", 4: "MISA writes", 6: "MMIM (Multimodal-Infomax) writes"}
        if isinstance(inner, tuple):
            who = names.get(len(inner), "MISA and its kin write")
            return (
                f"a list of {len(content)} rows, each ((words, visual, acoustic, ...), label, ...), as {who}"
            )
    if isinstance(content, (list, tuple)):
        return f"a {type(content).__name__} of {len(content)} items"
    return ""


def _ids(table: Table, source: str) -> NDArray[np.str_]:
    parts_NK = id_parts(table["id"], f"{source} id")
    if parts_NK.shape[1] != 1:
        raise DataError(f"{source} id: shape {parts_NK.shape}; must be one string for each row")
    return parts_NK[:, 0]


def _misshapen(key: str, shape: tuple[int, ...] | None, num_rows: int) -> str:
    """The rule that the shape of a column breaks; empty where it breaks none."""
    if shape is None:
        return "has rows of different shapes"
    if num_rows and shape[:1] != (num_rows,):
        return f"must have a row for each of {num_rows} ids"
    if key == "regression_labels" and math.prod(shape[1:]) != 1:
        return ONE_LABEL
    if key == "text_bert" and (len(shape), *shape[1:2]) != (3, 3):
        return "must be (N, 3, T): token ids, a mask of 0 and 1, token types"
    wanted = {"text": (3,), "audio": (2, 3), "vision": (2, 3)}.get(key)
    return "must be (N, T, D)" + " or (N, D)" * (2 in wanted) if wanted and len(shape) not in wanted else ""


def _report_plain(ids: NDArray[np.str_], source: str) -> None:
    plain = [row for row in ids if _SEPARATOR not in row]
    if plain:
        logger.warning(
            "%s: %d ids such as %r lack %r; each such row is a group of its own",
            *(source, len(plain), str(plain[0]), _SEPARATOR),
        )


def _groups(ids: NDArray[np.str_]) -> NDArray[np.str_]:
    return np.array([row.rsplit(_SEPARATOR, 1)[0] for row in ids], dtype=np.str_)


def _text(table: Table, form: TextForm, source: str) -> Strings | Tokens | Features:
    if form == "strings":
        return Strings(strings(table["raw_text"], f"{source} raw_text"))
    if form == "features":
        lengths_N = _token_mask(table, source).sum(axis=1) if "text_bert" in table else None
        return frames(numbers(table["text"], f"{source} text", 3), lengths_N, f"{source} text")
    mask_NT = _token_mask(table, source)
    ids_NT = numbers(table["text_bert"], f"{source} text_bert", 3)[:, 0]
    if not ((ids_NT >= 0) & (ids_NT <= _MAX_TOKEN)).all():
        raise DataError(f"{source} text_bert: token ids must be whole numbers from 0 to {_MAX_TOKEN}")
    offsets = np.concatenate([[0], np.cumsum(mask_NT.sum(axis=1))]).astype(np.int64)
    return Tokens(ids_NT[mask_NT].astype(np.int64), offsets)


def _token_mask(table: Table, source: str) -> NDArray[np.bool_]:
    """The attention mask as (N, T) bool."""
    bert_N3T = numbers(table["text_bert"], f"{source} text_bert", 3)
    # NaN is neither 0 nor 1, so another shape is refused by the same message as a mask of other numbers.
    mask_NT = bert_N3T[:, 1] if bert_N3T.shape[1] == 3 else np.full(1, np.nan)
    if not np.isin(mask_NT, (0, 1)).all():
        raise DataError(
            f"{source} text_bert: shape {bert_N3T.shape}; must be (N, 3, T): token ids, a mask of 0 and 1, "
            "token types"
        )
    return mask_NT.astype(np.bool_)


def _features(table: Table, name: ModalityName, source: str) -> Features:
    padded = numbers(table[name], f"{source} {name}")
    if padded.ndim not in (2, 3) or 0 in padded.shape[1:]:
        raise DataError(
            f"{source} {name}: shape {padded.shape}; must be (N, T, D) or (N, D) of at least one step and "
            "dimension; leave a modality that the data lack out of data.modalities"
        )
    if f"{name}_lengths" not in table or padded.ndim == 2:
        return frames(padded, None, f"{source} {name}")
    stored = numbers(table[f"{name}_lengths"], f"{source} {name}_lengths")
    lengths_N = checked_lengths(stored, f"{name}_lengths", len(padded), padded.shape[1], source)
    return frames(padded, lengths_N, f"{source} {name}")


def _labels(table: Table, key: str, source: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf, and is refused as a label
        return label_column(numbers(table[key], f"{source} {key}"), f"{source} {key}")
