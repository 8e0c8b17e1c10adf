"""What a decomposition of the information about a target came to: a record that can be stored and read.

As measurements, its quantities have names that metrics may have, each after ``decomposition/`` and in nats:

====================================  ==================================================================
``subset/text_audio``                 I(T, A; Y), of every group of modalities and fusion
``gain/text``                         what text adds to all others
``redundancy/text-audio/least``       one end of a bracket, ``/most`` is the other
``unique/text-without-audio/least``   the same
``synergy/audio-text_vision/least``   the same, here of audio against text and vision together
``whole_minus_sum`` and others        as in ``mmsa.information.target.quantities``
====================================  ==================================================================

The BROJA points inside the brackets have no test, so they stay with the ``Decomposition``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np

from mmsa.information.target.quantities import SIGNED, quantities, subsets_of
from mmsa.measurement import Absent, Measurement, not_measured

QuantityStatus = Literal["ok", "below_null", "positive", "negative", "undetermined", "incoherent", "untested"]
"""ok: cannot be negative in truth, and is told from 0 by the resamples of held-out rows and, where there are
enough, by refits. below_null: is not. positive, negative: may be either in truth, and the interval tells.
undetermined: the interval holds 0. incoherent: made of a set of sources that reads less than a part of it, by
more than the interval allows, which no joint distribution can. untested: there is no test, as of points of
BROJA."""
Missing = Literal["too_few", "too_few_groups"]
"""too_few: rows, or rows of a class. too_few_groups: they cannot fill the folds, or some are so large that
all count for fewer than five of equal size."""

_MISSING: Mapping[Missing, str] = {
    "too_few": "too few rows, or rows of a class",
    "too_few_groups": "too few groups, or groups of too unequal size",
}


@dataclass(frozen=True)
class Quantity:
    """One number in bits.

    Attributes:
        raw: The number, never clipped.
        low: Lower end of the 90 % interval by bootstrap over groups, with the same resamples for all
            quantities, wider the fewer groups there are. It holds 0 if a test does not exclude 0.
        high: Upper end.
        null_mean: Mean of refits with whole groups permuted, those of the target for informations, of the
            modality for gains.
        null_bound: What 95 % of the refits stay below, if they are enough to tell.
        p_value: The largest of the tests there are, by resamples of held-out rows and by refits. None for a
            quantity that may be negative.
        signed: Whether the truth may be negative.
        status: What the tests say.
    """

    raw: float
    low: float
    high: float
    null_mean: float | None = None
    null_bound: float | None = None
    p_value: float | None = None
    signed: bool = False
    status: QuantityStatus = "untested"

    @property
    def value(self) -> float:
        """``raw``, or 0 if the truth cannot be negative and ``raw`` is."""
        return self.raw if self.signed else max(0.0, self.raw)


@dataclass(frozen=True)
class Decomposition:
    """All quantities in bits, and how they were obtained. See ``quantities`` for the names.

    Attributes:
        quantities: By name.
        modalities: In their order.
        status: ok, or why nothing was measured.
        entropy: H(target), the most there is to know.
        num_samples: Rows.
        num_groups: Groups of rows.
        num_classes: Classes of the target.
        binned: Whether they are bins of numbers.
        cells: Of the summaries behind the ``broja`` points.
        folds: Of the cross-fit.
        seeds: Networks in each fold.
        permutations: Refits of the null that were made.
        resamples: Of the bootstrap.
        seed: What decided everything random.
        seconds: What it took.
        unit: Always bits.
        level: Of the intervals.
    """

    quantities: Mapping[str, Quantity]
    modalities: tuple[str, ...]
    status: Literal["ok"] | Missing
    entropy: float
    num_samples: int
    num_groups: int
    num_classes: int
    binned: bool
    cells: int
    folds: int
    seeds: int
    permutations: int
    resamples: int
    seed: int
    seconds: float
    unit: Literal["bit"] = "bit"
    level: float = 0.9

    def __getitem__(self, name: str) -> Quantity:
        return self.quantities[name]

    def to_dict(self) -> dict[str, Any]:
        """Return content for JSON, with the ``value`` of each quantity for readers."""
        written = {
            name: {**asdict(quantity), "value": quantity.value} for name, quantity in self.quantities.items()
        }
        return {**asdict(self), "modalities": list(self.modalities), "quantities": written}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what ``to_dict`` gave."""
        found = {
            name: Quantity(**{key: entry[key] for key in entry if key != "value"})
            for name, entry in content["quantities"].items()
        }
        return cls(**{**content, "modalities": tuple(content["modalities"]), "quantities": found})

    def text(self, *, brackets: bool = True) -> str:
        """Write a table: numbers first, then one line for each bracket with its point, unless left out."""
        heads = [
            f"information about the target in bits; H(target) = {self.entropy:.3f}"
            + (f", {self.num_classes} bins" if self.binned else f", {self.num_classes} classes"),
            f"{self.num_samples} rows in {self.num_groups} groups; {self.folds} folds, {self.seeds} seeds, "
            f"{self.permutations} permutations",
        ]
        if self.status != "ok":
            return "\n".join([*heads, f"not measured: {_MISSING[self.status]}"])
        numbers = [name for name in self.quantities if not name.endswith(("/least", "/most", "/broja"))]
        pairs = [name.removesuffix("/least") for name in self.quantities if name.endswith("/least")]
        pairs = pairs if brackets else []
        width = max(map(len, numbers + pairs))
        rows = [f"{name:<{width}}  {_shown(self[name])}  {self[name].status}" for name in numbers]
        heading = f"\n{'between':<{width}}  {'at least':<24}  {'at most':<24}  BROJA"
        for name in pairs:
            least, most, point = (self.quantities[f"{name}/{end}"] for end in ("least", "most", "broja"))
            rows_of_bracket = f"{name:<{width}}  {_shown(least)}  {_shown(most)}  {point.value:.3f}"
            if "incoherent" in (least.status, most.status):
                rows_of_bracket += "  incoherent"
            rows.append(heading + "\n" + rows_of_bracket if name == pairs[0] else rows_of_bracket)
        return "\n".join([*heads, "", *rows])


