"""What is planted: four compositions of information about the label, each of 3 bits.

One kind has 2 of the 3 bits, or all have one each. The private modality is another one from draw to draw, and
the synergy is of the other two, so that no habit of a model or a rule is right by always naming one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from threadpoolctl import threadpool_limits

from mmsa.config import parse
from mmsa.data.corpus import MODALITIES, ModalityName
from mmsa.data.planted import Planted
from mmsa.information.target import Decomposition
from mmsa.reports.composition import decompose_features
from mmsa.reports.naming import KINDS, Kind

WIDTH = 16
ROWS_TEST = 2000


@dataclass(frozen=True)
class Composition:
    """Bits of information about the label.

    Attributes:
        invariant: that all modalities have.
        specific: that one modality has.
        complementary: that the other two have only together.
    """

    invariant: float
    specific: float
    complementary: float

    @property
    def dominant(self) -> Kind | None:
        """The kind with more than half of the information; None without one."""
        bits: dict[Kind, float] = {kind: getattr(self, kind) for kind in KINDS}
        return next((kind for kind in KINDS if bits[kind] > sum(bits.values()) / 2), None)


FAMILIES: Mapping[str, Composition] = {
    "shared": Composition(2.0, 0.5, 0.5),
    "private": Composition(0.5, 2.0, 0.5),
    "synergy": Composition(0.5, 0.5, 2.0),
    "balanced": Composition(1.0, 1.0, 1.0),
}


def private_modality(draw: int) -> ModalityName:
    """The modality with information of its own."""
    return MODALITIES[draw % len(MODALITIES)]


def synergy_of(draw: int) -> list[ModalityName]:
    """The other two."""
    return [name for name in MODALITIES if name != private_modality(draw)]


def planted(family: str, rows: int, draw: int) -> dict[str, Any]:
    """The block ``data`` of a draw: ``rows`` to train on, half as many to choose by, a test of its own."""
    return planted_as(FAMILIES[family], rows, draw)


def planted_as(composition: Composition, rows: int, draw: int) -> dict[str, Any]:
    """The same of any composition."""
    private = private_modality(draw)
    return {
        "name": "planted",
        "shared_bits": composition.invariant,
        **{f"{name}_bits": composition.specific if name == private else 0.0 for name in MODALITIES},
        "synergy_bits": composition.complementary,
        "synergy_of": synergy_of(draw),
        "rows_train": rows,
        "rows_valid": rows // 2,
        "rows_test": ROWS_TEST,
        **{f"{name}_dim": WIDTH for name in MODALITIES},
        **{f"{name}_frames": [1, 1] for name in MODALITIES},
        "seed": draw,
    }


def decomposed(composition: Composition, rows: int, draw: int) -> Decomposition:
    """What the features of train say about its labels, as a report decomposes them; with one thread."""
    # A word of text is no feature: what is decomposed are numbers of one frame each, as many as the rows.
    train = Planted(parse(Planted.Config, planted_as(composition, rows, draw), "draw")).open(("train",))[
        "train"
    ]
    with threadpool_limits(1):
        return decompose_features(train)


def truth(family: str, draw: int) -> dict[str, float]:
    """I(X_S; Y) in bits of all subsets of modalities, by enumeration of the channels."""
    config = parse(Planted.Config, planted(family, 686, draw), family)
    return Planted(config).truth().all_bits()
