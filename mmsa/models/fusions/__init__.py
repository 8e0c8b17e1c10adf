"""Fusions, interchangeable in every model: ``model.fusion: {name: ...}``. Importing this registers them."""

from mmsa.models.fusions.base import FUSIONS, Fused, Fusion
from mmsa.models.fusions.cubemlp import CubeMLP
from mmsa.models.fusions.mfn import MFN
from mmsa.models.fusions.misa import MISA
from mmsa.models.fusions.mult import MulT
from mmsa.models.fusions.vectors import LMF, TFN, AverageFusion, MLPFusion

__all__ = [
    "FUSIONS",
    "LMF",
    "MFN",
    "MISA",
    "TFN",
    "AverageFusion",
    "CubeMLP",
    "Fused",
    "Fusion",
    "MLPFusion",
    "MulT",
]
