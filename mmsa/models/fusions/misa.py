"""MISA: Hazarika et al., "MISA: Modality-Invariant and -Specific Representations", ACM MM 2020.

The fusion only; its three losses are the terms ``cmd``, ``orthogonality`` and ``reconstruction`` of
``mmsa.objectives``, on the vectors that it offers as ``private/<m>``, ``shared/<m>`` and ``projected/<m>``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from mmsa.config import Named
from mmsa.data.corpus import ModalityName
from mmsa.models.base import Encoded
from mmsa.models.encoders import Dropout, Width
from mmsa.models.fusions.base import FUSIONS, Fused, Fusion, refuse_heads
from mmsa.models.layers import UniformDropout, with_uniform_dropout

KINDS = ("private", "shared", "projected")


@FUSIONS.register("misa")
class MISA(Fusion):
    """A transformer layer over one private and one shared token of each modality (six of three modalities).

    u_m is linear - ReLU - layer norm of the modality vector, the private token sigmoid(W_m u_m) and the
    shared one sigmoid(W u_m) with one W for all. The tokens side by side go through linear - dropout - ReLU.
    """

    class Config(Named):
        """Settings of projections and transformer layer."""

        name: Literal["misa"] = "misa"
        width: Width = 128
        """Of each token; the fused vector is as wide as all modalities together."""
        heads: Annotated[int, Field(ge=1, le=1_024)] = 2
        feedforward: Width = 2048
        layer_dropout: Dropout = 0.1
        """Inside the transformer layer."""
        dropout: Dropout = 0.5
        """Before the last ReLU."""

        @model_validator(mode="after")
        def _check(self) -> MISA.Config:
            return refuse_heads(self, self.width, self.heads)

    fewest = 2

    def __init__(self, config: Config, widths: Mapping[ModalityName, int]):
        super().__init__(config, widths)
        width = config.width
        self.output = len(widths) * width
        self.extra = {f"{kind}/{name}": width for kind in KINDS for name in widths}
        self.project = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(own, width), nn.ReLU(), nn.LayerNorm(width))
                for name, own in widths.items()
            }
        )
        self.private = nn.ModuleDict({name: nn.Linear(width, width) for name in widths})
        self.shared = nn.Linear(width, width)
        self.transformer = with_uniform_dropout(
            nn.TransformerEncoderLayer(
                width, config.heads, config.feedforward, config.layer_dropout, batch_first=True
            )
        )
        self.layers = nn.Sequential(
            nn.Linear(2 * self.output, self.output), UniformDropout(config.dropout), nn.ReLU()
        )

    def forward(self, encoded: Mapping[ModalityName, Encoded]) -> Fused:
        """(B, K W), and the three vectors of each modality, (B, W)."""
        projected = {name: self.project[name](part.vector) for name, part in encoded.items()}
        private = {name: self.private[name](u_BW).sigmoid() for name, u_BW in projected.items()}
        shared = {name: self.shared(u_BW).sigmoid() for name, u_BW in projected.items()}
        tokens_BKW = torch.stack([*private.values(), *shared.values()], dim=1)
        extra: dict[str, Tensor] = {
            f"{kind}/{name}": value
            for kind, values in zip(KINDS, (private, shared, projected), strict=True)
            for name, value in values.items()
        }
        return Fused(self.layers(self.transformer(tokens_BKW).flatten(1)), extra)
