"""What a configuration builds from the data and how that is trained, in a form that can be compared.

Two values of a setting with the same blueprint give the same run: the setting has no effect. No component has
to declare what it reads. Whatever a setting changes shows in the modules that are built, in what is called
while they are built, in the optimiser's groups, or in the passes of an epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any
from weakref import ReferenceType

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mmsa.config import Block
from mmsa.data.inputs import InputSpec
from mmsa.data.targets import TrainTargets
from mmsa.experiment import RunConfig
from mmsa.models.base import Model
from mmsa.models.systems import build_model
from mmsa.models.text import PretrainedConfig
from mmsa.objectives.objective import Objective
from mmsa.objectives.strategies import STRATEGIES
from mmsa.training.optimisers import group_settings, trained_parameters

_DRAWN = (torch.empty, torch.rand, torch.randn)  # make weights; here only their shapes
_FILLED = frozenset(
    (
        "kaiming_uniform_",
        "normal_",
        "uniform_",
        "trunc_normal_",
        "zero_",
        "zeros_",
        "ones_",
        "fill_",
        "constant_",
        "copy_",
        "mul_",
    )
)
_PLAIN = (bool, int, float, str, bytes, torch.dtype, torch.device, type)
_CONTAINERS = (dict, list, tuple, set, frozenset)
_MOST_COMPARED = 2**20  # numbers of a tensor; the calls say what filled a larger one


@dataclass(frozen=True)
class Blueprint:
    """A run on paper.

    Attributes:
        digest: equal for configurations that build and train the same.
        num_parameters: how many numbers are trained.
        numbers_per_row: numbers that the model's largest product takes for each row of a batch.
    """

    digest: str
    num_parameters: int
    numbers_per_row: int

    def memory(self, batch_size: int) -> int:
        """Bytes that training takes at least, in float32.

        For each weight: itself, its gradient, two moments, and copies for the best epoch and the average. For
        each number of the largest product: itself, its gradient, and both again after dropout.
        """
        return 24 * self.num_parameters + 16 * self.numbers_per_row * batch_size


def blueprint(config: RunConfig, inputs: InputSpec, targets: TrainTargets) -> Blueprint:
    """Build model and objective without memory for their weights.

    Raises:
        ConfigError: where encoders, fusion, terms and strategy do not fit each other or the data.
        RuntimeError: for more weights than torch can count.
    """
    paper = _Paper()
    with paper:
        model = build_model(config.model, inputs.predicting(config.objective.trained()), weights=False)
        objective = Objective(config.objective, model.dims, targets)
        objective.refuse_small_batches(targets.rows, config.train.batch_size)
        model.request(objective.requests)
    groups = trained_parameters(model, objective)
    trained = {name for name, members in groups.items() if members}
    description = _Description()
    for part in (
        paper.calls,
        model,
        objective,
        _stepped(config, model, groups),
        _passes(config, trained),
        _text(config, inputs),
    ):
        description.add(part)
    return Blueprint(
        description.digest(),
        sum(parameter.numel() for members in groups.values() for parameter in members),
        model.numbers_per_row,
    )


class _Paper(TorchFunctionMode):
    """Gives weights shapes without memory, and records every other call of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given, name = dict(kwargs or {}), getattr(func, "__name__", "")
        if name != "__get__":
            self.calls.append((name, [part for part in (*args, *given.values()) if not _is_tensor(part)]))
        if func in _DRAWN:
            given["device"] = "meta"
        target = args[0] if args else given.get("tensor")
        # There is nothing to fill or to copy, and torch would load its compiler for it.
        if name in _FILLED and isinstance(target, Tensor) and target.is_meta:
            return target
        if func is torch.stack and not given and len(args) == 1 and _alike_on_paper(args[0]):
            return torch.empty((len(args[0]), *args[0][0].shape), dtype=args[0][0].dtype, device="meta")
        return func(*args, **given)


