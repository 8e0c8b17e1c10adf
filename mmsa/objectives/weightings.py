"""Weightings: how the losses of tasks and terms become the total."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from mmsa.config import Named
from mmsa.registry import Registry

WEIGHTINGS: Registry[Weighting] = Registry("weighting of losses")

_LARGEST_LOG_VARIANCE = 10.0


class Weighting(nn.Module):
    """Base class of all weightings, built from a ``Config`` and the names of the losses.

    Attributes:
        takes_negative: Whether losses that may fall below 0 make sense with it.
    """

    takes_negative: ClassVar[bool] = True

    def forward(self, losses: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the losses that are added up, and detached monitors."""
        raise NotImplementedError


@WEIGHTINGS.register("fixed")
class Fixed(Weighting):
    """Leaves the losses as the weights of the terms make them."""

    class Config(Named):
        """No settings."""

        name: Literal["fixed"] = "fixed"

    def __init__(self, config: Config, names: Collection[str]):
        super().__init__()

    def forward(self, losses: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the same losses."""
        return dict(losses), {}


@WEIGHTINGS.register("uncertainty")
class Uncertainty(Weighting):
    """Learns a log-variance s_i of each loss: sum_i e^(-s_i) L_i + s_i (Kendall et al., CVPR 2018).

    The weight of a term multiplies L_i and is only a start, since e^(-s_i) balances it away. A loss that may
    fall below 0, as all bounds on information do, has no best s_i and is refused. s_i lies within +-10, which
    it approaches smoothly.
    """

    class Config(Named):
        """No settings."""

        name: Literal["uncertainty"] = "uncertainty"

    takes_negative = False

    def __init__(self, config: Config, names: Collection[str]):
        super().__init__()
        self.log_variances = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in names})

    def forward(self, losses: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return scaled losses and ``uncertainty``, the sum of s_i. Monitors ``weight/<loss>``: e^(-s_i)."""
        log_variances = {name: self._bounded(name) for name in losses}
        scales = {name: (-value).exp() for name, value in log_variances.items()}
        scaled = {name: scales[name] * loss for name, loss in losses.items()}
        scaled["uncertainty"] = torch.stack(list(log_variances.values())).sum()
        return scaled, {f"weight/{name}": scale.detach() for name, scale in scales.items()}

    def _bounded(self, name: str) -> Tensor:
        raw: Tensor = self.log_variances[name]
        return _LARGEST_LOG_VARIANCE * (raw / _LARGEST_LOG_VARIANCE).tanh()
