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

FUSIONS: Registry[Fusion] = Registry("fusion", "mmsa.fusions")


@dataclass(frozen=True)
class Fused:
    """Output of a fusion.

    Attributes:
        vector: The fused vector, (B, D).
        extra: Further tensors by name, for objectives that request them.
    """

    vector: Tensor
    extra: Mapping[str, Tensor] = field(default_factory=dict)


class Fusion(nn.Module, ABC):
    """Base class of all fusions, built from a ``Config`` and the widths W_m of the modalities that are there.

    Attributes:
        output: D.
        extra: Width of each further vector that it offers.
        averages: Whether the fused vector is a weighted average of the modality vectors.
        mixture: The weights of that average, if they are learnt.
        by_entropy: Whether they come from the entropy of what the head predicts from each modality, which
            ``forward`` then takes as well, (B, K) in nats.
        fewest: The fewest modalities with which it makes sense.
        numbers_per_row: Numbers that its largest product holds for each row of a batch, beside all vectors.

    Raises:
        ConfigError: If there are fewer modalities than that.
    """

    output: int
    extra: Mapping[str, int]
    mixture: nn.Parameter | None
    averages: ClassVar[bool] = False
    by_entropy: bool = False
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
        """Fuse a batch. A row that lacks a modality has a zero vector and no state of it."""


def refused(config: Named, rule: str, next_step: str) -> ConfigError:
    """Make the error for a fusion that does not fit the encoders or the data."""
    return ConfigError("model", [Problem("model.fusion.name", config.name, rule, next_step)])


def refuse_heads(config: BlockT, width: int, heads: int) -> BlockT:
    """Return ``config`` if its attention heads share its width evenly.

    Raises:
        ValidationError: If they do not.
    """
    if width % heads:
        raise refuse(heads, f"must divide the width, which is {width}", "", at=("heads",))
    return config
