"""Models: encoders, fusions, and the published systems built from them."""

from mmsa.models.base import MODELS, Model, RepresentationDims, Representations
from mmsa.models.fusions import FUSIONS
from mmsa.models.systems import build_model
from mmsa.models.text_input import encode_split, encode_text, save_text_frontend, with_text_frontend

__all__ = [
    "FUSIONS",
    "MODELS",
    "Model",
    "RepresentationDims",
    "Representations",
    "build_model",
    "encode_split",
    "encode_text",
    "save_text_frontend",
    "with_text_frontend",
]
