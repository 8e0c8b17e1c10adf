"""The decomposition of the information about a target, as measurements with names that metrics may have.

====================================  ==================================================================
``subset/text_audio``                 I(T, A; Y), of every group of modalities and fusion
``gain/text``                         what text adds to all others
``redundancy/text-audio/least``       one end of a bracket, ``/most`` is the other
``unique/text-without-audio/least``   the same
``synergy/audio-text_vision/least``   the same, here of audio against text and vision together
``whole_minus_sum`` and others        as in ``mmsa.information.target.quantities``
====================================  ==================================================================

Each after ``decomposition/``; in nats. The BROJA points inside the brackets have no test, so they stay with
the ``Decomposition``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mmsa.information.target.decomposition import Decomposition, Quantity
from mmsa.information.target.quantities import quantities, subsets_of
from mmsa.measurement import Absent, Measurement, not_measured

_WRITTEN = {"information/": "subset/", "+": "_", ",": "-", "|": "-without-"}


def decomposition_names(modalities: Sequence[str]) -> list[str]:
    """Of all quantities with a test that ``decompose`` gives for the modalities and a fusion."""
    known = {subset: np.zeros(1) for subset in subsets_of(modalities, fusion=True)}
    return [_name(quantity) for quantity in quantities(known, modalities)]


def as_measurements(found: Decomposition) -> dict[str, Measurement]:
    """Every quantity of a decomposition by its name; the record's status where nothing was measured."""
    if found.status != "ok":
        return not_decomposed(found.status, found.modalities, found.num_samples, found.num_groups)
    return {
        _name(name): _measurement(quantity, found)
        for name, quantity in found.quantities.items()
        if not name.endswith("/broja")
    }


def not_decomposed(
    status: Absent, modalities: Sequence[str], num_samples: int, num_groups: int
) -> dict[str, Measurement]:
    """Every quantity of a decomposition that did not take place."""
    record = not_measured(status, num_samples=num_samples, num_groups=num_groups, dims=())
    return dict.fromkeys(decomposition_names(modalities), record)


def _name(quantity: str) -> str:
    for written, name in _WRITTEN.items():
        quantity = quantity.replace(written, name)
    return f"decomposition/{quantity}"


def _measurement(quantity: Quantity, found: Decomposition) -> Measurement:
    """In nats, with the entropy of the target as ceiling."""

    def nats(bits: float | None) -> float | None:
        return None if bits is None else bits * math.log(2)

    return Measurement(
        value=nats(quantity.raw),
        low=nats(quantity.low),
        high=nats(quantity.high),
        null_mean=nats(quantity.null_mean),
        null_bound=nats(quantity.null_bound),
        p_value=quantity.p_value,
        extrapolated=None,
        ceiling=found.entropy * math.log(2),
        status=quantity.status,
        estimator="cross_entropy",
        witnesses={},
        parts=(),
        num_samples=found.num_samples,
        num_groups=found.num_groups,
        dims=(),
        folds=found.folds,
        seeds=found.seeds,
        permutations=found.permutations,
        seed=found.seed,
    )
