"""MMIM: "Improving Multimodal Fusion with Hierarchical Mutual Information Maximization", EMNLP 2021.

The model only; its two information terms are ``barber_agakov`` (input level) and ``cpc`` (fusion level) of
``mmsa.objectives``, trained in the strategy ``two_stage``.
"""

from __future__ import annotations

from typing import Literal

from mmsa.data.inputs import InputSpec
from mmsa.models.base import MODELS
from mmsa.models.layers import initialise_xavier
from mmsa.models.modalities import MultimodalConfig, MultimodalModel


@MODELS.register("mmim")
class MMIM(MultimodalModel):
    """The model of MMIM (section 3.2): with the fusion ``mlp``, Z is the fused vector.

    As published, text is the [CLS] state of a fine-tuned BERT and audio and vision are LSTMs projected to 16.
    Everything but a pretrained encoder is initialised xavier-normal.
    """

    class Config(MultimodalConfig):
        """Encoders and fusion."""

        name: Literal["mmim"] = "mmim"

    def __init__(self, config: Config, inputs: InputSpec, *, weights: bool = True):
        super().__init__(config, inputs, weights=weights)
        initialise_xavier(self.parameter_groups()["main"])
