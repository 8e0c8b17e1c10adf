"""Of which information a data set consists: shared, unique, synergistic, as shares of what there is to know.

A decomposition gives brackets for each pair of modalities. They overlap, so they are never added up; which
kind there is most of is decided by the rule of ``mmsa.reports.naming``.

Shapes: N rows, D features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from scipy.stats import norm

from mmsa.data.corpus import MODALITIES, Features, Split
from mmsa.data.target_spec import TargetKind
from mmsa.errors import DataError
from mmsa.information.target import Decomposition
from mmsa.information.target.decomposition import as_measurements
from mmsa.information.target.mimrl import FUSION
from mmsa.measurement import ABSENT, CLAIMS, Measurement
from mmsa.reports.naming import Amount, Kind, held_kind
from mmsa.results.test_information import decomposed
from mmsa.seeding import derive_seed
from mmsa.training.ridge import Floats, pooled

Part = Literal["alone", "redundancy", "unique", "synergy", "total"]
DECOMPOSED = "decomposition/"
_DRAWS = 20_000
_DEVIATIONS_90 = float(norm.ppf(0.95))
SURE = 0.95
"""Probability from which on something is named."""
FEWEST_ROWS = 500
"""Rows below which no kind is named. So few do not show a third of synergy, and what is seen then looks like
more than half: of seven balanced planted data sets of 250 rows, three were named (benchmarks/across.py)."""


@dataclass(frozen=True)
class Bracket:
    """One kind of information of one modality or a set of them.

    Attributes:
        part: what kind.
        members: the modalities that have it, in words.
        least: the least it can be; below 0 where that says nothing.
        most: the most.
        low: lower end of the 90 % interval of ``least`` over other groups.
        high: upper end of that of ``most``.
        null: what nothing gives; None if that was not measured.
        told: whether it is more than nothing.
        saturated: whether the truth may lie far above.
        contradicted: whether it cannot be true beside another estimate, so that it is neither more than
            nothing nor nothing.
    """

    part: Part
    members: str
    least: float
    most: float
    low: float
    high: float
    null: float | None = None
    told: bool = True
    saturated: bool = False
    contradicted: bool = False


def decompose_features(split: Split, kind: TargetKind = "regression") -> Decomposition:
    """What the features of a split say about its labels, without any training: cross-fitted within the split.

    Frames are averaged, as for the ridges, and of wide features the principal directions are taken. It
    takes half a minute for 1,000 rows.

    Args:
        split: whose text is encoded, if it has any.
        kind: of the target.

    Raises:
        DataError: where no modality has features, or the target is several labels at once.
    """
    parts = {name: part for name, part in split.modalities().items() if isinstance(part, Features)}
    if not parts:
        raise DataError("there is no modality with features; text is encoded by a frozen `pretrained` model")
    vectors: dict[str, Floats] = {}
    for name, part in parts.items():
        mean_ND = pooled(part)
        gone_N = np.isnan(mean_ND).any(1)
        mean_ND[gone_N] = mean_ND[~gone_N].mean(0)  # a row without frames says nothing of its own
        vectors[name] = mean_ND
    found = decomposed(vectors, split, kind)
    if found is None:
        raise DataError(
            "information about several labels at once is not decomposed; search on one of them, as a target "
            "of its own, and measure that study"
        )
    return found


def brackets_of(measured: Mapping[str, Measurement]) -> list[Bracket]:
    """The parts of a decomposition as shares of the entropy of the label, in the order of reading.

    Args:
        measured: by name, as trials and ``as_measurements`` have them.
    """
    known = {
        name.removeprefix(DECOMPOSED): m
        for name, m in measured.items()
        if name.startswith(DECOMPOSED) and m.status not in ABSENT and m.value is not None
    }
    singles = [m for m in MODALITIES if f"subset/{m}" in known]
    if not singles:
        return []
    found = [_point("alone", name, known[f"subset/{name}"]) for name in singles]
    pairs = list(combinations(singles, 2))
    for x, y in pairs:
        found += _ends("redundancy", f"{x}, {y}", f"redundancy/{x}-{y}", known)
    for name in singles if pairs else ():
        rest = "_".join(other for other in singles if other != name)
        found += _ends("unique", name, f"unique/{name}-without-{rest}", known)
    for x, y in pairs:
        found += _ends("synergy", f"{x}, {y}", f"synergy/{x}-{y}", known)
    if pairs:
        found.append(_point("total", ", ".join(singles), known[f"subset/{'_'.join(singles)}"]))
    return found


def _point(part: Part, members: str, of: Measurement) -> Bracket:
    value, low, high = (_share(end, of) for end in (of.value, of.low, of.high))
    bound = bound_of_nothing(of)
    null = None if bound is None else _share(bound, of)
    told, contradicted = told_of(of)
    saturated = of.status == "saturated"
    return Bracket(part, members, value, value, low, high, null, told, saturated, contradicted)


def told_of(of: Measurement) -> tuple[bool, bool]:
    """Whether it is more than nothing, and whether another estimate contradicts it."""
    contradicted = of.status in ("incoherent", "disagree")
    return of.status != "below_null" and not contradicted, contradicted


def bound_of_nothing(of: Measurement) -> float | None:
    """What nothing gives, where that can be held against the value.

    None where another reading than the value was tested: of features that are not normal the copula's value
    is a bound from below, which may lie under the null that its closed form has passed.
    """
    if of.value is None or of.null_bound is None or of.status not in CLAIMS:
        return of.null_bound
    return of.null_bound if of.value > of.null_bound else None


def _ends(part: Part, members: str, name: str, known: Mapping[str, Measurement]) -> list[Bracket]:
    least, most = known.get(f"{name}/least"), known.get(f"{name}/most")
    if least is None or most is None:
        return []
    told, contradicted = told_of(most)
    if told_of(least)[1]:  # the least may lie above the most then
        told, contradicted = False, True
    ends = _share(least.value, least), _share(most.value, most)
    low, high = _share(least.low, least), _share(most.high, most)
    return [Bracket(part, members, *ends, low, high, told=told, contradicted=contradicted)]


def _share(nats: float | None, of: Measurement) -> float:
    """Of the entropy of the label, which is the ceiling of a decomposition."""
    assert nats is not None
    return nats / of.ceiling


def amounts_in(found: Decomposition) -> dict[Kind, dict[str, Amount]]:
    """Bits of each kind, by the modalities that have them, from the points of BROJA.

    Empty where nothing was measured, or of one modality alone.
    """
    if found.status != "ok" or len(found.modalities) < 2:
        return {}
    known = [name for name in MODALITIES if name in found.modalities]
    pairs = [f"{x},{y}" for x, y in combinations(known, 2)]
    rest = {m: "+".join(other for other in known if other != m) for m in known}
    names: dict[Kind, dict[str, str]] = {
        "invariant": {pair: f"redundancy/{pair}/broja" for pair in pairs},
        "specific": {m: f"unique/{m}|{others}/broja" for m, others in rest.items()},
        "complementary": {pair: f"synergy/{pair}/broja" for pair in pairs},
    }
    width = 2 * _DEVIATIONS_90
    return {
        kind: {
            member: Amount(found[name].raw, (found[name].high - found[name].low) / width)
            for member, name in members.items()
        }
        for kind, members in names.items()
    }


def largest(amounts: Mapping[str, Amount]) -> tuple[str, Amount]:
    """The modalities that have most of a kind, and how much."""
    return max(amounts.items(), key=lambda item: item[1].bits)


def named_in(found: Decomposition) -> tuple[Kind, str] | None:
    """The kind that is surely more than half, with the modalities that have most of it.

    None if that is undecided, and always with fewer than ``FEWEST_ROWS`` rows.
    """
    amounts = amounts_in(found) if found.num_samples >= FEWEST_ROWS else {}
    kind = held_kind({kind: largest(members)[1] for kind, members in amounts.items()}) if amounts else None
    return None if kind is None else (kind, largest(amounts[kind])[0])


def spoken_kind(found: Decomposition) -> str:
    """What is named of a decomposition of features, in words, or why none is."""
    if found.status != "ok":
        return "not measured"
    if len(found.modalities) < 2:
        return f"undecided ({found.modalities[0]} alone)"
    if found.num_samples < FEWEST_ROWS:
        return f"undecided ({found.num_samples} rows, fewer than {FEWEST_ROWS})"
    named = named_in(found)
    return "undecided" if named is None else f"{named[0]} ({named[1].replace(',', ', ')})"


def dominant_modality(measured: Mapping[str, Measurement]) -> tuple[str, float] | None:
    """The modality that adds most to all others, and the probability that it is the one, over other groups.

    None without a decomposition of several modalities. Gains are drawn from their intervals as if they were
    independent. They have the information of all modalities in common, which would cancel, so the probability
    comes out too small rather than too large.
    """
    gains = {name: m for name in MODALITIES if (m := measured.get(f"{DECOMPOSED}gain/{name}")) is not None}
    if len(gains) < 2 or any(m.value is None or m.status in ABSENT for m in gains.values()):
        return None
    ends = np.array([[m.value, m.low, m.high] for m in gains.values()], np.float64)
    error_M = (ends[:, 2] - ends[:, 1]) / (2 * _DEVIATIONS_90)
    generator = np.random.default_rng(derive_seed("dominant modality"))
    drawn_RM = ends[:, 0] + error_M * generator.standard_normal((_DRAWS, len(gains)))
    chance_M = np.bincount(drawn_RM.argmax(1), minlength=len(gains)) / _DRAWS
    first = int(np.argmax(ends[:, 0]))
    return [*gains][first], float(chance_M[first])


def spoken_dominance(found: tuple[str, float] | None, measured: Mapping[str, Measurement]) -> str:
    """The dominant modality in words: only one that is surely first and adds more than nothing is named."""
    if found is None:
        return "not measured"
    name, chance = found
    gain = measured[f"{DECOMPOSED}gain/{name}"]
    if chance < SURE:
        return f"undecided ({name} first with {chance:.0%})"
    told, contradicted = told_of(gain)
    if not told:
        return f"undecided ({name} first, but {'contradicted' if contradicted else 'below null'})"
    return f"{name} ({chance:.0%})"


def entropy_bits(measured: Mapping[str, Measurement]) -> float | None:
    """H(label) of a decomposition, in bits; None without one."""
    known = [m for name, m in measured.items() if name.startswith(f"{DECOMPOSED}subset/")]
    return known[0].ceiling / math.log(2) if known and known[0].status not in ABSENT else None


def without_fusion(found: Decomposition) -> dict[str, Measurement]:
    """The measurements of a decomposition of modalities alone."""
    return {name: m for name, m in as_measurements(found).items() if FUSION not in name}
