"""Fusion by a perceptron on the modality vectors side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn

from mmsa.config import Named
from mmsa.data.corpus import ModalityName
from mmsa.models.encoded import Encoded
from mmsa.models.encoders import Dropout, Width
from mmsa.models.fusions.base import FUSIONS, Fused, Fusion
from mmsa.models.layers import UniformDropout


@FUSIONS.register("mlp")
class MLPFusion(Fusion):
    """concat - dropout - linear - tanh - linear - tanh: the fusion network of MMIM (``SubNet``).

    What comes out of the first layer is offered as ``hidden``. Self-MM has ReLU instead of tanh.
    """

    class Config(Named):
        """Settings of the perceptron."""

        name: Literal["mlp"] = "mlp"
        width: Width = 128
        """Of both layers, ``d_prjh`` in MMIM's code."""
        dropout: Dropout = 0.1
        """On the concatenated vectors, ``dropout_prj`` in MMIM's code."""
        activation: Literal["tanh", "relu"] = "tanh"
        """After both layers."""

    def __init__(self, config: Config, widths: Mapping[ModalityName, int]):
        super().__init__(config, widths)
        self.output = config.width
        self.extra = {"hidden": config.width}
        activation = nn.Tanh() if config.activation == "tanh" else nn.ReLU()
        self.layers = nn.Sequential(
            UniformDropout(config.dropout),
            nn.Linear(sum(widths.values()), config.width),
            activation,
            nn.Linear(config.width, config.width),
            activation,
        )

    def forward(self, encoded: Mapping[ModalityName, Encoded]) -> Fused:
        """(B, D) of the second layer, and of the first."""
        hidden_BD = self.layers[:3](torch.cat([part.vector for part in encoded.values()], dim=-1))
        return Fused(self.layers[3:](hidden_BD), {"hidden": hidden_BD})
