"""Task losses: how a prediction is compared with its label."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mmsa.config import Named
from mmsa.objectives.base import TASKS


@TASKS.register("mae")
class MeanAbsoluteError(nn.Module):
    """Mean of |prediction - label|, the task loss of MMIM, MIMRL and Self-MM."""

    class Config(Named):
        """No settings."""

        name: Literal["mae"] = "mae"

    def __init__(self, config: Config):
        super().__init__()

    def forward(self, prediction_B: Tensor, labels_B: Tensor) -> Tensor:
        """Scalar loss."""
        return (prediction_B - labels_B).abs().mean()


@TASKS.register("mse")
class MeanSquaredError(nn.Module):
    """Mean of (prediction - label)^2, the task loss of MISA."""

    class Config(Named):
        """No settings."""

        name: Literal["mse"] = "mse"

    def __init__(self, config: Config):
        super().__init__()

    def forward(self, prediction_B: Tensor, labels_B: Tensor) -> Tensor:
        """Scalar loss."""
        return (prediction_B - labels_B).square().mean()


@TASKS.register("huber")
class Huber(nn.Module):
    """Quadratic within ``delta`` of the label, linear beyond."""

    class Config(Named):
        """Where it turns linear."""

        name: Literal["huber"] = "huber"
        delta: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 1.0

    def __init__(self, config: Config):
        super().__init__()
        self.delta = config.delta

    def forward(self, prediction_B: Tensor, labels_B: Tensor) -> Tensor:
        """Scalar loss."""
        return torch.nn.functional.huber_loss(prediction_B, labels_B, delta=self.delta)
