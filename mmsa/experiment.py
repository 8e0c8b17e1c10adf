"""One experiment on one page: ``RunConfig`` composes the blocks of all components.

The settings of optimiser and loop stand here because the loop itself (``mmsa.training``) is a function of
them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from mmsa.config import Block, one_of, refuse, refuse_all
from mmsa.data import DATA_SETS
from mmsa.errors import Problem, did_you_mean
from mmsa.information.measure_panel import EstimatorName
from mmsa.information.panel import CORE, FAMILIES, Family
from mmsa.models import MODELS
from mmsa.objectives import ObjectiveConfig

PositiveFloat = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(ge=1)]


class OptimConfig(Block):
    """The optimiser. Groups of parameters: ``main``, ``pretrained`` (a fine-tuned encoder), ``estimator``."""

    name: Literal["adam", "adamw"] = "adamw"
    lr: PositiveFloat = 1e-3
    """Learning rate of ``main``, and of the weights of a weighted average of modalities."""
    lr_pretrained: PositiveFloat = 5e-5
    lr_estimator: PositiveFloat = 1e-3
    lr_audio: PositiveFloat | None = None
    """Of the audio encoder; null is ``lr``."""
    lr_vision: PositiveFloat | None = None
    """Of the vision encoder; null is ``lr``."""
    weight_decay: NonNegativeFloat = 1e-4
    weight_decay_pretrained: NonNegativeFloat = 1e-4
    weight_decay_estimator: NonNegativeFloat = 1e-4
    weight_decay_audio: NonNegativeFloat | None = None
    """Of the audio encoder; null is ``weight_decay``."""
    weight_decay_vision: NonNegativeFloat | None = None
    """Of the vision encoder; null is ``weight_decay``."""
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Factor on ``lr_pretrained`` for each layer further from the output of a fine-tuned encoder."""
    schedule: Literal["constant", "linear", "cosine", "plateau", "multi_step"] = "constant"
    """``plateau`` halves the rates when the metric stalls, ``multi_step`` lowers them at ``milestones``."""
    milestones: Annotated[tuple[PositiveInt, ...], Field(strict=False)] = ()
    """Epochs after which ``multi_step`` multiplies the rates by ``decay``."""
    decay: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    warmup: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Part of all steps over which the learning rates rise from 0."""
    clip_norm: NonNegativeFloat = 1.0
    """Largest norm of the gradient of what is being stepped; 0 does not clip."""
    clip_value: NonNegativeFloat = 0.0
    """Largest magnitude of an entry of that gradient, cut before its norm is; 0 does not clip."""

    @model_validator(mode="after")
    def _milestones_are_used(self) -> Self:
        if bool(self.milestones) != (self.schedule == "multi_step"):
            rule = "go with schedule: multi_step, which needs at least one"
            raise refuse(list(self.milestones), rule, "Write both or neither.", at=("milestones",))
        return self


class TrainConfig(Block):
    """The loop: how long, on what, and what decides."""

    epochs: PositiveInt = 40
    batch_size: Annotated[int, Field(ge=2)] = 32
    eval_batch_size: PositiveInt = 256
    metric: str = "valid/mae"
    """What early stopping and the choice of the best epoch look at. Only valid metrics are allowed."""
    direction: Literal["minimize", "maximize"] = "minimize"
    patience: PositiveInt = 8
    """Epochs without improvement after which training stops."""
    average: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Decay of an exponential moving average of the weights that is evaluated instead of them; 0 is none."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """``auto`` is bfloat16 autocast on a GPU that has it and float32 elsewhere."""
    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads of this process; 0 leaves torch's setting. Sums on a CPU depend on it in the last bits."""


def _known_families(value: Any) -> Any:
    unknown = [
        Problem(str(position), name, "is not a kind of information", did_you_mean(str(name), FAMILIES))
        for position, name in enumerate(value if isinstance(value, (list, tuple)) else ())
        if name not in FAMILIES
    ]
    if unknown:
        raise refuse_all(unknown)
    return value


class InformationConfig(Block):
    """What is measured on frozen representations of rows that nothing was fitted to; not what is trained for.

    Measured are the weights of the best epoch, when a run is finished.
    """

    quantities: Annotated[tuple[Family, ...], BeforeValidator(_known_families), Field(strict=False)] = CORE
    """Kinds of information, the most wanted first; an empty list measures nothing."""
    epochs: Annotated[tuple[PositiveInt, ...], Field(strict=False)] = ()
    """Epochs, counted from 1, whose own weights are measured too."""
    budget: Annotated[float, Field(ge=0.0, le=1.0)] | None = 0.1
    """Part of the time of training that measuring may take; the rest is skipped. null is no limit."""
    estimator: EstimatorName = "copula"
    """``copula`` takes milliseconds for a quantity; ``networks`` takes seconds, and sees more than rank
    correlation."""


class RunConfig(Block):
    """Everything that determines a training run, and nothing else."""

    data: Annotated[Block, one_of(DATA_SETS)]
    model: Annotated[Block, one_of(MODELS)]
    objective: ObjectiveConfig = ObjectiveConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    information: InformationConfig = InformationConfig()
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @model_validator(mode="after")
    def _epochs_come(self) -> Self:
        late = [epoch for epoch in self.information.epochs if epoch > self.train.epochs]
        if late:
            rule = f"epoch {late[0]} never comes, train.epochs is {self.train.epochs}"
            advice = "Leave it out, or train longer."
            raise refuse(self.information.epochs, rule, advice, at=("information", "epochs"))
        return self
