"""Task losses: how far the output of a head is from the values of its target.

Shapes: B rows with a value, W numbers that the head has for each, K classes.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from mmsa.config import Named
from mmsa.data.target_spec import TargetKind, TargetSpec
from mmsa.models.heads import output_of
from mmsa.objectives.base import TASKS, Weight

_SCALES: frozenset[TargetKind] = frozenset(("regression", "ordinal"))
_SMALLEST = 1e-8

_DEFAULTS: dict[TargetKind, str] = {
    "regression": "mae",
    "ordinal": "ordinal",
    "binary": "bce",
    "multiclass": "cross_entropy",
    "multilabel": "bce",
}


def default_loss(kind: TargetKind) -> str:
    """Return the name of the loss that a target of a kind has where none is named."""
    return _DEFAULTS[kind]


class TaskConfig(Named):
    """Settings shared by all task losses."""

    weight: Weight = Field(default=1.0, exclude_if=lambda weight: weight == 1.0)
    """Coefficient of the loss in the total; 0 leaves a target beside the primary one out."""


class TaskLoss(nn.Module):
    """Base class of all task losses.

    A loss is built from its ``Config``, the target and how many rows of train each of its classes has.

    Attributes:
        kinds: The kinds of target that it makes sense for.
        fewest: Rows that a batch must have at least.
        never_negative: Whether no batch can give a loss below 0.
    """

    kinds: ClassVar[frozenset[TargetKind]] = _SCALES
    fewest: ClassVar[int] = 1
    never_negative: ClassVar[bool] = True

    def __init__(self, config: TaskConfig, target: TargetSpec, counts: tuple[float, ...] = ()):
        super().__init__()
        self.weight, self.target = config.weight, target

    def forward(self, raw: Tensor, values: Tensor) -> Tensor:
        """Return the scalar loss, before its weight.

        Args:
            raw: Output of the head, (B,) or (B, W).
            values: Of the target, (B,) or (B, K), none of them missing.
        """
        raise NotImplementedError


@TASKS.register("default")
class DefaultLoss(TaskLoss):
    """The loss of the target's kind: MAE, cumulative logits, or the cross-entropy of two or more classes."""

    class Config(TaskConfig):
        """No settings."""

        name: Literal["default"] = "default"

    kinds = frozenset(_DEFAULTS)

    def __init__(self, config: Config, target: TargetSpec, counts: tuple[float, ...] = ()):
        super().__init__(config, target, counts)
        loss = TASKS[_DEFAULTS[target.kind]]
        self.loss = loss(loss.Config(), target, counts)

    def forward(self, raw: Tensor, values: Tensor) -> Tensor:
        """Return the scalar loss."""
        loss: Tensor = self.loss(raw, values)
        return loss


@TASKS.register("mae")
class MeanAbsoluteError(TaskLoss):
    """Mean of |prediction - label|, the task loss of MMIM, MIMRL and Self-MM."""

    class Config(TaskConfig):
        """No settings."""

        name: Literal["mae"] = "mae"

    def forward(self, raw: Tensor, values: Tensor) -> Tensor:
        """Return the scalar loss."""
        return (output_of(self.target, raw) - values).abs().mean()


@TASKS.register("mse")
class MeanSquaredError(TaskLoss):
    """Mean of (prediction - label)^2, the task loss of MISA."""

    class Config(TaskConfig):
        """No settings."""

        name: Literal["mse"] = "mse"

    def forward(self, raw: Tensor, values: Tensor) -> Tensor:
        """Return the scalar loss."""
        return (output_of(self.target, raw) - values).square().mean()


@TASKS.register("huber")
class Huber(TaskLoss):
    """Huber loss, which is quadratic within ``delta`` of the label and linear beyond."""

    class Config(TaskConfig):
        """Where it turns linear."""

        name: Literal["huber"] = "huber"
        delta: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 1.0

    def __init__(self, config: Config, target: TargetSpec, counts: tuple[float, ...] = ()):
        super().__init__(config, target, counts)
        self.delta = config.delta

    def forward(self, raw: Tensor, values: Tensor) -> Tensor:
        """Return the scalar loss."""
        return functional.huber_loss(output_of(self.target, raw), values, delta=self.delta)


@TASKS.register("ccc")
class Concordance(TaskLoss):
    """1 - CCC of a batch with population moments, the measure of the AVEC challenges (Lin 1989).

    A form with N - 1 in variances and covariance is in circulation, whose gap of the means is not scaled so.
    """

    class Config(TaskConfig):
        """What is added."""

        name: Literal["ccc"] = "ccc"
        mae: Weight = 0.0
        """Coefficient of the mean absolute error, which also tells single rows apart."""

    # The concordance of three rows is chance. Batches differ by one row at most: none is a small remainder.
    fewest = 8

    def __init__(self, config: Config, target: TargetSpec, counts: tuple[float, ...] = ()):
        super().__init__(config, target, counts)
        self.mae = config.mae

    def forward(self, raw: Tensor, values: Tensor) -> Tensor:
        """Return the scalar loss."""
        output = output_of(self.target, raw)
        gap = output.mean() - values.mean()
        covariance = ((output - output.mean()) * (values - values.mean())).mean()
        spread = output.var(correction=0) + values.var(correction=0) + gap.square()
        loss = 1 - 2 * covariance / spread.clamp(min=_SMALLEST)
        return loss + self.mae * (output - values).abs().mean() if self.mae else loss


