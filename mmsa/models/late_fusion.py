"""Late fusion: encode each modality, put the vectors side by side, and let one hidden layer decide."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from mmsa.data.batches import Batch
from mmsa.data.inputs import InputSpec
from mmsa.models.base import MODELS, RepresentationDims, Representations
from mmsa.models.encoders import Dropout, Width
from mmsa.models.modalities import MultimodalConfig, MultimodalModel


@MODELS.register("late_fusion")
class LateFusion(MultimodalModel):
    """The baseline that every fusion has to beat. The fused vector is the hidden layer."""

    class Config(MultimodalConfig):
        """Settings of the fusion."""

        name: Literal["late_fusion"] = "late_fusion"
        hidden: Width = 64
        dropout: Dropout = 0.1

    def __init__(self, config: Config, inputs: InputSpec, *, weights: bool = True):
        super().__init__(config, inputs, weights)
        self.dims = RepresentationDims(self.widths, config.hidden)
        self.fuse = nn.Sequential(
            nn.Dropout(config.dropout), nn.Linear(sum(self.widths.values()), config.hidden), nn.ReLU()
        )
        self.predict = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(config.hidden, 1))

    def forward(self, batch: Batch) -> Representations:
        """Representations and prediction of a batch."""
        unimodal = self.encode(batch)
        fusion_BD = self.fuse(torch.cat(list(unimodal.values()), dim=-1))
        return Representations(unimodal, fusion_BD, self.predict(fusion_BD).squeeze(-1))
