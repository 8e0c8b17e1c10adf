"""Schedulers: which trials are stopped, or wait, before their last epoch."""

from mmsa.search.schedulers.base import SCHEDULERS, Decision, NoScheduler, Replacement, Scheduler
from mmsa.search.schedulers.population import PopulationBased
from mmsa.search.schedulers.promoting import GrowingHalving, PromotingHalving
from mmsa.search.schedulers.stopping import Hyperband, MedianStopping, SuccessiveHalving

__all__ = [
    "SCHEDULERS",
    "Decision",
    "GrowingHalving",
    "Hyperband",
    "MedianStopping",
    "NoScheduler",
    "PopulationBased",
    "PromotingHalving",
    "Replacement",
    "Scheduler",
    "SuccessiveHalving",
]
