"""The interface of all readers, and what several of them need.

Shapes: N rows, T steps that all rows are padded to, D features.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mmsa.config import Block, name_in
from mmsa.data import budget
from mmsa.data.corpus import MODALITIES, Features, ModalityName, Outline, Split, SplitName, Strings
from mmsa.data.folds import FoldsConfig
from mmsa.data.target_spec import Suite, TargetSpec
from mmsa.data.validation import finite_features, first_few
from mmsa.errors import DataError, shown
from mmsa.registry import Registry

_LARGEST_TABLE = 64 << 20  # bytes of JSON
_SURROGATE = re.compile("[\ud800-\udfff]")

logger = logging.getLogger("mmsa.data")

LAYOUTS: Registry[Reader] = Registry("layout", "mmsa.readers")

TextForm = Literal["auto", "strings", "tokens", "features"]

SPLIT_NAMES: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "development": "valid",
    "test": "test",
}

CONVERT = (
    "mmsa reads the layouts in docs/layouts.md; to use another one, save its columns with np.savez as the "
    "arrays id, video_id, split, raw_text, audio, vision and label (docs/data.md has their shapes)."
)
"""Advice for a file of another layout."""

ONE_LABEL = "a label is one number, and every column must have a row for each id"

TABLES = (".csv", ".tsv", ".parquet")
"""Endings of files that list the rows of data of one's own."""
HOW_TO_SPLIT: dict[SplitName, str] = {
    "train": "Call the rows to learn from `train`.",
    "valid": "A search chooses by valid: call some train rows `valid`, whole videos or speakers.",
    "test": "A retraining is measured on test: call rows `test` that nothing was trained or chosen on.",
}
"""Advice for a split that is missing."""


def split_of(name: object) -> SplitName | Literal[""]:
    """The split that a file calls ``name``; empty if it is none."""
    return SPLIT_NAMES.get(name.strip().lower(), "") if isinstance(name, str) else ""


class FileConfig(Block):
    """Settings shared by all data sets that lie in a file."""

    path: Annotated[str, Field(min_length=1)]
    """The file, or the folder of files; may hold ``${VARIABLE}`` and ``~``."""
    layout: Annotated[str, name_in(LAYOUTS, "auto")] = "auto"
    """How the file holds the data; ``auto`` looks at its first bytes, or at the names in a folder."""
    split: str | None = None
    """Which array of an npz file says what split a row belongs to; needed where it has several."""
    modalities: Annotated[tuple[ModalityName, ...], Field(strict=False, min_length=1)] = MODALITIES
    """Which modalities are used; the others are not read."""
    text: TextForm = "auto"
    """Which form of the text is used; ``auto`` is the first the file has of strings, tokens and features."""
    target: str | None = None
    """Which of several ratings in an npz file is the label, by its name in ``label_names``."""
    metrics: Literal["auto"] | Suite = "auto"
    """What predictions are scored with; ``auto`` is what the data set is published with. Labels of your own
    that no paper cuts into seven, five, three or two classes are ``regression``."""
    allow_shared_groups: bool = False
    """Accept a video or speaker whose rows lie in several splits, where the published split is like that."""
    nonfinite: Literal["zero", "impute", "flag"] = "zero"
    """What stands for -inf, inf and NaN in features: 0, or the mean of the column over finite values of the
    rows that are trained on (in folds, of each fold's own). 0 may be no value that the column ever has.
    ``flag`` is ``impute`` with one more column in each modality of features: the part of a frame that is
    such a mean, so that a model can learn what it means that something was missing."""
    folds: FoldsConfig | None = None
    """Search by folds of the rows of train and valid together; null searches on valid."""


class Reader(ABC):
    """Base of all readers of one file layout.

    Args:
        path: the file or folder.
        config: what of it is read, and how; of the class ``Config``.

    Attributes:
        Config: the settings that the layout knows.
    """

    Config: ClassVar[type[FileConfig]] = FileConfig

    def __init__(self, path: Path, config: FileConfig):
        self.path, self.config = path, config

    @abstractmethod
    def read(self, splits: Sequence[SplitName]) -> dict[SplitName, Split]:
        """Read the named splits; rows of other splits are not loaded.

        Raises:
            DataError: for a file that is damaged, or lacks what the configuration asks for.
        """

    def targets(self) -> tuple[TargetSpec, ...]:
        """What the file says can be predicted, the primary target first; empty if that is the data set's own.

        Raises:
            DataError: for a file that is damaged.
        """
        return ()

    def digests(self, splits: Sequence[SplitName]) -> dict[SplitName, str]:
        """Digests of those of the read splits that are known without reading their frames."""
        return {}

    def layout(self) -> str:
        """The layout that the file turned out to have, by the name of its reader."""
        return next(name for name in LAYOUTS if LAYOUTS[name] is type(self))

    def interviewer_text(self, splits: Sequence[SplitName]) -> dict[SplitName, Strings]:
        """What others than the labelled person said in each row, for a check; empty if that is not told."""
        return {}

    @abstractmethod
    def outlines(self) -> dict[SplitName, Outline]:
        """Outlines of all splits of the file, without looking at labels, features or text.

        Raises:
            DataError: for a file that is damaged.
        """