def _alike_on_paper(parts: Any) -> bool:
    """Whether these are tensors without memory, of one shape and type."""
    kinds = {(part.is_meta, part.shape, part.dtype) for part in parts}
    return len(kinds) == 1 and all(part.is_meta for part in parts)


def _is_tensor(part: object) -> bool:
    """Whether an argument consists of tensors; these are described by the modules they end up in."""
    if isinstance(part, (list, tuple)):
        return any(_is_tensor(item) for item in part)
    return isinstance(part, (Tensor, torch.Generator))


def _stepped(config: RunConfig, model: Model, groups: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of optimiser and loop, without those that nothing reads."""
    optim, train = config.optim.model_dump(), config.train.model_dump()
    for name in [name for name in optim if name.startswith(("lr", "weight_decay", "layer_decay"))]:
        del optim[name]  # they are in the groups
    if config.optim.schedule != "multi_step":
        del optim["milestones"], optim["decay"]
    train["patience"] = min(config.train.patience, config.train.epochs)
    if config.optim.schedule == "plateau":
        optim["patience"] = config.train.patience // 2
    return {
        "optim": optim,
        "train": train,
        "groups": [
            {**group, "params": len(group["params"])} for group in group_settings(config.optim, model, groups)
        ],
        "seed": config.seed,
    }


def _passes(config: RunConfig, trained: set[str]) -> list[Any]:
    """The passes of the first epochs, without those that step nothing."""
    strategy = STRATEGIES[config.objective.strategy.name](config.objective.strategy)
    return [
        [part for part in strategy.passes(epoch) if trained & set(part.groups)]
        for epoch in range(min(2, config.train.epochs))
    ]


def _text(config: RunConfig, inputs: InputSpec) -> Any:
    """The settings by which text is encoded or cut before the model sees it."""
    text = getattr(config.model, "text", None)
    return text if isinstance(text, PretrainedConfig) and "text" in inputs.modalities() else None


class _Description:
    """A digest of values and everything they contain.

    A value that cannot be looked into is described by its address, which equals no other.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._seen: dict[int, tuple[int, Any]] = {}  # holds the values, so that no address is reused

    def digest(self) -> str:
        """The digest of everything added."""
        return hashlib.sha256("\n".join(self._parts).encode(errors="surrogatepass")).hexdigest()

    def add(self, value: Any) -> None:
        """Describe ``value``."""
        if value is None or isinstance(value, _PLAIN):
            self._parts.append(repr(value))
        elif id(value) in self._seen:
            self._parts.append(f"as {self._seen[id(value)][0]}")
        else:
            self._seen[id(value)] = len(self._seen), value
            self._parts.append(f"{type(value).__module__}.{type(value).__qualname__}")
            for part in _tensor(value) if isinstance(value, Tensor) else _held(value):
                self.add(part)
            self._parts.append(")")


def _tensor(value: Tensor) -> list[Any]:
    shape = [str(value.dtype), str(tuple(value.shape)), value.requires_grad]
    compared = value.device.type != "meta" and value.numel() <= _MOST_COMPARED
    return [*shape, repr(value.detach().flatten().tolist())] if compared else shape


def _held(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [part for pair in value.items() for part in pair]
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, (set, frozenset)):
        return sorted(map(repr, value))
    if isinstance(value, Block):
        return [value.model_dump()]
    if isinstance(value, ReferenceType):
        return [value()]
    if isinstance(value, partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return [value.__module__, value.__qualname__, value.__defaults__, value.__kwdefaults__, cells]
    if isinstance(value, (BuiltinFunctionType, ModuleType)):
        return [value.__name__]
    if hasattr(value, "__dict__"):  # empty containers are left out: most are hooks of modules
        held = [pair for pair in vars(value).items() if not isinstance(pair[1], _CONTAINERS) or pair[1]]
        return [part for pair in held for part in pair]
    return [str(id(value))]
