"""Data in a table and in pictures for a terminal: rows, labels, lengths, what is missing and what is odd.

Of test nothing is shown but the number of its rows and groups.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmsa.config import Named, expand_path
from mmsa.data.cards import task_of
from mmsa.data.catalogue import DATA_SETS
from mmsa.data.conversion import noted
from mmsa.data.corpus import SPLITS, Corpus, Features, Modality, Split, SplitName, Strings, Tokens
from mmsa.data.files import FileDataSet
from mmsa.data.folds import with_folds
from mmsa.data.store import is_store, read_card
from mmsa.data.target_spec import TargetSpec
from mmsa.errors import DataError

_BARS = 12
_WIDTH = 40  # characters of the longest bar
_LONGEST_BOUND = 1e9  # that bars are told apart by all digits of
_SATURATED = 0.05  # of a column's frames at one end of its range
_MOST_FRAMES = 200_000  # that are looked at for columns at the end of their range
_FEWEST_FRAMES = 20


@dataclass(frozen=True)
class Examined:
    """A data set, opened to be looked at.

    Attributes:
        path: where it is.
        corpus: train and valid, as far as they are there.
        refused: why a search would refuse it; None if it would not.
        notes: what would have been logged while it was read, for the caller to tell.
        interviewer: what others than the labelled person said.
    """

    path: Path
    corpus: Corpus
    refused: DataError | None
    notes: tuple[str, ...]
    interviewer: Mapping[SplitName, Strings]


def opened_to_look(config: Named) -> Examined:
    """Open train and valid of a data set, whatever is wrong with their splits; test stays closed.

    Raises:
        DataError: for data that cannot be read.
    """
    data_set = DATA_SETS[config.name](config)
    if not isinstance(data_set, FileDataSet):
        raise DataError(f"{config.name} does not lie in a file")
    with noted(held_back=True) as notes:
        outlines = data_set.examine(("train",))[0].outlines
        splits: tuple[SplitName, ...] = tuple(name for name in SPLITS if name in outlines and name != "test")
        corpus, refused = data_set.examine(splits, holes=True)
        interviewer = data_set.interviewer(splits)
        if refused is None and data_set.config.folds is not None:
            try:
                with_folds(corpus, data_set.config.folds)
            except DataError as error:
                refused = error
    path = expand_path(data_set.config.path)
    told = list(dict.fromkeys(notes))
    if is_store(path):
        told += [note for note in read_card(path).notes if note not in told]
    return Examined(path, corpus, refused, tuple(told), interviewer)


def inspection_lines(found: Examined) -> list[str]:
    """Everything that ``launch/data.py inspect`` shows of the data."""
    odd = [*found.notes, *(note for note in odd_columns(found.corpus) if note not in found.notes)]
    lines = [f"{found.path}: {found.corpus.name}", "", *describe(found.corpus), ""]
    lines += ["what is odd:", *(f"  {note}" for note in odd)] if odd else ["nothing is odd"]
    if found.refused is not None:
        lines += ["", "a search would refuse it:", *(f"  {line}" for line in str(found.refused).splitlines())]
    return lines


def describe(corpus: Corpus) -> list[str]:
    """The table, and a histogram of the labels of train and valid, in lines."""
    lines = _table(
        ("split", "rows", "groups", "labels"),
        [_split_cells(corpus, name) for name in SPLITS if name in corpus.splits or name in corpus.outlines],
    )
    for target in corpus.targets:
        lines += ["", f"{target.name}: {task_of(target)}, scored with {target.suite}"]
        for name in ("train", "valid"):
            if name in corpus.splits:
                values = corpus.values(name, target.name)
                lines += [f"  {name}", *(f"    {line}" for line in histogram(values, target))]
    rows = [
        _modality_cells(split_name, modality_name, modality)
        for split_name, split in corpus.splits.items()
        for modality_name, modality in split.modalities().items()
    ]
    header = ("split", "modality", "form", "width", "shortest", "median", "longest", "absent")
    return [*lines, "", *_table(header, rows)]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [header, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _split_cells(corpus: Corpus, name: SplitName) -> tuple[str, ...]:
    known = corpus.splits[name] if name in corpus.splits else corpus.outlines[name]
    labels = (
        _labels(corpus.splits[name], corpus.target) if name in corpus.splits else "closed until a retraining"
    )
    return name, str(len(known)), str(len(np.unique(known.groups))), labels


def _labels(split: Split, target: TargetSpec) -> str:
    if target.is_scale:
        values = split.labels[np.isfinite(split.labels)]
        if not len(values):
            return "none"
        deviation = values.std(dtype=np.float64)  # of large values, squares are more than float32 can hold
        text = f"{values.min():g} to {values.max():g}, mean {values.mean():.4g}, sd {deviation:.4g}"
        if target.threshold is not None:
            text += f", {(values >= target.threshold).sum()} positive"
        return text
    return ", ".join(f"{name} {count}" for name, count in rows_of_classes(split.labels, target))


def rows_of_classes(labels: NDArray[np.float32], target: TargetSpec) -> list[tuple[str, int]]:
    """Rows of each class, or rows to which each label applies."""
    if target.kind == "multilabel":
        counts = np.nansum(labels, axis=0).astype(int).tolist()
    else:
        counts = [int((labels == number).sum()) for number in range(len(target.classes))]
    return list(zip(target.classes, counts, strict=True))


def histogram(labels: NDArray[np.float32], target: TargetSpec) -> list[str]:
    """Bars of the values of a target, one a line: of classes, levels or equal parts of the range."""
    missing = int(np.isnan(labels).reshape(len(labels), -1).any(axis=1).sum())
    if not target.is_scale:
        bars = rows_of_classes(labels, target)
    else:
        values = labels[np.isfinite(labels)]
        distinct, counts = np.unique(values, return_counts=True)
        if len(distinct) <= _BARS:
            bars = [(f"{value:g}", int(count)) for value, count in zip(distinct, counts, strict=True)]
        else:
            counts, edges = np.histogram(values, _BARS)
            places = max(0, 1 - math.floor(math.log10(np.ptp(values) / _BARS)))  # two digits tell bars apart
            bars = [
                (f"{_bound(low, places)} to {_bound(high, places)}", int(count))
                for low, high, count in zip(edges, edges[1:], counts, strict=False)
            ]
    if missing:
        bars.append(("missing", missing))
    return bar_lines(bars)


def _bound(value: float, places: int) -> str:
    return f"{value:.{places}f}" if abs(value) < _LONGEST_BOUND else f"{value:.4g}"


def bar_lines(bars: Sequence[tuple[str, int]]) -> list[str]:
    """Counts as bars of characters."""
    longest, most = (
        max((len(name) for name, _ in bars), default=0),
        max((count for _, count in bars), default=1),
    )
    return [
        f"{name.rjust(longest)} {'#' * round(_WIDTH * count / max(1, most))}{'' if count else '|'} {count}"
        for name, count in bars
    ]


def _modality_cells(split: str, name: str, modality: Modality) -> tuple[str, ...]:
    lengths = modality.lengths()
    there = lengths[lengths > 0]
    form = (
        "strings"
        if isinstance(modality, Strings)
        else "tokens"
        if isinstance(modality, Tokens)
        else "features"
    )
    width = str(modality.dim) if isinstance(modality, Features) else "-"
    spread = ["-"] * 3 if not len(there) else [str(int(f(there))) for f in (np.min, np.median, np.max)]
    absent = len(lengths) - len(there)
    return (
        split,
        name,
        form,
        width,
        *spread,
        f"{absent} ({absent / max(1, len(lengths)):.0%})" if absent else "0",
    )


def odd_columns(corpus: Corpus) -> list[str]:
    """Columns of features that stay at an end of their range, or are of another scale than the rest."""
    notes = []
    for split_name, split in corpus.splits.items():
        for name, modality in split.modalities().items():
            if isinstance(modality, Features) and len(modality.values) >= _FEWEST_FRAMES:
                notes += [f"{split_name} {name}: {note}" for note in _odd(modality)]
    return notes


def _odd(features: Features) -> list[str]:
    step = max(1, len(features.values) // _MOST_FRAMES)
    values_LD = features.values[::step]
    low_D, high_D = values_LD.min(axis=0), values_LD.max(axis=0)
    varies_D = high_D > low_D
    # A column with few values, such as a flag, is at the ends of its range by its nature.
    middle_D = ((values_LD > low_D) & (values_LD < high_D)).mean(axis=0)
    ends_D = np.maximum(
        (values_LD == high_D).mean(axis=0), np.where(low_D != 0, (values_LD == low_D).mean(axis=0), 0)
    )
    saturated = np.flatnonzero(varies_D & (middle_D > 0.5) & (ends_D > _SATURATED))
    notes = []
    if len(saturated):
        worst = int(saturated[ends_D[saturated].argmax()])
        notes.append(
            f"{len(saturated)} of {features.dim} columns are saturated, column {worst} at an end of "
            f"{low_D[worst]:g} to {high_D[worst]:g} in {ends_D[worst]:.0%} of its frames"
        )
    zero = int((values_LD == 0).all(axis=1).sum())
    if zero > len(values_LD) * _SATURATED:
        notes.append(
            f"{zero / len(values_LD):.0%} of the frames are zeros: padding, or a detector that failed"
        )
    scale_D = values_LD.std(axis=0, dtype=np.float64)[varies_D]
    if len(scale_D) and scale_D.max() > 1e3 * max(float(np.median(scale_D)), 1e-12):
        notes.append(
            f"scales differ a thousandfold: deviations from {scale_D.min():.3g} to {scale_D.max():.3g}"
        )
    return notes
