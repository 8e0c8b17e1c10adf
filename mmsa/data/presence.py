"""Which rows have which modalities; splits with some of them taken away, or with noise added.

A row lacks a modality that has no frame, token or word in it. Shapes: N rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Features, Modality, ModalityName, Split, Strings, Tokens

NOTHING_THERE = "nothing"


def patterns(split: Split) -> dict[str, NDArray[np.int64]]:
    """Rows by what they have, such as ``text+audio``; the fullest first, and then the most frequent."""
    names = list(split.modalities())
    there_NM = np.stack([part.lengths() > 0 for part in split.modalities().values()], axis=1)
    found: dict[str, NDArray[np.int64]] = {}
    for there_M in np.unique(there_NM, axis=0):
        name = "+".join(name for name, there in zip(names, there_M, strict=True) if there)
        found[name or NOTHING_THERE] = np.flatnonzero((there_NM == there_M).all(axis=1))
    order = sorted(
        found, key=lambda name: (-name.count("+") + 9 * (name == NOTHING_THERE), -len(found[name]))
    )
    return {name: found[name] for name in order}


def subsets(names: Collection[ModalityName]) -> list[tuple[ModalityName, ...]]:
    """All sets of modalities but the empty one, the largest first."""
    return [some for size in range(len(names), 0, -1) for some in combinations(names, size)]


def with_only(split: Split, kept: Collection[ModalityName]) -> Split:
    """The split as if its rows had no other modality than these."""
    emptied: dict[str, Any] = {
        name: _emptied(part) for name, part in split.modalities().items() if name not in kept
    }
    return replace(split, **emptied)


def _emptied(part: Modality) -> Modality:
    if isinstance(part, Strings):
        return Strings(np.full(len(part), ""))
    nowhere = np.zeros(len(part) + 1, np.int64)
    if isinstance(part, Tokens):
        return Tokens(part.ids[:0], nowhere)
    return Features(part.values[:0], nowhere)


def with_noise(split: Split, scales: Mapping[str, NDArray[np.float32]], level: float, seed: int = 0) -> Split:
    """The split with Gaussian noise on its feature frames; text that is strings or tokens stays as it is.

    Args:
        split: with features as the data set has them.
        scales: (D,) standard deviation of each column on train, by modality.
        level: standard deviation of the noise, in these.
        seed: of the noise.
    """
    noisy: dict[str, Any] = {}
    for number, (name, part) in enumerate(split.modalities().items()):
        if isinstance(part, Features) and name in scales:
            noise = np.random.default_rng([seed, number]).standard_normal(part.values.shape, np.float32)
            noisy[name] = Features(part.values + level * scales[name] * noise, part.offsets)
    return replace(split, **noisy)
