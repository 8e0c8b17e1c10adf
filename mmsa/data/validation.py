"""Checks of the splits of a data set: harmless faults are repaired and logged, the others raise DataError."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import MODALITIES, SPLITS, Features, Outline, Split, SplitName
from mmsa.data.target_spec import TargetSpec
from mmsa.errors import DataError, Problem

logger = logging.getLogger("mmsa.data")

_SHOWN = 5
_NO_NAME = "''"  # an empty name is to be seen, too
_LONGEST = 80  # characters of a name that is shown


def replace_non_finite(values: NDArray[np.float32], source: str) -> NDArray[np.float32]:
    """Set NaN and infinities in ``values`` (..., D) to 0, in place, and log how many there were.

    COVAREP writes -inf for the logarithm of silence, and a single one would spoil every mean over its column.
    """
    bad = ~np.isfinite(values)
    if bad.any():
        kinds = {
            "-inf": np.isneginf(values).sum(),
            "NaN": np.isnan(values).sum(),
            "inf": np.isposinf(values).sum(),
        }
        counts = " and ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
        columns = np.flatnonzero(bad.reshape(-1, values.shape[-1]).any(axis=0))
        logger.warning("%s: %s set to 0, in columns %s", source, counts, first_few(columns.tolist()))
        values[bad] = 0.0
    return values


def finite_features(values: NDArray[np.float32], offsets: NDArray[np.int64], source: str) -> Features:
    """Features of frames that may hold NaN and infinities: 0 stands for them, and it is noted where.

    Args:
        values: (L, D), which is changed in place.
        offsets: (N + 1,) as in ``Features``.
        source: for messages.
    """
    holes = np.flatnonzero(~np.isfinite(values))
    if not len(holes):
        return Features(values, offsets)
    return Features(replace_non_finite(values, source), offsets, holes=holes.astype(np.int64))


def check_splits(
    splits: Mapping[SplitName, Split],
    targets: Sequence[TargetSpec],
    source: str,
    allow_shared_groups: bool = False,
    outlines: Mapping[SplitName, Outline] = MappingProxyType({}),
) -> None:
    """Check that splits belong together and that their labels are valid.

    Args:
        splits: opened splits.
        targets: of the data set, the primary one first.
        source: file or data set, for messages.
        allow_shared_groups: only warn of groups that lie in several splits.
        outlines: of closed splits; those of ``splits`` may be left out.

    Raises:
        DataError: listing all problems at once. In any split: ids that are not unique, groups (videos or
            speakers) with rows in several splits, feature widths that differ. In opened splits: labels that
            are missing from the primary target, or break the rule of theirs.
    """
    # Outlines of closed splits take part: a search must not begin on data whose test could never be opened.
    known = {name: split.outline() for name, split in splits.items()} | dict(outlines)
    all_splits = {name: known[name] for name in SPLITS if name in known}
    problems = [
        *_id_problems(all_splits),
        *_group_problems(all_splits, allow_shared_groups, source),
        *_width_problems(all_splits),
    ]
    for name, split in splits.items():
        primary, *further = targets
        problems += target_problems(f"{name} labels", split.ids, split.labels, primary)
        for modality, labels in split.unimodal_labels.items():
            problems += target_problems(f"{name} labels of {modality}", split.ids, labels, primary)
        for target in further:
            values = split.further_targets.get(target.name)
            if values is not None:
                what = f"{name} target {target.name}"
                problems += target_problems(what, split.ids, values, target, may_miss=True)
    raise_data_error(source, problems)


def raise_data_error(source: str, problems: list[Problem]) -> None:
    """Raise one DataError that lists all ``problems``, if there are any."""
    if problems:
        raise DataError(f"{source}:\n" + "\n".join(map(str, problems)))


def _id_problems(splits: Mapping[SplitName, Outline]) -> list[Problem]:
    repeated = [
        f"{row} ({', '.join(names)})" if len(set(names)) > 1 else row
        for row, names in _homes((name, split.ids.tolist()) for name, split in splits.items()).items()
        if len(names) > 1
    ]
    if not repeated:
        return []
    return [Problem("id", first_few(repeated), "each id must occur once, in one split", "Remove the copies.")]


def _homes(names: Iterable[tuple[SplitName, Iterable[str]]]) -> dict[str, list[SplitName]]:
    """The splits in which each name occurs, once per occurrence."""
    homes: dict[str, list[SplitName]] = {}
    for split, members in names:
        for member in members:
            homes.setdefault(member, []).append(split)
    return homes


def _width_problems(splits: Mapping[SplitName, Outline]) -> list[Problem]:
    problems = []
    for modality in MODALITIES:
        widths = {name: split.widths[modality] for name, split in splits.items() if modality in split.widths}
        if len(set(widths.values())) > 1:
            found = ", ".join(f"{name} {width}" for name, width in widths.items())
            rule = "every split must have the same number of feature columns; a model has one width"
            problems.append(
                Problem(modality, found, rule, "Take the features of all splits from one source.")
            )
        elif 0 in widths.values():
            advice = f"Leave {modality} out of data.modalities, or read it from another file."
            problems.append(Problem(modality, 0, "frames must have a column at least", advice))
    return problems


def target_problems(
    what: str, ids: NDArray[np.str_], values: NDArray[np.float32], target: TargetSpec, may_miss: bool = False
) -> list[Problem]:
    """What is wrong with the values of a target.

    Args:
        what: name of these values, for messages.
        ids: (N,) of the rows.
        values: (N,) or (N, K).
        target: what they must be.
        may_miss: whether NaN, which is a missing value, is accepted.
    """
    expected = (len(ids), target.columns) if target.kind == "multilabel" else (len(ids),)
    if values.shape != expected:
        rule = f"must have shape {expected}, as a target of the kind {target.kind}"
        return [Problem(what, f"shape {values.shape}", rule)]
    infinite = np.isinf(values) if may_miss else ~np.isfinite(values)
    missing = ids[infinite.reshape(len(values), -1).any(axis=1)].tolist()
    outside = ids[target.wrong(values)].tolist()
    problems = []
    if missing:
        advice = "Remove these rows, or give them labels."
        problems.append(Problem(what, first_few(missing), "a label must be a finite number", advice))
    if outside:
        advice = "Choose the data set whose scale this is, or rescale the labels."
        if target.kind != "regression":
            advice = "Correct them, or describe the target as what it is."
        problems.append(Problem(what, first_few(outside), target.rule(), advice))
    return problems


def _group_problems(splits: Mapping[SplitName, Outline], allow: bool, source: str) -> list[Problem]:
    homes = _homes((name, np.unique(split.groups).tolist()) for name, split in splits.items())
    shared = [f"{group or _NO_NAME} ({', '.join(names)})" for group, names in homes.items() if len(names) > 1]
    if not shared:
        return []
    if allow:
        logger.warning("%s: %d groups lie in several splits: %s", source, len(shared), first_few(shared))
        return []
    rule = "a video or speaker must lie in one split, or scores measure recognition of the speaker"
    advice = "Use another split, or set data.allow_shared_groups: true if the published split is like that."
    return [Problem("groups", first_few(shared), rule, advice)]


def first_few(items: Iterable[object], most: int = _SHOWN) -> str:
    """The first ``most`` of ``items`` as text, and how many more there are."""
    items = list(items)
    shown = ", ".join(_short(item) for item in items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"


def _short(item: object) -> str:
    text = str(item) or _NO_NAME
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
