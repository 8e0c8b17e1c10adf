"""What follows from the information of subsets of sources about a target.

All formulas are exact for the true informations of any joint distribution; brackets hold for every partial
information decomposition with non-negative atoms that add up to the informations. The informations may be
arrays (of resamples, of permutations): all of them are treated alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsa.information.target.mimrl import FUSION

Floats = NDArray[np.float64]
Subset = frozenset[str]
Informations = Mapping[Subset, Floats]

INFORMATION, GAIN = "information/", "gain/"
SIGNED = ("whole_minus_sum", "co_information", "o_information", "sufficiency_gap")
"""Quantities that may well be negative."""


@dataclass(frozen=True)
class Pair:
    """Two disjoint groups of sources.

    Attributes:
        first: One or several modalities, taken together.
        second: Others.
    """

    first: Subset
    second: Subset

    @property
    def both(self) -> Subset:
        """All sources of the pair."""
        return self.first | self.second


def label(subset: Subset, order: Sequence[str]) -> str:
    """Write a subset with its names in the given order.

    Examples:
        >>> label(frozenset({"audio", "text"}), ["text", "audio"])
        'text+audio'
    """
    return "+".join(name for name in order if name in subset)


def subsets_of(modalities: Sequence[str], fusion: bool = False) -> list[Subset]:
    """Return all groups of modalities, and with ``fusion`` also the fusion alone and with each modality.

    Examples:
        >>> [label(subset, ["text", "audio"]) for subset in subsets_of(["text", "audio"])]
        ['text', 'audio', 'text+audio']
    """
    sizes = range(1, len(modalities) + 1)
    subsets = [frozenset(chosen) for size in sizes for chosen in itertools.combinations(modalities, size)]
    if fusion:
        subsets += [frozenset({FUSION}), *(frozenset({FUSION, name}) for name in modalities)]
    return subsets


def closure(subset: Subset, fusion_of: Collection[str]) -> Subset:
    """Add the fusion to a subset that it is computed from: both know the same."""
    return subset | {FUSION} if fusion_of and subset.issuperset(fusion_of) else subset


def pairs_of(modalities: Sequence[str], fusion: bool = False) -> list[Pair]:
    """Return every two modalities, each of three or more against the rest, and the fusion against each.

    Examples:
        >>> [sorted(pair.both) for pair in pairs_of(["text", "audio"], fusion=True)]
        [['audio', 'text'], ['fusion', 'text'], ['audio', 'fusion']]
    """
    pairs = [Pair(frozenset({a}), frozenset({b})) for a, b in itertools.combinations(modalities, 2)]
    if len(modalities) > 2:
        everything = frozenset(modalities)
        pairs += [Pair(frozenset({name}), everything - {name}) for name in modalities]
    if fusion:
        pairs += [Pair(frozenset({FUSION}), frozenset({name})) for name in modalities]
    return pairs


def quantities(known: Informations, modalities: Sequence[str]) -> dict[str, Floats]:
    """Derive every quantity from the informations of subsets, unclipped, in the unit of ``known``.

    - ``information/S``: of each subset.
    - ``gain/m``: what m adds to the others, I(m; Y | rest).
    - ``whole_minus_sum``: total minus the singles.
    - ``co_information`` (three modalities): inclusion and exclusion over all subsets, positive where
    redundancy
      prevails.
    - ``o_information`` (three modalities): what the target adds to the O-information of the modalities
      (Stramaglia et al. 2021), positive where redundancy prevails, negative where synergy does.
    - ``sufficiency_gap``: what the fusion lost of the total.
    - ``redundancy/text,audio/least`` and ``/most``, ``unique/text|audio/...`` for what text has that audio
      lacks, and ``synergy/...``: the ends of the brackets of each pair.

    Examples:
        >>> text, audio = frozenset({"text"}), frozenset({"audio"})
        >>> known = {text: np.array(0.5), audio: np.array(0.2), text | audio: np.array(0.6)}
        >>> found = quantities(known, ["text", "audio"])
        >>> round(float(found["gain/audio"]), 1), round(float(found["redundancy/text,audio/most"]), 1)
        (0.1, 0.2)
    """
    order, everything = (*modalities, FUSION), frozenset(modalities)
    total = known[everything]
    found = {f"{INFORMATION}{label(subset, order)}": value for subset, value in known.items()}
    if len(modalities) > 1:
        found |= {f"{GAIN}{name}": total - known[everything - {name}] for name in modalities}
        found["whole_minus_sum"] = total - sum(known[frozenset({name})] for name in modalities)
    if len(modalities) == 3:
        signed = [
            value * (-1) ** (len(subset) + 1) for subset, value in known.items() if subset <= everything
        ]
        found["co_information"] = np.sum(signed, axis=0)
        found["o_information"] = sum(known[everything - {name}] for name in modalities) - 2 * total
    fusion = frozenset({FUSION})
    if fusion in known:
        found["sufficiency_gap"] = total - known[fusion]
    for pair in pairs_of(modalities, fusion in known):
        found |= _brackets(known, pair, order)
    return found


def atoms(known: Informations, pair: Pair, redundancy: Floats, order: Sequence[str]) -> dict[str, Floats]:
    """Return the atoms of a pair for a given redundancy, which is moved into its bracket."""
    first, second, both = (known[subset] for subset in (pair.first, pair.second, pair.both))
    shared = np.minimum(
        np.maximum(redundancy, np.maximum(first + second - both, 0.0)), np.minimum(first, second)
    )
    a, b = label(pair.first, order), label(pair.second, order)
    return {
        f"redundancy/{a},{b}/broja": shared,
        f"unique/{a}|{b}/broja": first - shared,
        f"unique/{b}|{a}/broja": second - shared,
        f"synergy/{a},{b}/broja": both - first - second + shared,
    }


def _brackets(known: Informations, pair: Pair, order: Sequence[str]) -> dict[str, Floats]:
    first, second, both = (known[subset] for subset in (pair.first, pair.second, pair.both))
    a, b = label(pair.first, order), label(pair.second, order)
    return {
        f"redundancy/{a},{b}/least": first + second - both,
        f"redundancy/{a},{b}/most": np.minimum(first, second),
        f"unique/{a}|{b}/least": first - second,
        f"unique/{a}|{b}/most": np.minimum(first, both - second),
        f"unique/{b}|{a}/least": second - first,
        f"unique/{b}|{a}/most": np.minimum(second, both - first),
        f"synergy/{a},{b}/least": both - first - second,
        f"synergy/{a},{b}/most": both - np.maximum(first, second),
    }
