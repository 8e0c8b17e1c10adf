"""Fusions, interchangeable in every model: ``model.fusion: {name: ...}``. Importing this registers them."""

from mmsa.models.fusions.base import FUSIONS, Fused, Fusion
from mmsa.models.fusions.mlp import MLP

__all__ = ["FUSIONS", "MLP", "Fused", "Fusion"]