def frames(
    padded_NTD: NDArray[Any],
    lengths_N: NDArray[np.int64] | None,
    source: str,
    starts_N: NDArray[np.int64] | None = None,
) -> Features:
    """Ragged float32 features of padded rows, without the padding; NaN and infinities become 0.

    Args:
        padded_NTD: (N, T, D), or (N, D) for one frame a row.
        lengths_N: number of real frames, counted from the first step. Without it, zero steps at the end are
            padding, or at the start where more rows have them there (as in MulT's files); zero steps in
            between are frames.
        source: for messages.
        starts_N: first real frame of each row, where it is known and the row goes on to its end.

    Raises:
        DataError: for lengths that are not those of these rows.
    """
    if padded_NTD.ndim == 2:
        padded_NTD, lengths_N = padded_NTD[:, None], np.ones(len(padded_NTD), np.int64)
    num_rows, num_steps, dim = padded_NTD.shape
    if starts_N is not None:
        lengths_N = num_steps - starts_N
    elif lengths_N is None:
        starts_N, lengths_N = real_steps(padded_NTD)
    elif len(lengths_N) != num_rows or max(lengths_N, default=0) > num_steps:
        longest = max(lengths_N, default=0)
        raise DataError(
            f"{source}: {len(lengths_N)} lengths of up to {longest} for {num_rows} rows of {num_steps} steps"
        )
    if starts_N is None:
        starts_N = np.zeros(num_rows, np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths_N)]).astype(np.int64)
    # Row by row into the result: a mask over (N, T, D) would need a second copy of a padded file of
    # gigabytes.
    values = np.empty((offsets[-1], dim), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold becomes inf, and then 0
        for row, (start, length) in enumerate(zip(starts_N, lengths_N, strict=True)):
            values[offsets[row] : offsets[row + 1]] = padded_NTD[row, start : start + length]
    return finite_features(values, offsets, source)


def checked_lengths(
    values: NDArray[Any], name: str, num_rows: int, num_steps: int, source: str
) -> NDArray[np.int64]:
    """Lengths of ``num_rows`` padded rows as (N,) int64; those above ``num_steps`` are clipped and logged.

    Raises:
        DataError: for anything but one non-negative whole number for each row.
    """
    lengths_N = values.reshape(-1)
    if len(lengths_N) != num_rows:
        raise DataError(f"{source}: {len(lengths_N)} {name} for {num_rows} rows")
    bad_N = ~(np.isfinite(lengths_N) & (lengths_N >= 0) & (lengths_N == np.floor(lengths_N)))
    if bad_N.any():
        found = first_few(f"{lengths_N[row]:g} in row {row}" for row in np.flatnonzero(bad_N))
        rule = "must be the number of real frames of a row, a whole number from 0 on"
        raise DataError(f"{source}: {name}: {found}; {rule}")
    beyond = int((lengths_N > num_steps).sum())
    if beyond:
        logger.warning("%s: %d of %s clipped to %d steps", source, beyond, name, num_steps)
    inside_N: NDArray[np.int64] = np.minimum(lengths_N, num_steps).astype(np.int64)
    return inside_N


def label_column(values: NDArray[Any], what: str) -> NDArray[np.float32]:
    """Labels of one number a row, as (N,) float32.

    Raises:
        DataError: for several numbers a row, such as one-hot classes or several ratings.
    """
    if values.ndim == 0 or values.size != len(values):
        raise DataError(f"{what}: shape {values.shape}; {ONE_LABEL}{_several(values)}")
    labels_N: NDArray[np.float32] = values.reshape(-1).astype(np.float32)
    return labels_N


def _several(values_NK: NDArray[Any]) -> str:
    """Advice that fits what several numbers a row probably are."""
    if values_NK.ndim < 2:
        return ""
    flat_NK = values_NK.reshape(len(values_NK), -1)
    if np.isin(flat_NK, (0, 1)).all() and (flat_NK.sum(axis=1) == 1).all():
        return (
            ". These are one-hot classes; mmsa predicts one number on a scale: save the score of each row, "
            "or the position of its class where classes have an order (argmax)"
        )
    return (
        ". Save the one to predict; or, in an npz file, all as `labels` (N, K) with `label_names` (K,), and "
        "name one in data.target"
    )


def shape_of(values: Any, depth: int = 3) -> tuple[int, ...] | None:
    """The shape of nested lists as an array, without making the array; None for ragged ones.

    Looks at lists and arrays only, not at the numbers in them, and no deeper than ``depth``.
    """
    if isinstance(values, np.ndarray):
        return tuple(values.shape)
    if not isinstance(values, (list, tuple)) or depth == 0:
        return ()
    shapes = {shape_of(row, depth - 1) for row in values}
    inner = shapes.pop() if shapes else ()
    return None if shapes or inner is None else (len(values), *inner)


def real_steps(padded_NTD: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First real step and number of real steps of each row of (N, T, D), each (N,); see ``frames``."""
    num_rows, num_steps, _ = padded_NTD.shape
    if num_steps == 0:
        return np.zeros(num_rows, np.int64), np.zeros(num_rows, np.int64)
    real_NT = np.array([(row != 0).any(axis=1) for row in padded_NTD]).reshape(num_rows, num_steps)
    empty_N = ~real_NT.any(axis=1)
    before_N = np.where(empty_N, num_steps, real_NT.argmax(axis=1))
    after_N = np.where(empty_N, num_steps, real_NT[:, ::-1].argmax(axis=1))
    # Silence at either end is zero too, so no single row tells where its padding is; the majority does.
    if (before_N[~empty_N] > 0).sum() > (after_N[~empty_N] > 0).sum():
        return before_N, num_steps - before_N
    return np.zeros(num_rows, np.int64), num_steps - after_N


def pseudonym(name: str, key: bytes) -> str:
    """Another name for somebody, which only those who have ``key`` can lead back to the own one."""
    return f"p{hmac.new(key, name.encode(), hashlib.sha256).hexdigest()[:12]}"


def json_table(file: Path) -> Any:
    """Content of a JSON file that lists the rows of a data set.

    Raises:
        DataError: for a file that is damaged, or larger than such a list is.
    """
    try:
        if file.stat().st_size > _LARGEST_TABLE:
            raise ValueError(f"it has more than {_LARGEST_TABLE >> 20} MiB")
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: is no JSON, or is damaged: {shown(str(error), 200)}") from None


def strings(values: object, what: str) -> NDArray[np.str_]:
    """Strings, or bytes in UTF-8, as (N,) unicode.

    Raises:
        DataError: for anything else, numbers included: as one, an id such as ``0012`` has lost its zeros.
    """
    if not isinstance(values, (list, tuple)) and not (isinstance(values, np.ndarray) and values.ndim):
        raise DataError(f"{what}: is {shown(values)}, not a list of strings")
    texts = []
    for row, value in enumerate(values):
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if not isinstance(text, str):
            lost = " (a number has lost the zeros of an id such as 0012)"
            advice = "one string for each row" if isinstance(value, np.ndarray | list) else f"strings{lost}"
            raise DataError(
                f"{what}: {shown(value)} is not a string but of type {type(value).__name__}; save {advice}"
            )
        if not text.isascii() and _SURROGATE.search(text):
            raise DataError(
                f"{what}: {shown(text)} in row {row} holds half a character (a lone surrogate); "
                "write text.encode('utf-8', 'replace').decode() in its place"
            )
        texts.append(text)
    try:
        budget.check_words(len(texts), max(map(len, texts), default=0), sum(map(len, texts)))
    except ValueError as error:
        raise DataError(f"{what}: {error}") from None
    return np.array(texts, dtype=np.str_)


def assemble(
    source: str,
    ids: NDArray[np.str_],
    groups: NDArray[np.str_],
    labels: NDArray[np.float32],
    modalities: Mapping[str, Any],
    unimodal_labels: Mapping[ModalityName, NDArray[np.float32]] = MappingProxyType({}),
    further_targets: Mapping[str, NDArray[np.float32]] = MappingProxyType({}),
    folds: NDArray[np.int8] | None = None,
) -> Split:
    """A split from columns that were read one by one.

    Raises:
        DataError: for columns of different lengths.
    """
    try:
        return Split(
            ids,
            groups,
            labels,
            **modalities,
            unimodal_labels=unimodal_labels,
            further_targets=further_targets,
            folds=folds,
        )
    except DataError as error:
        raise DataError(f"{source}: {error}; every column must have a row for each id") from None
