"""The mean of a panel that was measured on several parts, each with a network of its own.

Held-out rows of folds are represented by different networks, so their vectors cannot be put together; what
was measured of them can.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mmsa.information.null import LEVEL
from mmsa.measurement import ABSENT, Measurement, Status, signed_status

_SIGNED: tuple[Status, ...] = ("positive", "negative", "undetermined")
_OF_A_MAJORITY: tuple[Status, ...] = ("saturated", "disagree", "incoherent")


def across_parts(
    panels: Sequence[Mapping[str, Measurement]], *, same_rows: bool = False
) -> dict[str, Measurement]:
    """Each quantity averaged over parts, by name.

    Args:
        panels: of each part, with the same names.
        same_rows: see ``mean_of_parts``.
    """
    if len(panels) == 1:
        return dict(panels[0])
    return {name: mean_of_parts([panel[name] for panel in panels], same_rows=same_rows) for name in panels[0]}


def mean_of_parts(parts: Sequence[Measurement], *, same_rows: bool = False) -> Measurement:
    """The mean of one quantity over parts, weighted by their rows.

    Half-widths of intervals are added as of independent rows; of the same rows, as they are. The p-value is
    twice the mean of the parts', which is valid however they depend on each other (Rüschendorf 1982): every
    network has learned from rows of the other parts. Parts of too few rows are left out, unless they are half
    or more. A quantity that was skipped in one part is skipped: time must not decide which parts its value is
    of.

    Args:
        parts: of the same quantity.
        same_rows: whether all are of the same rows, seen by different networks, and not of disjoint ones.
    """
    measured = [part for part in parts if part.status not in ABSENT]
    rows, groups = sum(part.num_samples for part in parts), sum(part.num_groups for part in parts)
    if same_rows:
        rows, groups = parts[0].num_samples, parts[0].num_groups
    skipped = [part for part in parts if part.status == "skipped"]
    if skipped or 2 * len(measured) <= len(parts):
        absent = next(part for part in [*skipped, *parts] if part.status in ABSENT)
        return replace(absent, num_samples=rows, num_groups=groups, ceiling=math.log(max(1, rows)))
    share_P = np.array([part.num_samples for part in measured], np.float64)
    share_P /= share_P.sum()

    def mean(name: str) -> float | None:
        values = [getattr(part, name) for part in measured]
        return None if None in values else float(share_P @ np.array(values, np.float64))

    value = mean("value")
    assert value is not None  # it was measured
    low, high = _ends(measured, share_P, value, same_rows)
    p_values = [part.p_value for part in measured if part.p_value is not None]
    p_value = min(1.0, 2 * float(np.mean(p_values))) if len(p_values) == len(measured) else None
    return replace(
        measured[0],
        value=value,
        low=low,
        high=high,
        null_mean=mean("null_mean"),
        null_bound=None,
        p_value=p_value,
        extrapolated=mean("extrapolated"),
        ceiling=float(share_P @ np.array([part.ceiling for part in measured])),
        status=_status(measured, low, high, p_value),
        witnesses={},
        num_samples=rows,
        num_groups=groups,
        dims=measured[int(np.argmax([sum(part.dims) for part in measured]))].dims,
        folds=len(parts),
    )


def _ends(
    parts: Sequence[Measurement],
    share_P: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    value: float,
    same_rows: bool,
) -> tuple[float | None, float | None]:
    lows, highs, values = ([getattr(part, name) for part in parts] for name in ("low", "high", "value"))
    if None in lows or None in highs:
        return None, None
    below_P, above_P = np.subtract(values, lows), np.subtract(highs, values)
    order = 1 if same_rows else 2
    below, above = (float(np.linalg.norm(share_P * ends_P, order)) for ends_P in (below_P, above_P))
    return value - below, value + above


def _status(
    parts: Sequence[Measurement], low: float | None, high: float | None, p_value: float | None
) -> Status:
    statuses = [part.status for part in parts]
    for status in _OF_A_MAJORITY:
        if 2 * statuses.count(status) > len(parts):
            return status
    if any(status in _SIGNED for status in statuses):
        return "undetermined" if low is None or high is None else signed_status(low, high)
    if p_value is None:
        return "untested"
    return "ok" if p_value <= LEVEL and (low is None or low > 0) else "below_null"
