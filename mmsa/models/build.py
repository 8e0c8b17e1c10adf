"""From a configuration and a description of the data to a model."""

from __future__ import annotations

from mmsa.config import Named
from mmsa.data.inputs import InputSpec
from mmsa.models.base import MODELS, Model
from mmsa.models.late_fusion import LateFusion as LateFusion
from mmsa.models.mimrl import MIMRL as MIMRL
from mmsa.models.mmim import MMIM as MMIM
from mmsa.models.self_mm import DMSI as DMSI
from mmsa.models.self_mm import SelfMM as SelfMM


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
