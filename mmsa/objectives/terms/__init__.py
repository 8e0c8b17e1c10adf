"""Terms of the loss. Importing this package registers them."""

from mmsa.objectives.terms.barber_agakov import BarberAgakovTerm
from mmsa.objectives.terms.contrastive import CrossModal, SupervisedContrastive
from mmsa.objectives.terms.coral import CovarianceAlignment
from mmsa.objectives.terms.cpc import CPC
from mmsa.objectives.terms.dependency import Dependency
from mmsa.objectives.terms.fdmer import Independence, Similarity
from mmsa.objectives.terms.information import InformationTerm
from mmsa.objectives.terms.mimrl import MIMRLTerm
from mmsa.objectives.terms.misa import CentralMomentDiscrepancy, Orthogonality, Reconstruction
from mmsa.objectives.terms.relational import RelationalDistance
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
