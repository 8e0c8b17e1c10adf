"""Fusion by an average of the modality vectors, with one learnt weight for each modality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn

from mmsa.config import Named
from mmsa.data.corpus import ModalityName
from mmsa.models.encoded import Encoded
from mmsa.models.fusions.base import FUSIONS, Fused, Fusion, refused


@FUSIONS.register("average")
class AverageFusion(Fusion):
    """sum_m w_m h_m, w the softmax of a learnt scalar over the modalities that a row has.

    A linear head on it predicts the same average of what it predicts from each modality: late fusion with one
    head that all have in common, as MLA needs it (strategy ``alternating``). MLA weighs the predictions of a
    classifier by their entropy, which a regression does not have.
    """

    class Config(Named):
        """No settings."""

        name: Literal["average"] = "average"

    mixture: nn.Parameter
    fewest = 2

    def __init__(self, config: Config, widths: Mapping[ModalityName, int]):
        """Equal weights.

        Raises:
            ConfigError: for modality vectors of different widths.
        """
        super().__init__(config, widths)
        if len(set(widths.values())) > 1:
            rule = f"averages vectors of one width, and these are of {dict(widths)}"
            raise refused(config, rule, "Give the output of every encoder of the model one value.")
        self.output = next(iter(widths.values()))
        self.mixture = nn.Parameter(torch.zeros(len(widths)))

    def forward(self, encoded: Mapping[ModalityName, Encoded]) -> Fused:
        """(B, D); zero for a row without any modality."""
        vectors_BKD = torch.stack([part.vector for part in encoded.values()], dim=1)
        there_BK = torch.stack([part.lengths > 0 for part in encoded.values()], dim=1)
        logits_BK = self.mixture.masked_fill(~there_BK, torch.finfo(self.mixture.dtype).min)
        return Fused((logits_BK.softmax(1)[..., None] * vectors_BKD).sum(1))
