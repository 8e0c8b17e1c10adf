"""Distributions whose information is known exactly: what estimators are tested against and compared on."""

from mmsa.information.distributions.benchmark40 import BENCHMARK_40
from mmsa.information.distributions.closed_form import (
    ConditionalTruth,
    Floats,
    Truth,
    correlated_gaussians,
    gaussian_chain,
    independent,
    model_f,
    model_g,
    normal_information,
)
from mmsa.information.distributions.families import DEVELOPED, FAMILIES, UNSEEN, family_truth

__all__ = [
    "BENCHMARK_40",
    "DEVELOPED",
    "FAMILIES",
    "UNSEEN",
    "ConditionalTruth",
    "Floats",
    "Truth",
    "correlated_gaussians",
    "family_truth",
    "gaussian_chain",
    "independent",
    "model_f",
    "model_g",
    "normal_information",
]