class ClassConfig(TaskConfig):
    """Settings shared by the losses of classes."""

    class_weights: Literal["none", "balanced"] = "none"
    """``balanced``: classes weigh alike, whatever their part of the rows of train; a class without any row
    weighs nothing."""


class ClassLoss(TaskLoss):
    """Base of the losses of classes.

    Attributes:
        weights: Of the K classes, or of the rows to which each label applies; None without.
    """

    weights: Tensor | None

    def __init__(self, config: ClassConfig, target: TargetSpec, counts: tuple[float, ...] = ()):
        super().__init__(config, target, counts)
        weights = None
        if config.class_weights == "balanced" and counts:
            weights = torch.tensor(balanced(target, counts))
        self.register_buffer("weights", weights, persistent=False)


def balanced(target: TargetSpec, counts: tuple[float, ...]) -> tuple[float, ...]:
    """Weights that make classes weigh alike.

    Of K classes N / K n_k, as scikit-learn has them; of a label that holds or not, rows without it over those
    with it, which is what the rows with it weigh.
    """
    if target.kind == "multiclass":
        present = sum(count > 0 for count in counts)
        return tuple(sum(counts) / (present * count) if count else 0.0 for count in counts)
    *positives, rows = counts
    return tuple((rows - count) / count if 0 < count < rows else 1.0 for count in positives)


@TASKS.register("cross_entropy")
class CrossEntropy(ClassLoss):
    """Cross-entropy of one of K classes, in nats; with class weights the weighted mean of rows."""

    class Config(ClassConfig):
        """How sure of the truth it is."""

        name: Literal["cross_entropy"] = "cross_entropy"
        smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
        """Part of the probability that is spread over all classes."""

    kinds = frozenset(("multiclass",))

    def __init__(self, config: Config, target: TargetSpec, counts: tuple[float, ...] = ()):
        super().__init__(config, target, counts)
        self.smoothing = config.smoothing

    def forward(self, raw: Tensor, values: Tensor) -> Tensor:
        """Return the scalar loss."""
        if self.weights is not None and not self.weights[values.long()].any():
            return raw.sum() * 0.0  # a mean over weights that are all 0
        return functional.cross_entropy(
            raw, values.long(), weight=self.weights, label_smoothing=self.smoothing
        )


@TASKS.register("bce")
class BinaryCrossEntropy(ClassLoss):
    """Cross-entropy of two classes, or mean over labels that each hold or not, in nats."""

    class Config(ClassConfig):
        """No further settings."""

        name: Literal["bce"] = "bce"

    kinds = frozenset(("binary", "multilabel"))

    def forward(self, raw: Tensor, values: Tensor) -> Tensor:
        """Return the scalar loss."""
        return functional.binary_cross_entropy_with_logits(raw, values, pos_weight=self.weights)


@TASKS.register("focal")
class Focal(ClassLoss):
    """Cross-entropy times (1 - p)^gamma, p the probability of the truth: rows that are easy count less.

    Lin et al., ICCV 2017; their alpha is ``class_weights``. With a gamma of 0 it is the cross-entropy.
    """

    class Config(ClassConfig):
        """How much less."""

        name: Literal["focal"] = "focal"
        gamma: Annotated[float, Field(ge=0.0, le=10.0)] = 2.0

    kinds = frozenset(("binary", "multiclass", "multilabel"))

    def __init__(self, config: Config, target: TargetSpec, counts: tuple[float, ...] = ()):
        super().__init__(config, target, counts)
        self.gamma = config.gamma

    def forward(self, raw: Tensor, values: Tensor) -> Tensor:
        """Return the scalar loss."""
        if self.target.kind == "multiclass":
            log_p = raw.log_softmax(-1).gather(1, values.long()[:, None]).squeeze(1)
            weights = 1.0 if self.weights is None else self.weights[values.long()]
        else:
            log_p = functional.logsigmoid(torch.where(values > 0.5, raw, -raw))
            weights = 1.0 if self.weights is None else torch.where(values > 0.5, self.weights, 1.0)
        # 1 - p from log p without cancellation, and above 0 so that its power has a gradient.
        missed = (-torch.expm1(log_p)).clamp(min=_SMALLEST)
        return (-weights * missed**self.gamma * log_p).mean()


@TASKS.register("ordinal")
class CumulativeLogits(TaskLoss):
    """Minus log P(y = k) of levels with an order, by the logits of P(y > k) (McCullagh 1980), in nats."""

    class Config(TaskConfig):
        """No settings."""

        name: Literal["ordinal"] = "ordinal"

    kinds = frozenset(("ordinal",))

    def forward(self, raw: Tensor, values: Tensor) -> Tensor:
        """Return the scalar loss."""
        level_B = (values - self.target.low).long()
        # P(y > -1) = 1 and P(y > K - 1) = 0, as logits that no float32 distinguishes from them.
        ends = raw.new_full((len(raw), 1), _LARGEST_LOGIT)
        logits = torch.cat([ends, raw, -ends], 1)
        above = logits.gather(1, level_B[:, None]).squeeze(1)
        beyond = logits.gather(1, level_B[:, None] + 1).squeeze(1)
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - e^(b - a)), which does not cancel.
        gap = (above - beyond).clamp(min=_SMALLEST)
        log_p = functional.logsigmoid(above) + functional.logsigmoid(-beyond) + torch.log(-torch.expm1(-gap))
        return -log_p.mean()


_LARGEST_LOGIT = 100.0
