"""The optimiser, its parameter groups, and the schedule of its learning rates.

One optimiser holds every group. A step moves only parameters that have a gradient, and gradients are computed
only in the groups of the current pass. So a group that a pass leaves alone keeps its weights and moments.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, MultiStepLR, ReduceLROnPlateau

from mmsa.eager import Adam, AdamW
from mmsa.experiment import OptimConfig, TrainConfig
from mmsa.models.base import Model
from mmsa.objectives.objective import Objective

GROUPS = ("main", "pretrained", "mixture", "estimator")
_PLATEAU_FACTOR = 0.5
_CLASSES: Mapping[str, type[torch.optim.Adam]] = {"adam": Adam, "adamw": AdamW}


def trained_parameters(model: Model, objective: Objective) -> dict[str, list[nn.Parameter]]:
    """The parameters of model and objective by group, with an entry for each of ``GROUPS``.

    Raises:
        ValueError: unless each trainable parameter is declared in exactly one known group. An undeclared one
            would silently stay as it was drawn.
    """
    groups: dict[str, list[nn.Parameter]] = {name: [] for name in GROUPS}
    for module in (model, objective):
        for name, parameters in module.parameter_groups().items():
            if name not in groups:
                raise ValueError(
                    f"{type(module).__name__} declares the parameter group {name!r}; known: {GROUPS}"
                )
            groups[name] += [parameter for parameter in parameters if parameter.requires_grad]
    declared = Counter(id(parameter) for parameters in groups.values() for parameter in parameters)
    wrong = {
        name: declared[id(parameter)]
        for name, parameter in (*model.named_parameters(), *objective.named_parameters())
        if parameter.requires_grad and declared[id(parameter)] != 1
    }
    if wrong:
        raise ValueError(
            f"each trained parameter is declared in one group once, not as often as here: {wrong}"
        )
    return groups


def build_optimiser(
    config: OptimConfig, model: Model, groups: Mapping[str, Sequence[nn.Parameter]]
) -> torch.optim.Optimizer:
    """Adam or AdamW over ``groups``, as fused kernels."""
    return _CLASSES[config.name](group_settings(config, model, groups), lr=config.lr, fused=True)


def group_settings(
    config: OptimConfig, model: Model, groups: Mapping[str, Sequence[nn.Parameter]]
) -> list[dict[str, Any]]:
    """The groups of the optimiser that have a parameter, with their learning rates and weight decays.

    In the pretrained group vectors (biases and normalisations) are not decayed, as in the training of BERT,
    and ``layer_decay`` lowers the learning rate layer by layer towards the input.
    """
    settings: list[dict[str, Any]] = [
        *_main_settings(config, model, groups["main"]),
        {
            "name": "estimator",
            "params": groups["estimator"],
            "lr": config.lr_estimator,
            "weight_decay": config.weight_decay_estimator,
        },
        {"name": "mixture", "params": groups["mixture"], "lr": config.lr, "weight_decay": 0.0},
        *_pretrained_settings(config, model, groups["pretrained"]),
    ]
    return [group for group in settings if group["params"]]


def _main_settings(
    config: OptimConfig, model: Model, parameters: Sequence[nn.Parameter]
) -> list[dict[str, Any]]:
    """One optimiser group for each encoder with a rate or decay of its own, and one for everything else."""
    own = {
        "audio": (config.lr_audio, config.weight_decay_audio),
        "vision": (config.lr_vision, config.weight_decay_vision),
    }
    settings, rest = [], {id(parameter): parameter for parameter in parameters}
    for modality, encoder in model.modality_encoders().items():
        lr, decay = own.get(modality, (None, None))
        if lr is not None or decay is not None:
            settings.append(
                {
                    "name": modality,
                    "params": [rest.pop(id(p)) for p in encoder.parameters() if id(p) in rest],
                    "lr": config.lr if lr is None else lr,
                    "weight_decay": config.weight_decay if decay is None else decay,
                }
            )
    main = {"name": "main", "params": list(rest.values()), "lr": config.lr}
    return [{**main, "weight_decay": config.weight_decay}, *settings]


def _pretrained_settings(
    config: OptimConfig, model: Model, parameters: Sequence[nn.Parameter]
) -> list[dict[str, Any]]:
    """Two optimiser groups for each depth below the output: decayed matrices and undecayed vectors."""
    depths = {id(model.get_parameter(name)): depth for name, depth in model.pretrained_depths().items()}
    by_kind: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for parameter in parameters:
        by_kind.setdefault((depths.get(id(parameter), 0), parameter.ndim >= 2), []).append(parameter)
    return [
        {
            "name": "pretrained",
            "params": members,
            "lr": config.lr_pretrained * config.layer_decay**depth,
            "weight_decay": config.weight_decay_pretrained if decayed else 0.0,
        }
        for (depth, decayed), members in sorted(by_kind.items(), key=lambda item: item[0])
    ]


class Schedule:
    """The learning rates of all groups over a run: a warm-up, then one of several shapes.

    Linear and cosine reach 0 after the last of ``total_steps``. Plateau halves the rates after more than half
    of ``train.patience`` epochs without improvement, so that a lower rate is tried before the run stops
    early. Multi-step lowers them after fixed epochs.
    """

    def __init__(
        self, optimiser: torch.optim.Optimizer, optim: OptimConfig, train: TrainConfig, total_steps: int
    ):
        self.optimiser = optimiser
        self.warmup_steps = math.ceil(optim.warmup * total_steps)
        self.total_steps = total_steps
        self.shape = optim.schedule
        self._by_step = LambdaLR(optimiser, self.factor)
        self._plateau = ReduceLROnPlateau(
            optimiser,
            "min" if train.direction == "minimize" else "max",
            factor=_PLATEAU_FACTOR,
            patience=train.patience // 2,
            threshold=0.0,
        )
        self._milestones = MultiStepLR(optimiser, optim.milestones, optim.decay)
        self._lowered = 1.0  # by plateau and milestones so far

    def factor(self, step: int) -> float:
        """Factor on the base rates at ``step``, counted from 0; plateau and milestones come on top."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        if self.shape == "linear":
            return 1.0 - progress
        if self.shape == "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * progress))
        return 1.0

    def change(self, settings: torch.optim.Optimizer) -> None:
        """Take over base rates and decays from another optimiser of the same groups that has no schedule.

        Warm-up and decreases stay where they are.
        """
        for group, other in zip(self.optimiser.param_groups, settings.param_groups, strict=True):
            group["lr"] *= other["lr"] / group["initial_lr"]
            group["initial_lr"], group["weight_decay"] = other["lr"], other["weight_decay"]
        self._by_step.base_lrs = [group["initial_lr"] for group in self.optimiser.param_groups]

    def after_step(self) -> None:
        """Call after each optimiser step."""
        # A schedule by the epoch owns the rates after the warm-up. Until then every step sets them from the
        # base rates again, so that the decreases of earlier epochs have to be applied on top.
        by_epoch = self.shape in ("plateau", "multi_step")
        if not by_epoch or self._by_step.last_epoch < self.warmup_steps:
            self._by_step.step()
            for group in self.optimiser.param_groups:
                group["lr"] *= self._lowered

    def after_epoch(self, metric: float) -> None:
        """Call after each evaluation with the metric that decides."""
        before = self.optimiser.param_groups[0]["lr"]
        if self.shape == "plateau":
            self._plateau.step(metric)
        elif self.shape == "multi_step":
            self._milestones.step()
        if before > 0:
            self._lowered *= self.optimiser.param_groups[0]["lr"] / before

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint; the rates themselves are in the optimiser's state."""
        return {
            **{name: schedule.state_dict() for name, schedule in self._all()},
            "lowered": self._lowered,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where ``state_dict`` was taken."""
        for name, schedule in self._all():
            schedule.load_state_dict(state[name])
        self._lowered = state.get("lowered", 1.0)  # older checkpoints have none

    def _all(self) -> list[tuple[str, Any]]:
        return [("by_step", self._by_step), ("plateau", self._plateau), ("milestones", self._milestones)]


def clip_gradient(parameters: Sequence[nn.Parameter], config: OptimConfig) -> Tensor:
    """Clip the entries of the gradients of ``parameters``, then their joint norm, as configured.

    Returns:
        The norm between the two, a scalar on their device, so that nothing waits for the device.
    """
    if config.clip_value > 0:
        nn.utils.clip_grad_value_(parameters, config.clip_value)
    return nn.utils.clip_grad_norm_(parameters, config.clip_norm if config.clip_norm > 0 else math.inf)
