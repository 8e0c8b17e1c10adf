"""Objectives: the task loss, information terms, and the named weighted sum of them."""

from mmsa.objectives.base import TASKS, TERMS, Term, TermConfig, TermValue
from mmsa.objectives.objective import Objective, ObjectiveConfig, warnings
from mmsa.objectives.strategies import STRATEGIES, Pass
from mmsa.objectives.terms import CPC, BarberAgakov

__all__ = [
    "CPC",
    "STRATEGIES",
    "TASKS",
    "TERMS",
    "BarberAgakov",
    "Objective",
    "ObjectiveConfig",
    "Pass",
    "Term",
    "TermConfig",
    "TermValue",
    "warnings",
]
