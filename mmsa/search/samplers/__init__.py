"""Samplers: how the next point of a space is chosen."""

from mmsa.search.samplers.base import SAMPLERS, Sampler, Setting
from mmsa.search.samplers.chance import QuasiRandom, Random
from mmsa.search.samplers.cmaes import CovarianceMatrixAdaptation
from mmsa.search.samplers.genetic import Nsga2, Nsga3
from mmsa.search.samplers.gp import GaussianProcess
from mmsa.search.samplers.tpe import TreeParzenEstimator

__all__ = [
    "SAMPLERS",
    "CovarianceMatrixAdaptation",
    "GaussianProcess",
    "Nsga2",
    "Nsga3",
    "QuasiRandom",
    "Random",
    "Sampler",
    "Setting",
    "TreeParzenEstimator",
]
