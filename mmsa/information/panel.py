"""Names of the quantities that are measured between the representations of a model and the target.

============================  ==========================================================================
``invariant/text-audio``      I(T; A), of every two modalities
``fusion/text``               I(F; T), of the fusion and every modality
``target/text``               I(T; Y), of every modality and, as ``target/fusion``, the fusion
``conditional/…``             I(T; A | Y) as ``text-audio-given-target``, of every two modalities, and
                              I(T; Y | A) as ``text-target-given-audio``, of every ordered two
``mimrl/…``                   the sums of MIMRL's code: ``invariant``, ``specific/text``, ``complementary``,
                              see ``mmsa.information.target.mimrl_shares``
``decomposition/…``           what sets of modalities say about the target, in brackets: all of
                              ``mmsa.information.target.decomposition``, by networks, in tens of seconds
============================  ==========================================================================

As metrics they are called ``information/`` and the name.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from mmsa.information.copula import Array
from mmsa.information.null import LEVEL
from mmsa.information.target.decomposition import decomposition_names
from mmsa.information.target.mimrl import FUSION, TARGET, Shares, mimrl_shares
from mmsa.information.target.mimrl import Between as Between
from mmsa.measurement import ABSENT, Measurement, Status, not_measured, signed_status

Family = Literal["invariant", "fusion", "target", "conditional", "mimrl", "decomposition"]
FAMILIES: tuple[Family, ...] = get_args(Family)
CORE: tuple[Family, ...] = ("target", "fusion", "invariant")
"""What a trial measures by default, the most wanted first."""
EstimatorName = Literal["copula", "networks"]
"""What measures: the copula alone, or networks on top of it."""
METRIC = "information/"
"""Prefix of all metrics that are measurements."""
_CENTRE = "text"
_WORSE: tuple[Status, ...] = ("disagree", "incoherent", "saturated")
"""Of a part, these are the statuses of the sum; the last of them that a part has."""
_WITHOUT_METRIC: tuple[Status, ...] = (*ABSENT, "disagree", "incoherent")


def pairs(families: Sequence[Family], modalities: Sequence[str]) -> dict[str, Between]:
    """Return what is estimated directly for the families, by name, in the order of the families.

    ``mimrl`` brings the estimates that it is made of. A decomposition is not made of pairs.

    Examples:
        >>> {name: pair.formula for name, pair in pairs(["invariant", "target"], ["text", "audio"]).items()}
        {'invariant/text-audio': 'I(text; audio)', 'target/fusion': 'I(fusion; target)', \
'target/text': 'I(text; target)', 'target/audio': 'I(audio; target)'}
    """
    found: dict[str, Between] = {}
    for family in families:
        if family in _FAMILY_PAIRS:
            found |= _FAMILY_PAIRS[family](modalities)
    return found


def _invariant(modalities: Sequence[str]) -> dict[str, Between]:
    between = [Between(*pair) for pair in itertools.combinations(modalities, 2)]
    return {f"invariant/{pair}": pair for pair in between}


def _fusion(modalities: Sequence[str]) -> dict[str, Between]:
    return {f"fusion/{name}": Between(FUSION, name) for name in modalities}


def _target(modalities: Sequence[str]) -> dict[str, Between]:
    return {f"target/{name}": Between(name, TARGET) for name in (FUSION, *modalities)}


def _conditional(modalities: Sequence[str]) -> dict[str, Between]:
    shared = [Between(*pair, TARGET) for pair in itertools.combinations(modalities, 2)]
    own = [Between(x, TARGET, given) for x, given in itertools.permutations(modalities, 2)]
    return {f"conditional/{between}": between for between in (*shared, *own)}


def _mimrl(modalities: Sequence[str]) -> dict[str, Between]:
    needed = {part.estimate for parts in _shares(modalities).values() for part in parts}
    candidates = _invariant(modalities) | _conditional(modalities)
    return {name: between for name, between in candidates.items() if between.estimate in needed}


_FAMILY_PAIRS: Mapping[Family, Callable[[Sequence[str]], dict[str, Between]]] = {
    "invariant": _invariant,
    "fusion": _fusion,
    "target": _target,
    "conditional": _conditional,
    "mimrl": _mimrl,
}


def _shares(modalities: Sequence[str]) -> dict[str, Shares]:
    """Return the sums of MIMRL's code that exist among the modalities."""
    return mimrl_shares(modalities) if _CENTRE in modalities and len(modalities) > 1 else {}


