"""Tensor fusion: Zadeh et al., "Tensor Fusion Network for Multimodal Sentiment Analysis", EMNLP 2017."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn
from torch.nn.functional import pad

from mmsa.config import Block
from mmsa.data.corpus import ModalityName
from mmsa.errors import ConfigError
from mmsa.models.encoded import Encoded
from mmsa.models.encoders import Dropout, Width
from mmsa.models.fusions.base import FUSIONS, Fused, Fusion, refused
from mmsa.models.layers import UniformDropout

LARGEST_TENSOR = 200_000
"""Cells of the product: its first linear layer has ``width`` times as many weights."""


@FUSIONS.register("tfn")
class TFN(Fusion):
    """The outer product of all [1; h_m] through two linear layers with ReLU.

    The published sub-networks that bring each modality to a small vector first are the encoders here: give
    ``output`` of each as little as the product of all needs. The published sizes are 128, 32 and 32.
    """

    class Config(Block):
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
        if cells > LARGEST_TENSOR:
            raise _too_large(config, widths, cells)
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


def _too_large(config: Block, widths: Mapping[ModalityName, int], cells: int) -> ConfigError:
    factors = " x ".join(f"({name} {width} + 1)" for name, width in widths.items())
    rule = f"multiplies {factors} = {cells:,} cells, more than {LARGEST_TENSOR:,}"
    widest = max(widths, key=lambda name: widths[name])
    room = LARGEST_TENSOR * (widths[widest] + 1) // cells - 1
    next_step = f"Lower model.{widest}.output to {room} or less, or write model.fusion: {{name: lmf}}."
    if room < 1:
        next_step = "Lower the output of every encoder, or write model.fusion: {name: lmf}."
    return refused(config, rule, next_step)
