"""Information: estimators as losses, conditional information, distributions whose truth is known.

Usable by itself on any tensors. Importing it fills the registries.
"""

from mmsa.information.conditional import CONDITIONAL_ESTIMATORS, ConditionalEstimator, CrossEntropyDifference
from mmsa.information.copula import GaussianCopula, gaussian_copula_information
from mmsa.information.critics import CRITICS
from mmsa.information.density_estimators import CLUB, BarberAgakov, L1Out
from mmsa.information.estimators import ESTIMATORS, Estimator, Spec, Value
from mmsa.information.gradients import GradientNormaliser
from mmsa.information.ksg import KSG, ksg_information
from mmsa.information.measuring import measure
from mmsa.information.neighbours import Triples
from mmsa.information.score_estimators import InfoNCE, InfoNCEAnchor
from mmsa.information.surrogates import SURROGATES
from mmsa.information.target import decompose
from mmsa.measurement import Measurement

__all__ = [
    "CLUB",
    "CONDITIONAL_ESTIMATORS",
    "CRITICS",
    "ESTIMATORS",
    "KSG",
    "SURROGATES",
    "BarberAgakov",
    "ConditionalEstimator",
    "CrossEntropyDifference",
    "Estimator",
    "GaussianCopula",
    "GradientNormaliser",
    "InfoNCE",
    "InfoNCEAnchor",
    "L1Out",
    "Measurement",
    "Spec",
    "Triples",
    "Value",
    "decompose",
    "gaussian_copula_information",
    "ksg_information",
    "measure",
]