def sums(families: Sequence[Family], modalities: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return, for each sum that the families bring, how often each estimate is added, by name."""
    if "mimrl" not in families:
        return {}
    names = {between.estimate: name for name, between in _mimrl(modalities).items()}
    return {
        f"mimrl/{name}": {names[part.estimate]: share for part, share in parts.items()}
        for name, parts in _shares(modalities).items()
    }


def names(families: Sequence[Family], modalities: Sequence[str]) -> list[str]:
    """Return the names of all quantities that the families bring for the modalities.

    Examples:
        >>> names(["fusion"], ["text", "audio"])
        ['fusion/text', 'fusion/audio']
    """
    decomposed = decomposition_names(modalities) if "decomposition" in families else []
    return [*pairs(families, modalities), *sums(families, modalities), *decomposed]


def added(parts: Sequence[tuple[float, Measurement]]) -> Measurement:
    """Add up share times measurement over measurements of the same rows.

    Half-widths of intervals are added, so that the interval of the sum is wide enough however the errors of
    the parts are related. A sum with a negative share may be negative, and its interval decides. Any other is
    above 0 if a part is, which the smallest p-value times the number of parts tests (Bonferroni). If a part
    was not measured, neither is the sum.
    """
    first, statuses = parts[0][1], {part.status for _, part in parts}
    dims = tuple(dim for _, part in parts for dim in part.dims)
    for absent in ABSENT:
        if absent in statuses:
            return not_measured(absent, num_samples=first.num_samples, num_groups=first.num_groups, dims=dims)
    share_Q = np.array([share for share, _ in parts])
    value, low, high = (_numbers(parts, name) for name in ("value", "low", "high"))
    below = np.where(share_Q > 0, value - low, high - value) @ abs(share_Q)
    above = np.where(share_Q > 0, high - value, value - low) @ abs(share_Q)
    total, p_value = float(share_Q @ value), _smallest_p_value(parts)
    low_total, high_total = float(total - below), float(total + above)
    if (share_Q < 0).any():
        status, p_value = signed_status(low_total, high_total), None
    elif p_value is None:
        status = "untested"
    else:
        status = "ok" if p_value <= LEVEL else "below_null"
    for worse in _WORSE:
        status = worse if worse in statuses else status
    led = [part.extrapolated for _, part in parts]
    return replace(
        first,
        value=total,
        low=low_total,
        high=high_total,
        null_mean=None,
        null_bound=None,
        p_value=p_value,
        extrapolated=None if None in led else float(share_Q @ np.array(led, np.float64)),
        status=status,
        estimator="sum",
        witnesses={},
        parts=(),
        dims=dims,
        permutations=min(part.permutations for _, part in parts),
    )


def _numbers(parts: Sequence[tuple[float, Measurement]], name: str) -> Array:
    return np.array([getattr(part, name) for _, part in parts], np.float64)


def _smallest_p_value(parts: Sequence[tuple[float, Measurement]]) -> float | None:
    """Return the smallest p-value of a part times the number of parts, or None if a part was not tested."""
    p_values = [None if part.status == "untested" else part.p_value for _, part in parts]
    known = [p_value for p_value in p_values if p_value is not None]
    return min(1.0, len(parts) * min(known)) if len(known) == len(parts) else None


def metrics(measurements: Mapping[str, Measurement]) -> dict[str, float]:
    """Return numbers by metric name, in nats, as far as the status of each measurement allows.

    These are the value, and ``/low`` and ``/high`` of its interval, whether it passed a test or not: the
    record beside it tells that. Of a saturated one only the ceiling is given, since the truth may lie far
    above it. What was not measured, and what contradicts itself (disagree, incoherent), has no number.
    """
    found: dict[str, float] = {}
    for name, measured in measurements.items():
        if measured.status == "saturated":
            found[METRIC + name] = measured.ceiling
        elif measured.status not in _WITHOUT_METRIC:
            ends = {"": measured.value, "/low": measured.low, "/high": measured.high}
            found |= {f"{METRIC}{name}{end}": number for end, number in ends.items() if number is not None}
    return found
