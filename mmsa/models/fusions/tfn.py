"""Tensor fusion: Zadeh et al., "Tensor Fusion Network for Multimodal Sentiment Analysis", EMNLP 2017."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn
from torch.nn.functional import pad

from mmsa.config import Named
from mmsa.data.corpus import ModalityName
from mmsa.models.encoded import Encoded
from mmsa.models.encoders import Dropout, Width
from mmsa.models.fusions.base import FUSIONS, Fused, Fusion
from mmsa.models.layers import UniformDropout


@FUSIONS.register("tfn")
class TFN(Fusion):
    """The outer product of all [1; h_m] through two linear layers with ReLU.

    The published sub-networks that bring each modality to a small vector first are the encoders here: give
    ``output`` of each as little as the product of all needs. The published sizes are 128, 32 and 32. The
    first layer has ``width`` weights for each cell of the product, of which MMSA's settings for MOSEI have
    282,897 and those for CH-SIMS 1,094,049; ``--dry-run`` says what they take.
    """

    class Config(Named):
        """Settings of the layers behind the product."""

        name: Literal["tfn"] = "tfn"
        width: Width = 64
        dropout: Dropout = 0.5
        """On the product."""

    fewest = 2

    def __init__(self, config: Config, widths: Mapping[ModalityName, int]):
        super().__init__(config, widths)
        self.output = config.width
        cells = math.prod(width + 1 for width in widths.values())
        self.numbers_per_row = cells
        self.layers = nn.Sequential(
            UniformDropout(config.dropout),
            nn.Linear(cells, config.width),
            nn.ReLU(),
            nn.Linear(config.width, config.width),
            nn.ReLU(),
        )

    def forward(self, encoded: Mapping[ModalityName, Encoded]) -> Fused:
        """(B, D)."""
        first, *others = (pad(part.vector, (1, 0), value=1.0) for part in encoded.values())
        product_BC = first
        for factor in others:
            product_BC = torch.einsum("bc,bw->bcw", product_BC, factor).flatten(1)
        return Fused(self.layers(product_BC))
