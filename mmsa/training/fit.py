"""Whether the parts of a configuration fit each other and the data."""

from __future__ import annotations

import torch

from mmsa.data.inputs import InputSpec
from mmsa.data.targets import TargetSpec
from mmsa.experiment import RunConfig
from mmsa.models import build_model
from mmsa.objectives import Objective


def refuse_misfit(config: RunConfig, inputs: InputSpec, targets: TargetSpec) -> None:
    """Build model and objective without memory for their weights.

    Raises:
        ConfigError: where encoders, fusion, terms and strategy do not fit each other or the data.
    """
    with torch.device("meta"):
        model = build_model(config.model, inputs, weights=False)
        Objective(config.objective, model.dims, targets)
