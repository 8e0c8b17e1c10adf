"""Schedulers: which trials are stopped, or wait, before their last epoch."""

from mmsa.search.schedulers.base import SCHEDULERS, Decision, NoScheduler, Scheduler
from mmsa.search.schedulers.promoting import GrowingHalving, PromotingHalving
from mmsa.search.schedulers.stopping import Hyperband, MedianStopping, SuccessiveHalving

__all__ = [
    "SCHEDULERS",
    "Decision",
    "GrowingHalving",
    "Hyperband",
    "MedianStopping",
    "NoScheduler",
    "PromotingHalving",
    "Scheduler",
    "SuccessiveHalving",
]
