"""Tracking: the observers of a search, and the mirror that keeps MLflow up to date."""

from mmsa.interface import (
    NOTHING,
    VALID,
    BestEpoch,
    Observer,
    Outcome,
    Scalar,
    Stage,
    StudyCard,
    TrialCard,
    short,
)
from mmsa.ranking import front_of, ranked
from mmsa.tracking.location import Location
from mmsa.tracking.mirror import Mirror, rebuild
from mmsa.tracking.mirror_process import MirrorProcess

__all__ = [
    "NOTHING",
    "VALID",
    "BestEpoch",
    "Location",
    "Mirror",
    "MirrorProcess",
    "Observer",
    "Outcome",
    "Scalar",
    "Stage",
    "StudyCard",
    "TrialCard",
    "front_of",
    "ranked",
    "rebuild",
    "short",
]
