"""Distributions whose information is known exactly: what estimators are tested against and compared on."""

from mmsa.information.truths.base import ConditionalTruth, Floats, Truth
from mmsa.information.truths.benchmark40 import BENCHMARK_40
from mmsa.information.truths.conditional import gaussian_chain, model_f, model_g
from mmsa.information.truths.families import DEVELOPED, FAMILIES, UNSEEN, family_truth
from mmsa.information.truths.gaussian import correlated_gaussians, gaussian_information, independent

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
    "gaussian_information",
    "independent",
    "model_f",
    "model_g",
]
