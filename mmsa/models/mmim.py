"""MMIM: "Improving Multimodal Fusion with Hierarchical Mutual Information Maximization", EMNLP 2021.

The model only; its two information terms are ``barber_agakov`` (input level) and ``cpc`` (fusion level) of
``mmsa.objectives``, trained in the strategy ``two_stage``.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from mmsa.data.batches import Batch
from mmsa.data.inputs import InputSpec
from mmsa.models.base import MODELS, RepresentationDims, Representations
from mmsa.models.encoders import Dropout, Width
from mmsa.models.layers import initialise_xavier
from mmsa.models.modalities import MultimodalConfig, MultimodalModel


@MODELS.register("mmim")
class MMIM(MultimodalModel):
    """Unimodal encoders and the fusion network of MMIM (section 3.2; ``SubNet`` in its code).

    concat - dropout - linear - tanh - linear - tanh = Z - linear(1), without normalisation. As published,
    text is the [CLS] state of a fine-tuned BERT and audio and vision are LSTMs projected to 16.
    """

    class Config(MultimodalConfig):
        """Settings of the fusion network."""

        name: Literal["mmim"] = "mmim"
        fusion: Width = 128
        """Width of Z, ``d_prjh`` in the code."""
        dropout: Dropout = 0.1
        """On the concatenated vectors, ``dropout_prj`` in the code."""

    def __init__(self, config: Config, inputs: InputSpec, *, weights: bool = True):
        super().__init__(config, inputs, weights)
        self.dims = RepresentationDims(self.widths, config.fusion)
        self.fuse = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(sum(self.widths.values()), config.fusion),
            nn.Tanh(),
            nn.Linear(config.fusion, config.fusion),
            nn.Tanh(),
        )
        self.predict = nn.Linear(config.fusion, 1)
        initialise_xavier(self.parameter_groups()["main"])

    def forward(self, batch: Batch) -> Representations:
        """Representations and prediction of a batch; ``fusion`` is Z."""
        unimodal = self.encode(batch)
        z_BD = self.fuse(torch.cat(list(unimodal.values()), dim=-1))
        return Representations(unimodal, z_BD, self.predict(z_BD).squeeze(-1))
