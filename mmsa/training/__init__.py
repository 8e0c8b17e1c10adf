"""Training: the loop, metrics, checkpoints, results, and bundles of trained models."""

from mmsa.training.blueprint import Blueprint, blueprint
from mmsa.training.bundle import load_bundle, save_bundle
from mmsa.training.cost import count_parameters, count_steps, time_step
from mmsa.training.loop import Progress, epochs, run
from mmsa.training.metrics import evaluate, metric_names
from mmsa.training.parallel import ALONE, Team
from mmsa.training.predictor import Predictor, Result
from mmsa.training.selection import Selection

__all__ = [
    "ALONE",
    "Blueprint",
    "Predictor",
    "Progress",
    "Result",
    "Selection",
    "Team",
    "blueprint",
    "count_parameters",
    "count_steps",
    "epochs",
    "evaluate",
    "load_bundle",
    "metric_names",
    "run",
    "save_bundle",
    "time_step",
]
