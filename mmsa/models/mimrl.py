"""MIMRL: Sun et al., "Multimodal Sentiment Analysis with Mutual Information-based Disentangled Representation
Learning", IEEE Transactions on Affective Computing 2025.

The model only; what it is trained for besides the task are terms of ``mmsa.objectives``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from mmsa.config import Named, one_of
from mmsa.models.base import MODELS
from mmsa.models.encoders import ENCODERS, TEXT_ENCODERS
from mmsa.models.framewise import LinearEncoder, SummedDirections
from mmsa.models.fusions import FUSIONS, CubeMLP
from mmsa.models.modalities import MultimodalConfig, MultimodalModel


@MODELS.register("mimrl")
class MIMRL(MultimodalModel):
    """Sequences of states of one width through CubeMLP; a modality's vector is the mean of its states.

    As published, text is {name: pretrained, finetune: true, pooling: tokens, output: 128} on BERT; here its
    dropout comes before the linear projection, which has a bias.
    """

    class Config(MultimodalConfig):
        """Encoders and fusion."""

        name: Literal["mimrl"] = "mimrl"
        text: Annotated[Named, one_of(TEXT_ENCODERS)] = LinearEncoder.Config(output=128)
        audio: Annotated[Named, one_of(ENCODERS)] = SummedDirections.Config()
        vision: Annotated[Named, one_of(ENCODERS)] = SummedDirections.Config()
        fusion: Annotated[Named, one_of(FUSIONS)] = CubeMLP.Config()
