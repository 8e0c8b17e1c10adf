"""MMSA's layout: ``aligned_50.pkl``, ``unaligned_50.pkl``, ``unaligned_39.pkl`` and the files of MMSA-FET.

A pickle of ``{split: {key: rows}}``; other top-level keys are ignored.

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
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Features, ModalityName, Split, SplitName, Strings, Tokens
from mmsa.data.hazards import refuse
from mmsa.data.readers.base import SPLIT_NAMES, Reader, TextForm, assemble, frames, strings
from mmsa.data.unpickling import load
from mmsa.errors import DataError, Problem, did_you_mean, shown

logger = logging.getLogger("mmsa.data")

_SEPARATOR = "$_$"
_MAX_TOKEN = 2**31 - 1
_TEXT_KEYS: dict[TextForm, str] = {"strings": "raw_text", "tokens": "text_bert", "features": "text"}

Table = Mapping[str, Any]


class MmsaReader(Reader):
    """Reads the layout above, through the restricted unpickler."""

    def read(self, splits: Sequence[SplitName]) -> dict[SplitName, Split]:
        """The named splits."""
        tables = self._tables(splits)
        form = self._text_form(tables)
        self._check_keys(tables, form)
        return {name: self._split(table, name, form) for name, table in tables.items()}

    def _tables(self, splits: Sequence[SplitName]) -> dict[SplitName, Table]:
        content = load(self.path)
        if not isinstance(content, dict):
            raise DataError(
                f"{self.path}: holds a {type(content).__name__}; MMSA's files hold a dict of splits"
            )
        homes = {SPLIT_NAMES[key]: key for key in content if key in SPLIT_NAMES}
        missing = [split for split in splits if not isinstance(content.get(homes.get(split)), Mapping)]
        if missing:
            keys = ", ".join(map(str, content)) or "none"
            raise DataError(f"{self.path}: has no split {' and no '.join(missing)}; its keys are {keys}")
        return {split: content[homes[split]] for split in splits}

    def _text_form(self, tables: Mapping[SplitName, Table]) -> TextForm:
        if self.config.text != "auto":
            return self.config.text
        for form, key in _TEXT_KEYS.items():
            if all(key in table for table in tables.values()):
                return form
        return "strings"

    def _check_keys(self, tables: Mapping[SplitName, Table], form: TextForm) -> None:
        modalities = [_TEXT_KEYS[form] if name == "text" else name for name in self.config.modalities]
        problems = [
            Problem(f"{split}.{key}", None, "is not in the file", did_you_mean(key, map(str, table)))
            for split, table in tables.items()
            for key in ("id", "regression_labels", *modalities)
            if key not in table
        ]
        if self.config.target is not None:
            rule = "names one of several labels, and MMSA's files have one"
            problems.append(Problem("data.target", self.config.target, rule, "Leave it out."))
        refuse(str(self.path), problems)

    def _split(self, table: Table, split: SplitName, form: TextForm) -> Split:
        source = f"{self.path.name} {split}"
        ids = strings(_flat(table["id"]), f"{source} id")
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
        return assemble(f"{self.path} {split}", ids, _groups(ids, source), labels, modalities, unimodal)


def _flat(values: Any) -> Any:
    """Strings in one list, from rows of one or several; anything else as it is."""
    if isinstance(values, np.ndarray) or _holds_only(values, (str, bytes), "SUO"):
        return np.asarray(values, dtype=object).reshape(-1)
    return values


def _groups(ids: NDArray[np.str_], source: str) -> NDArray[np.str_]:
    plain = [row for row in ids if _SEPARATOR not in row]
    if plain:
        logger.warning(
            "%s: %d ids such as %r lack %r; each such row is a group of its own",
            *(source, len(plain), str(plain[0]), _SEPARATOR),
        )
    return np.array([row.rsplit(_SEPARATOR, 1)[0] for row in ids], dtype=np.str_)


def _text(table: Table, form: TextForm, source: str) -> Strings | Tokens | Features:
    if form == "strings":
        return Strings(strings(table["raw_text"], f"{source} raw_text"))
    if form == "features":
        lengths_N = _token_mask(table, source).sum(axis=1) if "text_bert" in table else None
        return frames(_numbers(table, "text", source, 3), lengths_N, f"{source} text")
    mask_NT = _token_mask(table, source)
    ids_NT = _numbers(table, "text_bert", source, 3)[:, 0]
    if not ((ids_NT >= 0) & (ids_NT <= _MAX_TOKEN)).all():
        raise DataError(f"{source} text_bert: token ids must be whole numbers from 0 to {_MAX_TOKEN}")
    offsets = np.concatenate([[0], np.cumsum(mask_NT.sum(axis=1))]).astype(np.int64)
    return Tokens(ids_NT[mask_NT].astype(np.int64), offsets)


def _token_mask(table: Table, source: str) -> NDArray[np.bool_]:
    """(N, T) True on the tokens that the attention mask keeps."""
    bert_N3T = _numbers(table, "text_bert", source, 3)
    mask_NT = bert_N3T[:, 1] if bert_N3T.shape[1] == 3 else np.full(1, np.nan)
    if not np.isin(mask_NT, (0, 1)).all():
        raise DataError(
            f"{source} text_bert: shape {bert_N3T.shape}; must be (N, 3, T): token ids, a mask of 0 and 1, "
            "token types"
        )
    return mask_NT.astype(np.bool_)


def _features(table: Table, name: ModalityName, source: str) -> Features:
    padded = _numbers(table, name, source)
    if padded.ndim not in (2, 3) or 0 in padded.shape[1:]:
        raise DataError(
            f"{source} {name}: shape {padded.shape}; must be (N, T, D) or (N, D) of at least one step and "
            "dimension; leave a modality that the data lack out of data.modalities"
        )
    if f"{name}_lengths" not in table or padded.ndim == 2:
        return frames(padded, None, f"{source} {name}")
    lengths_N = _numbers(table, f"{name}_lengths", source).reshape(-1)
    inside_N = np.clip(np.nan_to_num(lengths_N), 0, padded.shape[1]).astype(np.int64)
    changed = int((inside_N != lengths_N).sum())
    if changed:
        logger.warning("%s: %d of %s_lengths clipped to %d steps", *(source, changed, name, padded.shape[1]))
    if len(inside_N) != len(padded):
        raise DataError(f"{source}: {len(inside_N)} {name}_lengths for {len(padded)} rows")
    return frames(padded, inside_N, f"{source} {name}")


def _labels(table: Table, key: str, source: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf, and is refused as a label
        labels_N: NDArray[np.float32] = _numbers(table, key, source).astype(np.float32).reshape(-1)
    return labels_N


def _numbers(table: Table, key: str, source: str, ndim: int | None = None) -> NDArray[Any]:
    found = table[key]
    if not isinstance(found, np.ndarray) and not _holds_only(found, (int, float, np.generic), "biuf"):
        raise DataError(f"{source} {key}: {shown(found)}; must be an array or nested lists of numbers")
    try:
        values = np.asarray(found)
    except (ValueError, OverflowError, MemoryError) as error:
        raise DataError(f"{source} {key}: rows of different shapes: {error}") from None
    if values.dtype.kind not in "biuf" or ndim not in (None, values.ndim):
        raise DataError(
            f"{source} {key}: {values.dtype} of shape {values.shape}; must be numbers"
            + (f" in {ndim} dimensions" if ndim else "")
        )
    return values


def _holds_only(values: Any, leaves: tuple[type, ...], kinds: str) -> bool:
    """Whether ``values`` are nested lists of ``leaves`` and of arrays of those ``kinds``.

    Numpy makes an array of anything; one long string among numbers would be the width of them all.
    """
    if not isinstance(values, (list, tuple)):
        return False
    pending, seen = [values], {id(values)}
    while pending:
        for item in pending.pop():
            if isinstance(item, (list, tuple)):
                if id(item) not in seen:
                    seen.add(id(item))
                    pending.append(item)
            elif isinstance(item, np.ndarray):
                if item.dtype.kind not in kinds:
                    return False
            elif not isinstance(item, leaves):
                return False
    return True
