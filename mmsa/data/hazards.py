"""What goes wrong in real feature files: repaired and reported where harmless, refused where it is not."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Features, Split, SplitName
from mmsa.data.inputs import FeatureInput
from mmsa.errors import DataError, Problem

logger = logging.getLogger("mmsa.data")

OUTLIER = 10.0  # standard deviations
_SHOWN = 5


def finite(values: NDArray[np.float32], source: str) -> NDArray[np.float32]:
    """``values`` (..., D), changed in place: NaN and infinities become 0, and are counted in the log.

    COVAREP writes the logarithm of silence as -inf; it has to go before anything is averaged.
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
        logger.warning("%s: %s set to 0, in columns %s", source, counts, _some(columns.tolist()))
        values[bad] = 0.0
    return values


def report(split: Split, source: str) -> None:
    """Log what a reader of results should know: rows without a modality, constant columns, far outliers."""
    for name, modality in split.modalities().items():
        absent = int((modality.lengths() == 0).sum())
        if absent:
            logger.warning("%s: %d of %d rows have no %s", source, absent, len(split), name)
        if isinstance(modality, Features) and len(modality.values):
            _report_columns(modality, f"{source}: {name}")


def _report_columns(features: Features, source: str) -> None:
    low, high = features.values.min(axis=0), features.values.max(axis=0)
    constant = np.flatnonzero(low == high)
    if len(constant):
        logger.warning("%s: %d of %d columns are constant", source, len(constant), features.dim)
    statistics = FeatureInput.of(features)
    reach = np.maximum(high - statistics.mean, statistics.mean - low) / statistics.scale
    far = np.flatnonzero(reach > OUTLIER)
    if len(far):
        worst = int(reach.argmax())
        logger.info(
            "%s: %d of %d columns reach beyond %g standard deviations, column %d from %g to %g",
            *(source, len(far), features.dim, OUTLIER, worst, low[worst], high[worst]),
        )


def check(
    splits: Mapping[SplitName, Split],
    label_range: tuple[float, float],
    source: str,
    allow_shared_groups: bool = False,
) -> None:
    """Refuse what cannot be repaired.

    Raises:
        DataError: listing every problem: ids that are not unique, labels that are missing or out of range,
            groups (videos, speakers) whose rows lie in several splits.
    """
    problems = [*_id_problems(splits), *_group_problems(splits, allow_shared_groups, source)]
    for name, split in splits.items():
        problems += _label_problems(f"{name} labels", split.ids, split.labels, label_range)
        for modality, labels in split.unimodal_labels.items():
            problems += _label_problems(f"{name} labels of {modality}", split.ids, labels, label_range)
    refuse(source, problems)


def refuse(source: str, problems: list[Problem]) -> None:
    """Raise one DataError for all ``problems``, if there are any."""
    if problems:
        raise DataError(f"{source}:\n" + "\n".join(map(str, problems)))


def _id_problems(splits: Mapping[SplitName, Split]) -> list[Problem]:
    counts = Counter(str(row) for split in splits.values() for row in split.ids)
    repeated = [row for row, count in counts.items() if count > 1]
    if not repeated:
        return []
    return [Problem("id", _some(repeated), "each id must occur once, in one split", "Remove the copies.")]


def _label_problems(
    what: str, ids: NDArray[np.str_], labels: NDArray[np.float32], label_range: tuple[float, float]
) -> list[Problem]:
    low, high = label_range
    missing = ids[~np.isfinite(labels)].tolist()
    outside = ids[(labels < low) | (labels > high)].tolist()
    problems = []
    if missing:
        advice = "Remove these rows, or give them labels."
        problems.append(Problem(what, _some(missing), "a label must be a finite number", advice))
    if outside:
        rule = f"labels must lie within [{low:g}, {high:g}]"
        advice = "Choose the data set whose scale this is, or rescale the labels."
        problems.append(Problem(what, _some(outside), rule, advice))
    return problems


def _group_problems(splits: Mapping[SplitName, Split], allow: bool, source: str) -> list[Problem]:
    homes: dict[str, list[str]] = {}
    for name, split in splits.items():
        for group in np.unique(split.groups):
            homes.setdefault(str(group), []).append(name)
    shared = [f"{group} ({', '.join(names)})" for group, names in homes.items() if len(names) > 1]
    if not shared:
        return []
    if allow:
        logger.warning("%s: %d groups lie in several splits: %s", source, len(shared), _some(shared))
        return []
    rule = "a video or speaker must lie in one split, or scores measure recognition of the speaker"
    advice = "Use another split, or set data.allow_shared_groups: true if the published split is like that."
    return [Problem("groups", _some(shared), rule, advice)]


def _some(items: list[object] | list[str] | list[int]) -> str:
    shown = ", ".join(map(str, items[:_SHOWN]))
    return shown if len(items) <= _SHOWN else f"{shown} and {len(items) - _SHOWN} more"
