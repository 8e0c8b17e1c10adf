"""What a check of data finds: rows in two splits, counts that are not the published ones, leaks, damage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmsa.data.cards import CARDS
from mmsa.data.conversion import invented_layout
from mmsa.data.corpus import SPLITS, Corpus, SplitName, Strings
from mmsa.data.inspection import rows_of_classes
from mmsa.data.leaks import DataFinding, leak_findings
from mmsa.data.nonfinite import constant_notes, hole_notes, zeros_outside
from mmsa.data.store import CARD, read_card, sha256_of
from mmsa.data.target_spec import TargetSpec
from mmsa.errors import DataError


def findings(
    path: Path, corpus: Corpus, refused: DataError | None, interviewer: Mapping[SplitName, Strings]
) -> list[DataFinding]:
    """Everything that is wrong with, or suspicious about, an examined corpus; test stays closed.

    Args:
        path: of the data.
        corpus: with train and valid open, and outlines of all splits.
        refused: why it would not have been opened, if so.
        interviewer: what others than the labelled person said.
    """
    found = [] if refused is None else [DataFinding("refused", str(refused))]
    found += _shared_groups(corpus)
    found += _counts(corpus, path)
    found += _unlearnable(corpus)
    found += _zeros(corpus, path)
    return found + leak_findings(corpus, interviewer)


def column_notes(corpus: Corpus, path: Path) -> list[str]:
    """Columns with values that are not finite, and columns that are constant: no faults, but to be known."""
    return [
        note
        for name, split in corpus.splits.items()
        for notes in (hole_notes, constant_notes)
        for note in notes(split, f"{path.name} {name}")
    ]


def _zeros(corpus: Corpus, path: Path) -> list[DataFinding]:
    """Columns in which a 0 that was put there is no value that they have."""
    split = corpus.splits.get("train")
    notes = [] if split is None else zeros_outside(split, f"{path.name} train", mapped=True)
    return [DataFinding("zeros outside of a column", note) for note in notes]


def _shared_groups(corpus: Corpus) -> list[DataFinding]:
    """Groups in two splits, also where the settings allow them."""
    groups = {name: set(outline.groups.tolist()) for name, outline in corpus.outlines.items()}
    names = [name for name in SPLITS if name in groups]
    return [
        DataFinding(
            f"{first} and {second} share groups",
            f"{len(shared)} videos or speakers have rows in both, and a model may recognise them",
        )
        for number, first in enumerate(names)
        for second in names[number + 1 :]
        if (shared := groups[first] & groups[second])
    ]


def _counts(corpus: Corpus, path: Path) -> list[DataFinding]:
    """Splits that have another number of rows than the published ones."""
    if corpus.name not in CARDS or invented_layout(path) is not None:
        return []
    return [
        DataFinding(
            f"{name} has another number of rows",
            f"{len(corpus.outlines[name])}, and the published split has {' or '.join(map(str, counts))}",
        )
        for name, counts in CARDS[corpus.name].counts.items()
        if name in corpus.outlines and len(corpus.outlines[name]) not in counts
    ]


def _unlearnable(corpus: Corpus) -> list[DataFinding]:
    """Splits in which a class of a target is absent."""
    found = []
    for name in corpus.splits:
        for target in corpus.targets:
            empty = [text for text, count in _classes(corpus.values(name, target.name), target) if not count]
            if empty:
                of = "" if target is corpus.target else f" of {target.name}"
                found.append(DataFinding(f"{name} lacks classes{of}", f"no row is {', '.join(empty)}"))
    return found


def _classes(labels: NDArray[np.float32], target: TargetSpec) -> list[tuple[str, int]]:
    if target.is_scale:
        if target.threshold is None:
            return []
        known = labels[np.isfinite(labels)]
        positive = int((known >= target.threshold).sum())
        return [("positive", positive), ("negative", len(known) - positive)]
    return rows_of_classes(labels, target)


def store_findings(folder: Path) -> list[DataFinding]:
    """Files of a store whose content is not what its card says, all of them read."""
    card = read_card(folder)
    found = []
    for name, stored in card.files.items():
        path = folder / Path(name).name  # a card may name nothing outside of its folder
        if not path.is_file():
            found.append(DataFinding(name, f"is not there, and {CARD} names it"))
        elif sha256_of(path) != stored.sha256:
            found.append(DataFinding(name, f"its content is not what {CARD} says"))
    return found
