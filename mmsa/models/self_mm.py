"""Self-MM (Yu et al., AAAI 2021), and DMSI on the same encoders and fusion (Lai et al., IJCNN 2024).

The models only. Self-MM is trained with the term ``unimodal``, which has the heads of single modalities and
generates their labels; DMSI with ``unimodal`` and ``coral``. Both terms go with any other model.
"""

from __future__ import annotations

from typing import Annotated, Literal

from mmsa.config import Named, one_of
from mmsa.models.base import MODELS
from mmsa.models.encoders import ENCODERS, LSTMEncoder
from mmsa.models.fusions import FUSIONS, MLPFusion
from mmsa.models.modalities import MultimodalConfig, MultimodalModel


class SelfMMConfig(MultimodalConfig):
    """Encoders and fusion."""

    audio: Annotated[Named, one_of(ENCODERS)] = LSTMEncoder.Config(hidden=16, output=16, dropout=0.0)
    vision: Annotated[Named, one_of(ENCODERS)] = LSTMEncoder.Config(hidden=32, output=32, dropout=0.0)
    fusion: Annotated[Named, one_of(FUSIONS)] = MLPFusion.Config(activation="relu")


@MODELS.register("self_mm")
class SelfMM(MultimodalModel):
    """The last state of an LSTM for audio and vision, and a fusion of two ReLU layers.

    As published, text is the [CLS] state of a fine-tuned BERT: {name: pretrained, finetune: true, pooling:
    cls}.
    """

    class Config(SelfMMConfig):
        """Encoders and fusion."""

        name: Literal["self_mm"] = "self_mm"


@MODELS.register("dmsi")
class DMSI(MultimodalModel):
    """Deep modal shared information: the encoders and the fusion of Self-MM, on whose code it builds.

    The private path of its figure is the term ``unimodal``, the shared one ``coral``. Its own settings are
    not published.
    """

    class Config(SelfMMConfig):
        """Encoders and fusion."""

        name: Literal["dmsi"] = "dmsi"
