"""Fusion by a perceptron on the modality vectors side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn

from mmsa.config import Block
from mmsa.data.corpus import ModalityName
from mmsa.models.encoded import Encoded
from mmsa.models.encoders import Dropout, Width
from mmsa.models.fusions.base import FUSIONS, Fused, Fusion


@FUSIONS.register("mlp")
class MLP(Fusion):
    """concat - dropout - linear - tanh - linear - tanh: the fusion network of MMIM (``SubNet``)."""

    class Config(Block):
        """Settings of the perceptron."""

        name: Literal["mlp"] = "mlp"
        width: Width = 128
        """Of both layers, ``d_prjh`` in MMIM's code."""
        dropout: Dropout = 0.1
        """On the concatenated vectors, ``dropout_prj`` in MMIM's code."""

    def __init__(self, config: Config, widths: Mapping[ModalityName, int]):
        super().__init__(config, widths)
        self.output = config.width
        self.layers = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(sum(widths.values()), config.width),
            nn.Tanh(),
            nn.Linear(config.width, config.width),
            nn.Tanh(),
        )

    def forward(self, encoded: Mapping[ModalityName, Encoded]) -> Fused:
        """(B, D)."""
        return Fused(self.layers(torch.cat([part.vector for part in encoded.values()], dim=-1)))
