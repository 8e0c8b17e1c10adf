"""Terms of the loss. Importing this package registers them."""

from mmsa.objectives.terms.alignment import (
    CovarianceAlignment,
    CrossModal,
    RelationalDistance,
    SupervisedContrastive,
)
from mmsa.objectives.terms.dependency import Dependency
from mmsa.objectives.terms.information import InformationTerm
from mmsa.objectives.terms.mimrl import MIMRLTerm
from mmsa.objectives.terms.mmim import CPC, BarberAgakovTerm
from mmsa.objectives.terms.shared_private import (
    CentralMomentDiscrepancy,
    Independence,
    Orthogonality,
    Reconstruction,
    Similarity,
)
from mmsa.objectives.terms.unimodal import Unimodal

__all__ = [
    "CPC",
    "BarberAgakovTerm",
    "CentralMomentDiscrepancy",
    "CovarianceAlignment",
    "CrossModal",
    "Dependency",
    "Independence",
    "InformationTerm",
    "MIMRLTerm",
    "Orthogonality",
    "Reconstruction",
    "RelationalDistance",
    "Similarity",
    "SupervisedContrastive",
    "Unimodal",
]
