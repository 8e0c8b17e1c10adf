"""The published systems, each a choice of encoders and fusion in one skeleton, and how one is built.

Models only: what they are trained for besides the task are terms of ``mmsa.objectives``, and any term goes
with any model.
"""

from __future__ import annotations

from typing import Annotated, Literal

from mmsa.config import Named, one_of
from mmsa.data.inputs import InputSpec
from mmsa.models.base import MODELS, Model
from mmsa.models.encoders import ENCODERS, TEXT_ENCODERS, LSTMEncoder
from mmsa.models.framewise import LinearEncoder, SummedDirections
from mmsa.models.fusions import FUSIONS, CubeMLP, MLPFusion
from mmsa.models.layers import initialise_xavier
from mmsa.models.modalities import MultimodalConfig, MultimodalModel


@MODELS.register("late_fusion")
class LateFusion(MultimodalModel):
    """Any fusion on any encoders, initialised as torch does; with ``mlp``, the baseline to beat."""

    class Config(MultimodalConfig):
        """Encoders and fusion."""

        name: Literal["late_fusion"] = "late_fusion"


@MODELS.register("mmim")
class MMIM(MultimodalModel):
    """The model of MMIM (section 3.2): with the fusion ``mlp``, Z is the fused vector.

    Han et al., "Improving Multimodal Fusion with Hierarchical Mutual Information Maximization", EMNLP 2021;
    trained with the terms ``barber_agakov`` and ``cpc`` in the strategy ``two_stage``.

    As published, text is the [CLS] state of a fine-tuned BERT and audio and vision are LSTMs projected to 16.
    Everything but a pretrained encoder is initialised xavier-normal.
    """

    class Config(MultimodalConfig):
        """Encoders and fusion."""

        name: Literal["mmim"] = "mmim"

    def __init__(self, config: Config, inputs: InputSpec, *, weights: bool = True):
        super().__init__(config, inputs, weights=weights)
        initialise_xavier(self.parameter_groups()["main"])


@MODELS.register("mimrl")
class MIMRL(MultimodalModel):
    """Sequences of states of one width through CubeMLP; a modality's vector is the mean of its states.

    Sun et al., "Multimodal Sentiment Analysis with Mutual Information-based Disentangled Representation
    Learning", IEEE Transactions on Affective Computing 2025; trained with the term ``mimrl``.

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


class SelfMMConfig(MultimodalConfig):
    """Encoders and fusion."""

    audio: Annotated[Named, one_of(ENCODERS)] = LSTMEncoder.Config(hidden=16, output=16, dropout=0.0)
    vision: Annotated[Named, one_of(ENCODERS)] = LSTMEncoder.Config(hidden=32, output=32, dropout=0.0)
    fusion: Annotated[Named, one_of(FUSIONS)] = MLPFusion.Config(activation="relu")


@MODELS.register("self_mm")
class SelfMM(MultimodalModel):
    """The last state of an LSTM for audio and vision, and a fusion of two ReLU layers.

    Yu et al., AAAI 2021; trained with the term ``unimodal``, which has the heads of single modalities.

    As published, text is the [CLS] state of a fine-tuned BERT: {name: pretrained, finetune: true, pooling:
    cls}.
    """

    class Config(SelfMMConfig):
        """Encoders and fusion."""

        name: Literal["self_mm"] = "self_mm"


@MODELS.register("dmsi")
class DMSI(MultimodalModel):
    """Deep modal shared information: the encoders and the fusion of Self-MM, on whose code it builds.

    Lai et al., IJCNN 2024. The private path of its figure is the term ``unimodal``, the shared one ``coral``.
    Its own settings are not published.
    """

    class Config(SelfMMConfig):
        """Encoders and fusion."""

        name: Literal["dmsi"] = "dmsi"


def build_model(config: Named, inputs: InputSpec, *, weights: bool = True) -> Model:
    """The model that ``config.name`` stands for, built for data that look like ``inputs``.

    Args:
        inputs: of the corpus as ``encode_text`` returned it.
        weights: read the weights of a pretrained encoder that is fine-tuned; without, a state dict must fill
        them.

    Raises:
        ConfigError: where an encoder cannot read what the data set brings.
        DataError: where a pretrained encoder is not found.
    """
    return MODELS[config.name](config, inputs, weights=weights)
