"""The vectors that terms read: of pairs of modalities, or the private and shared ones of some fusions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import TypeVar, cast

import torch
from torch import Tensor

from mmsa.data.corpus import ModalityName
from mmsa.data.targets import Targets, TrainTargets
from mmsa.errors import ConfigError, Problem
from mmsa.information.target.mimrl import FUSION
from mmsa.models.base import RepresentationDims, Representations

T = TypeVar("T")
Pair = tuple[ModalityName, ModalityName]

LABEL = "label"
"""What the label is called beside the modalities and ``FUSION``."""


def modality_pairs(term: str, dims: RepresentationDims) -> tuple[Pair, ...]:
    """Return each pair of modalities that are present, once.

    Raises:
        ConfigError: If there is only one modality.
    """
    if len(dims.unimodal) < 2:
        raise unfit(term, f"relates modalities, and the data set brings {', '.join(dims.unimodal)} only")
    return tuple(combinations(dims.unimodal, 2))


def by_name(of_modalities: Mapping[ModalityName, T]) -> Mapping[str, T]:
    """Return the same mapping with strings as keys."""
    # The keys of a ``Mapping`` are invariant to a type checker, though every modality name is a string.
    return cast(Mapping[str, T], of_modalities)


def columns_of(representations: Representations, targets: Targets) -> dict[str, Tensor]:
    """Return the vectors of a batch by name: the fused one, the label as columns, and the modalities."""
    columns = {FUSION: representations.fusion, LABEL: targets.concept}
    return columns | dict(by_name(representations.unimodal))


def offered_width(term: str, kind: str, dims: RepresentationDims) -> int:
    """Return the width of the vectors ``kind/<modality>``, which all modalities have in common.

    Raises:
        ConfigError: If the model does not offer them.
    """
    widths = [dims.extra[f"{kind}/{name}"] for name in dims.unimodal if f"{kind}/{name}" in dims.extra]
    if not widths:
        rule = f"reads the {kind} vector of each modality, which the fusion of this model does not offer"
        raise unfit(term, rule, "Write model.fusion: {name: misa}, or leave the term out.")
    return widths[0]


def offered(kind: str, representations: Representations) -> dict[ModalityName, Tensor]:
    """Return the vectors ``kind/<modality>`` of a batch by modality."""
    return {name: representations.extra[f"{kind}/{name}"] for name in representations.unimodal}


def weighted_mean(values: Mapping[str, Tensor], weights: Mapping[str, float], members: int) -> Tensor:
    """Return the sum of ``values`` times ``weights``, over the number of ``members``.

    Members of weight 0 are among ``members`` and need no value.
    """
    weighted = torch.stack([weights[name] * value for name, value in values.items()])
    # As a mean first: with all members at weight 1 it is the mean that was published, to the last bit.
    return weighted.mean() * (len(values) / members)


def unfit(term: str, rule: str, next_step: str = "Leave the term out.") -> ConfigError:
    """Make the error for a term that makes no sense with this model or these data."""
    return ConfigError("objective", [Problem(f"objective.terms.{term}", term, rule, next_step)])


def refuse_labels(term: str, spec: TrainTargets, what: str) -> None:
    """Refuse a term for labels of which several hold at once.

    Raises:
        ConfigError: If the primary target is such.
    """
    if spec.target.kind == "multilabel":
        rule = f"{what}, and a row of {spec.target.name} has any number of {len(spec.target.classes)} labels"
        raise unfit(term, rule)


def nothing(vectors: Iterable[Tensor]) -> Tensor:
    """Return a loss of 0 that depends on ``vectors``, for batches that are too small for a statistic."""
    # A plain 0 would have no gradient, and the backward pass of a batch without other losses would fail.
    return 0.0 * torch.stack([vector.sum() for vector in vectors]).sum()
