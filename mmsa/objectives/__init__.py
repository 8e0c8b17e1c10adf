"""Objectives: the task loss, information terms, and the named weighted sum of them."""

from mmsa.objectives.base import TASKS, TERMS, Term, TermConfig, TermValue
from mmsa.objectives.objective import Objective, ObjectiveConfig, warnings
from mmsa.objectives.strategies import STRATEGIES, Pass, Strategy
from mmsa.objectives.terms import CPC, BarberAgakovTerm
from mmsa.objectives.weightings import WEIGHTINGS

__all__ = [
    "CPC",
    "STRATEGIES",
    "TASKS",
    "TERMS",
    "WEIGHTINGS",
    "BarberAgakovTerm",
    "Objective",
    "ObjectiveConfig",
    "Pass",
    "Strategy",
    "Term",
    "TermConfig",
    "TermValue",
    "warnings",
]
