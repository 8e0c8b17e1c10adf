"""Information about a target by held-out cross-entropy: subsets of modalities, brackets, decomposition."""

from mmsa.information.target.decomposing import FAST, FULL, Effort, decompose
from mmsa.information.target.decomposition import Decomposition, Quantity
from mmsa.information.target.labels import Target
from mmsa.information.target.mimrl import mimrl_code, mimrl_shares
from mmsa.information.target.quantities import Pair, pairs_of, quantities, subsets_of

__all__ = [
    "FAST",
    "FULL",
    "Decomposition",
    "Effort",
    "Pair",
    "Quantity",
    "Target",
    "decompose",
    "mimrl_code",
    "mimrl_shares",
    "pairs_of",
    "quantities",
    "subsets_of",
]
