"""Tracking: what a search tells its observers, and the MLflow mirror that is one of them."""

from mmsa.tracking.observer import Observer, Outcome, Scalar, StudyCard, TrialCard

__all__ = ["Observer", "Outcome", "Scalar", "StudyCard", "TrialCard"]