def is_signed(name: str) -> bool:
    """Return whether the quantity of this name may be negative in truth."""
    return name in SIGNED


def can_be_negative(name: str) -> bool:
    """Return whether the number may be negative in truth, even if it bounds a quantity that may not."""
    return is_signed(name) or name.endswith("/least")


def _shown(quantity: Quantity) -> str:
    raw = f" ({quantity.raw:+.3f})" if quantity.raw != quantity.value else ""
    return f"{quantity.value:6.3f} [{quantity.low:6.3f}, {quantity.high:6.3f}]{raw}"


_WRITTEN = {"information/": "subset/", "+": "_", ",": "-", "|": "-without-"}


def decomposition_names(modalities: Sequence[str]) -> list[str]:
    """Return the names of all quantities with a test that ``decompose`` gives for modalities and a fusion."""
    known = {subset: np.zeros(1) for subset in subsets_of(modalities, fusion=True)}
    return [_name(quantity) for quantity in quantities(known, modalities)]


def as_measurements(found: Decomposition) -> dict[str, Measurement]:
    """Turn a decomposition into measurements by name, in nats, with its status if it measured nothing."""
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
    """Return every quantity of a decomposition that did not take place."""
    record = not_measured(status, num_samples=num_samples, num_groups=num_groups, dims=())
    return dict.fromkeys(decomposition_names(modalities), record)


def _name(quantity: str) -> str:
    for written, name in _WRITTEN.items():
        quantity = quantity.replace(written, name)
    return f"decomposition/{quantity}"


def _measurement(quantity: Quantity, found: Decomposition) -> Measurement:
    """Convert a quantity to nats, with the entropy of the target as its ceiling."""

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
