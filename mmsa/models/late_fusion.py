"""Late fusion: encode each modality by itself, fuse the encodings, predict."""

from __future__ import annotations

from typing import Literal

from mmsa.models.base import MODELS
from mmsa.models.modalities import MultimodalConfig, MultimodalModel


@MODELS.register("late_fusion")
class LateFusion(MultimodalModel):
    """Any fusion on any encoders, initialised as torch does; with ``mlp``, the baseline to beat."""

    class Config(MultimodalConfig):
        """Encoders and fusion."""

        name: Literal["late_fusion"] = "late_fusion"
