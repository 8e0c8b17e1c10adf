"""Samplers: how the next point of a space is chosen."""

from mmsa.search.samplers.base import SAMPLERS, Sampler, SamplerContext
from mmsa.search.samplers.bayesian import GaussianProcess, TreeParzenEstimator
from mmsa.search.samplers.chance import QuasiRandom, Random
from mmsa.search.samplers.evolutionary import CovarianceMatrixAdaptation, Nsga2, Nsga3

__all__ = [
    "SAMPLERS",
    "CovarianceMatrixAdaptation",
    "GaussianProcess",
    "Nsga2",
    "Nsga3",
    "QuasiRandom",
    "Random",
    "Sampler",
    "SamplerContext",
    "TreeParzenEstimator",
]
