"""What every fusion takes and gives: encoded modalities in, one vector a row out.

Shapes: B rows of a batch, T time steps, W_m the width of modality m, K modalities, D the fused width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from mmsa.config import BlockT, Named, refuse
from mmsa.data.corpus import ModalityName
from mmsa.errors import ConfigError, Problem
from mmsa.models.base import Encoded
from mmsa.registry import Registry

FUSIONS: Registry[Fusion] = Registry("fusion")


@dataclass(frozen=True)
class Fused:
    """The fused vector, (B, D), and what a fusion offers besides to objectives that ask for it by name."""

    vector: Tensor
    extra: Mapping[str, Tensor] = field(default_factory=dict)


class Fusion(nn.Module, ABC):
    """Base of all fusions: built from its ``Config`` and the widths W_m of the modalities that are present.

    Attributes:
        output: D.
        extra: the width of each further vector it offers.
        mixture: its weights, if the fused vector is a weighted average of the modality vectors.
        fewest: modalities without which it makes no sense.
        numbers_per_row: held of each row of a batch for its largest product, beside all vectors.

    Raises:
        ConfigError: for fewer modalities than that.
    """

    output: int
    extra: Mapping[str, int]
    mixture: nn.Parameter | None
    fewest: ClassVar[int] = 1
    numbers_per_row: int = 0

    def __init__(self, config: Named, widths: Mapping[ModalityName, int]):
        super().__init__()
        self.extra = {}
        self.mixture = None
        if len(widths) < self.fewest:
            rule = f"fuses {self.fewest} modalities or more, and the data set brings {', '.join(widths)} only"
            raise refused(config, rule, "Write model.fusion: {name: mlp}.")

    @abstractmethod
    def forward(self, encoded: Mapping[ModalityName, Encoded]) -> Fused:
        """The fused vector of a batch; a row that lacks a modality has a zero vector and no state of it."""


def refused(config: Named, rule: str, next_step: str) -> ConfigError:
    """The error for a fusion that does not fit the encoders or the data."""
    return ConfigError("model", [Problem("model.fusion.name", config.name, rule, next_step)])


def refuse_heads(config: BlockT, width: int, heads: int) -> BlockT:
    """``config``, unless its attention heads do not share its width evenly.

    Raises:
        ValidationError: where they do not.
    """
    if width % heads:
        raise refuse(heads, f"must divide the width, which is {width}", "", at=("heads",))
    return config
