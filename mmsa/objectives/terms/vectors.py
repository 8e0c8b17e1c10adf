"""Which vectors a term reads: of pairs of modalities, or the private and shared ones of some fusions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import TypeVar, cast

import torch
from torch import Tensor

from mmsa.data.corpus import ModalityName
from mmsa.errors import ConfigError, Problem
from mmsa.information.target.mimrl import FUSION
from mmsa.models.base import RepresentationDims, Representations

T = TypeVar("T")
Pair = tuple[ModalityName, ModalityName]

LABEL = "label"
"""What the label is called beside the modalities and ``FUSION``."""


def modality_pairs(term: str, dims: RepresentationDims) -> tuple[Pair, ...]:
    """Each pair of modalities that are present, once.

    Raises:
        ConfigError: where there is one modality only.
    """
    if len(dims.unimodal) < 2:
        raise unfit(term, f"relates modalities, and the data set brings {', '.join(dims.unimodal)} only")
    return tuple(combinations(dims.unimodal, 2))


def by_name(of_modalities: Mapping[ModalityName, T]) -> Mapping[str, T]:
    """The same mapping; the keys of a ``Mapping`` are invariant to a type checker."""
    return cast(Mapping[str, T], of_modalities)


def columns_of(representations: Representations, labels_B: Tensor) -> dict[str, Tensor]:
    """Every vector of a batch by name: the fused one, the label as a column, and those of the modalities."""
    columns = {FUSION: representations.fusion, LABEL: labels_B[:, None]}
    return columns | dict(by_name(representations.unimodal))


def offered_width(term: str, kind: str, dims: RepresentationDims) -> int:
    """The width of the vectors ``kind/<modality>``, which is one for all modalities.

    Raises:
        ConfigError: where the model does not offer them.
    """
    widths = [dims.extra[f"{kind}/{name}"] for name in dims.unimodal if f"{kind}/{name}" in dims.extra]
    if not widths:
        rule = f"reads the {kind} vector of each modality, which the fusion of this model does not offer"
        raise unfit(term, rule, "Write model.fusion: {name: misa}, or leave the term out.")
    return widths[0]


def offered(kind: str, representations: Representations) -> dict[ModalityName, Tensor]:
    """The vectors ``kind/<modality>`` of a batch by modality."""
    return {name: representations.extra[f"{kind}/{name}"] for name in representations.unimodal}


def unfit(term: str, rule: str, next_step: str = "Leave the term out.") -> ConfigError:
    """The error for a term that makes no sense with this model or these data."""
    return ConfigError("objective", [Problem(f"objective.terms.{term}", term, rule, next_step)])


def nothing(vectors: Iterable[Tensor]) -> Tensor:
    """A loss of 0 that depends on ``vectors``, for batches too small for a statistic."""
    return 0.0 * torch.stack([vector.sum() for vector in vectors]).sum()
