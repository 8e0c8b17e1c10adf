"""The four kinds of information that MIMRL weighs, as sums over eleven estimators.

Text-centred: every pair is text with another modality m, and no pair of audio and vision exists. C is the
label, the concept that modalities share. Sources: the definitions of MIMRL's released code; its paper
averages over pairs where the code sums.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

LABEL, FUSION = "label", "fusion"
_CENTRE, _PARTNERS = "text", ("audio", "vision")


class Information(NamedTuple):
    """I(x; y), or I(x; y | z); the three are modalities, ``fusion`` or ``label``."""

    x: str
    y: str
    z: str | None = None

    @property
    def name(self) -> str:
        """``x_y`` or ``x_y_given_z``."""
        return f"{self.x}_{self.y}" + (f"_given_{self.z}" if self.z else "")

    def __str__(self) -> str:
        return f"I({self.x}; {self.y}" + (f" | {self.z})" if self.z else ")")


Quantities = Mapping[str, Mapping[Information, float]]
"""What each quantity is made of: the share of every estimator in it."""


def quantities(modalities: Collection[str], average: bool) -> Quantities:
    """The quantities that exist among ``modalities``.

    fusion_m = I(F; m). invariant = I(T; A) + I(T; V). specific_m = I(m; C | T) - I(T; m | C), and for text
    I(T; C | m) - I(T; m | C) over both m. complementary = I(T; A | C) + I(T; V | C). ``average`` divides sums
    over the two pairs by their number.
    """
    table: dict[str, dict[Information, float]] = {
        f"fusion_{m}": {Information(FUSION, m): 1.0} for m in modalities
    }
    partners = [m for m in _PARTNERS if m in modalities and _CENTRE in modalities]
    if not partners:
        return table
    share = 1.0 / len(partners) if average else 1.0
    shared = {m: Information(_CENTRE, m, LABEL) for m in partners}
    table["invariant"] = {Information(_CENTRE, m): share for m in partners}
    table["specific_text"] = {
        **{Information(_CENTRE, LABEL, m): share for m in partners},
        **{shared[m]: -share for m in partners},
    }
    for m in partners:
        table[f"specific_{m}"] = {Information(m, LABEL, _CENTRE): 1.0, shared[m]: -1.0}
    table["complementary"] = {shared[m]: share for m in partners}
    return table


def net_coefficients(table: Quantities, weights: Mapping[str, float]) -> dict[Information, float]:
    """What each estimator is multiplied by when the quantities of ``table`` are maximised by ``weights``.

    Only estimators that a quantity of a weight above 0 is made of are listed. A negative coefficient means
    that the information is minimised in the end.
    """
    net: dict[Information, float] = {}
    for name, parts in table.items():
        for information, share in parts.items():
            if weights[name] > 0:
                net[information] = net.get(information, 0.0) + weights[name] * share
    return net


def cancellations(table: Quantities, weights: Mapping[str, float]) -> list[str]:
    """One sentence for each kind of information that ``weights`` ask for and minimise nevertheless.

    Specific information subtracts I(T; m | C), which complementary information adds: with equal weights, the
    complementary information is driven down by what is meant to raise it.
    """
    parts = table.get("complementary", {})
    if not parts or not weights["complementary"] > 0:
        return []
    net = net_coefficients(table, weights)
    sentences = []
    for information, share in parts.items():
        if net[information] < 0:
            needed = weights["complementary"] - net[information] / share
            sentences.append(
                f"{information} is minimised (net coefficient {net[information]:.3g}), because specific "
                f"information subtracts more of it than complementary information adds; with a weight of "
                f"complementary above {needed:.3g} it is maximised"
            )
    return sentences
