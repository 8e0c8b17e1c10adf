"""One experiment on one page: ``RunConfig`` composes the blocks of all components.

The settings of the optimiser and the loop are here because the loop itself (``mmsa.training``) is a function
of them. Registries are imported from the modules that define them; any import from their packages fills them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from mmsa.config import Block, Named, one_of, refuse, refuse_all, walk, with_overrides
from mmsa.data.catalogue import DATA_SETS
from mmsa.data.corpus import MODALITIES
from mmsa.errors import ConfigError, Problem, did_you_mean
from mmsa.information.panel import CORE, FAMILIES, EstimatorName, Family
from mmsa.interface import Direction, direction_of
from mmsa.models.base import MODELS
from mmsa.objectives.objective import ObjectiveConfig

PositiveFloat = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(ge=1)]
Epochs = Annotated[int, Field(ge=1, le=100_000)]

CONTINUABLE = (
    "optim.lr, optim.weight_decay (and those of single groups), optim.layer_decay, optim.clip_norm, "
    "optim.clip_value, objective.terms.<term>.weight"
)
_CONTINUABLE = re.compile(
    r"optim\.((lr|weight_decay)(_\w+)?|layer_decay|clip_norm|clip_value)|objective\.terms\.\w+\.weight"
)


class OptimConfig(Named):
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


_METRIC = "valid/mae"


class TrainConfig(Block):
    """The loop: how long, on what, and what decides."""

    epochs: Epochs = 40
    batch_size: Annotated[int, Field(ge=2, le=1_000_000)] = 32
    eval_batch_size: PositiveInt = 256
    metric: str = _METRIC
    """What early stopping and the choice of the best epoch look at. Only valid metrics are allowed."""
    direction: Direction = "minimize"
    """Which way ``metric`` is better: follows from it, and need not be written."""
    patience: PositiveInt = 8
    """Epochs without improvement after which training stops."""
    modality_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Probability with which a row of a training batch loses a modality; it keeps at least one."""
    average: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Decay of an exponential moving average of the weights that is evaluated instead of them; 0 is none."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """``auto`` is bfloat16 autocast on a GPU that has it and float32 elsewhere."""
    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads of this process; 0 leaves torch's setting. Sums on a CPU depend on it in the last bits."""

    @model_validator(mode="wrap")
    @classmethod
    def _direction_of_the_metric(cls, values: Any, handler: Any) -> Any:
        metric = values.get("metric", _METRIC) if isinstance(values, Mapping) else None
        if not isinstance(metric, str):
            return handler(values)
        own = direction_of(metric)
        config = handler({"direction": own, **values})
        if config.direction == own:
            # A change of the metric changes it again. Stored configurations are complete, and do not tell
            # who wrote it; nobody means to keep the direction of one metric for another.
            config.model_fields_set.discard("direction")
        return config


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


def without_later_defaults(values: dict[str, Any]) -> dict[str, Any]:
    """A dumped configuration without settings that came later, where they change nothing.

    So digests in ledgers and checkpoints of earlier versions go on meaning the same run.
    """
    data, train, model = (dict(values[name]) for name in ("data", "train", "model"))
    text = dict(model.get("text") or {})
    for block, name, default in (
        (data, "folds", None),
        (data, "nonfinite", "zero"),
        *((data, f"{name}_features", None) for name in MODALITIES),
        (train, "modality_dropout", 0.0),
        (model, "presence", False),
        (model, "audio_scale", "train"),
        (model, "vision_scale", "train"),
        (text, "cache_frozen", False),
    ):
        if name in block and block[name] == default:
            del block[name]
    if text:
        model["text"] = text
    return {**values, "data": data, "train": train, "model": model}


def continuable(path: str) -> bool:
    """Whether a setting, by dotted path, may change between two epochs.

    It may if each step reads it again and nothing is built from it.
    """
    return _CONTINUABLE.fullmatch(path) is not None


class Change(Block):
    """Settings that change between two epochs."""

    after: PositiveInt
    """The epoch, counted from 1, after which they do."""
    set: Annotated[Mapping[str, NonNegativeFloat], Field(min_length=1)]
    """Their values from then on, by dotted path."""


class RunConfig(Block):
    """Everything that determines a training run, and nothing else."""

    data: Annotated[Named, one_of(DATA_SETS)]
    model: Annotated[Named, one_of(MODELS)]
    objective: ObjectiveConfig = ObjectiveConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    information: InformationConfig = InformationConfig()
    course: Annotated[tuple[Change, ...], Field(strict=False)] = ()
    """How settings change during the run, in the order of epochs; a search by ``pbt`` writes it."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @property
    def measured(self) -> tuple[Family, ...]:
        """What a run measures: ``information.quantities``, and MIMRL's sums where the objective has its term.

        They are what its coefficients ask for. Also where its weight is 0, as in an ablation, which would
        otherwise have nothing to be compared by; last, so that they take no time from what was asked for.
        """
        asked = self.information.quantities
        needed: tuple[Family, ...] = ("mimrl",) if asked and "mimrl" in self.objective.terms else ()
        return (*asked, *(family for family in needed if family not in asked))

    def at_epoch(self, epoch: int) -> RunConfig:
        """The configuration in an epoch, counted from 1: all earlier changes made, and no course left."""
        changes: dict[str, float] = {}
        for change in self.course:
            if change.after < epoch:
                changes |= change.set
        return with_overrides(self.model_copy(update={"course": ()}), changes)

    @model_validator(mode="after")
    def _epochs_come(self) -> Self:
        late = [epoch for epoch in self.information.epochs if epoch > self.train.epochs]
        if late:
            rule = f"epoch {late[0]} never comes, train.epochs is {self.train.epochs}"
            advice = "Leave it out, or train longer."
            raise refuse(self.information.epochs, rule, advice, at=("information", "epochs"))
        return self

    @model_validator(mode="after")
    def _course_can_be_run(self) -> Self:
        if self.course:
            if problems := [*self._order_problems(), *self._path_problems()]:
                raise refuse_all(problems)
            self._refuse_values()
        return self

    def _order_problems(self) -> list[Problem]:
        epochs = [change.after for change in self.course]
        if epochs != sorted(set(epochs)):
            return [Problem("course", epochs, "must be in the order of epochs, each once")]
        if epochs[-1] >= self.train.epochs:
            rule = f"nothing comes after epoch {epochs[-1]}, train.epochs is {self.train.epochs}"
            return [Problem("course", epochs, rule, "Leave it out, or train longer.")]
        return []

    def _path_problems(self) -> list[Problem]:
        problems, values = [], self.model_dump()
        for position, change in enumerate(self.course):
            for path, value in change.set.items():
                at = f"course.{position}.set.{path}"
                if not continuable(path):
                    rule = "cannot change during a run"
                    problems.append(Problem(at, value, rule, f"Those that can: {CONTINUABLE}."))
                elif not isinstance(walk(values, path), float):
                    rule = "has no value at the beginning that could change"
                    problems.append(Problem(at, value, rule, f"Write {path} itself first."))
        return problems

    def _refuse_values(self) -> None:
        terms = list(self.objective.built())
        for position, change in enumerate(self.course):
            at = f"course.{position}.set"
            try:
                during = self.at_epoch(change.after + 1)
            except ConfigError as error:
                problems = (Problem(f"{at}.{p.path}", p.value, p.rule, p.next_step) for p in error.problems)
                raise refuse_all(problems) from None
            if list(during.objective.built()) != terms:
                rule = "takes a term out of the objective, or puts one in, during a run"
                raise refuse(dict(change.set), rule, "Keep weights above 0, and those that are 0.", (at,))
