"""Models: encoders, fusions, and the published systems built from them."""

from mmsa.models.base import MODELS, Model, RepresentationDims, Representations

__all__ = ["MODELS", "Model", "RepresentationDims", "Representations"]
