"""Tracking: what a search tells its observers, and the MLflow mirror that is one of them."""

from mmsa.tracking.front import pareto_front
from mmsa.tracking.location import Location
from mmsa.tracking.mirror import Mirror, rebuild
from mmsa.tracking.mirror_process import MirrorProcess
from mmsa.tracking.observer import Observer, Outcome, Scalar, Stage, StudyCard, TrialCard, short

__all__ = [
    "Location",
    "Mirror",
    "MirrorProcess",
    "Observer",
    "Outcome",
    "Scalar",
    "Stage",
    "StudyCard",
    "TrialCard",
    "pareto_front",
    "rebuild",
    "short",
]
