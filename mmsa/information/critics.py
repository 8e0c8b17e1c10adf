"""Critics, the networks that score pairs f(x, y), and many small networks computed as one.

A critic embeds each side once and then scores every row against every column, so that a batch spread over
processes embeds its own samples only. No critic has batch statistics: they would leak the pairing.
Shapes: R rows, C columns, E embedding, G networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from mmsa.config import Block, Named
from mmsa.registry import Registry

CRITICS: Registry[Critic] = Registry("critic")

Width = Annotated[int, Field(ge=1, le=4096)]


class MLPConfig(Block):
    """Shape of a multilayer perceptron with ReLU units."""

    hidden: Width = 256
    layers: Annotated[int, Field(ge=1, le=8)] = 2
    """Hidden layers."""
    norm: Literal["none", "layer"] = "none"


def mlp(config: MLPConfig, inputs: int, outputs: int) -> nn.Sequential:
    """Build a multilayer perceptron from ``inputs`` to ``outputs`` features.

    Examples:
        >>> mlp(MLPConfig(hidden=8, layers=1), 3, 2)
        Sequential(
          (0): Linear(in_features=3, out_features=8, bias=True)
          (1): ReLU()
          (2): Linear(in_features=8, out_features=2, bias=True)
        )
    """
    layers: list[nn.Module] = []
    for layer in range(config.layers):
        layers.append(nn.Linear(config.hidden if layer else inputs, config.hidden))
        if config.norm == "layer":
            layers.append(nn.LayerNorm(config.hidden))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers, nn.Linear(config.hidden, outputs))


class Critic(nn.Module):
    """Base class of all critics.

    Attributes:
        score_range: The largest possible difference between two scores.
    """

    score_range: float = math.inf

    def embed_x(self, x_RD: Tensor) -> Tensor:
        """Embed each x as ``score`` needs it."""
        return x_RD

    def embed_y(self, y_CD: Tensor) -> Tensor:
        """Embed each y as ``score`` needs it."""
        return y_CD

    def score(self, x_RE: Tensor, y_CE: Tensor) -> Tensor:
        """Score embedded rows against embedded columns, (R, C)."""
        raise NotImplementedError

    def forward(self, x_RD: Tensor, y_CD: Tensor) -> Tensor:
        """Score rows against columns, (R, C)."""
        return self.score(self.embed_x(x_RD), self.embed_y(y_CD))


@CRITICS.register("separable")
class SeparableCritic(Critic):
    """f = g(x) . h(y), which takes 2N network passes and one product: the choice for large batches."""

    class Config(MLPConfig, Named):
        """Shape of both towers."""

        name: Literal["separable"] = "separable"
        embedding: Width = 32

    def __init__(self, config: Config, x_dim: int, y_dim: int):
        super().__init__()
        self.x_tower = mlp(config, x_dim, config.embedding)
        self.y_tower = mlp(config, y_dim, config.embedding)

    def embed_x(self, x_RD: Tensor) -> Tensor:
        """g(x), (R, embedding)."""
        embedded: Tensor = self.x_tower(x_RD)
        return embedded

    def embed_y(self, y_CD: Tensor) -> Tensor:
        """h(y), (C, embedding)."""
        embedded: Tensor = self.y_tower(y_CD)
        return embedded

    def score(self, x_RE: Tensor, y_CE: Tensor) -> Tensor:
        """Inner products (R, C)."""
        return x_RE @ y_CE.T


@CRITICS.register("cosine")
class CosineCritic(SeparableCritic):
    """f = cosine of g(x) and h(y), in [-1, 1], meant for InfoNCE with a temperature well below 1."""

    class Config(SeparableCritic.Config):
        """Shape of both towers."""

        name: Literal["cosine"] = "cosine"  # type: ignore[assignment]

    score_range = 2.0

    def score(self, x_RE: Tensor, y_CE: Tensor) -> Tensor:
        """Cosines (R, C)."""
        return F.normalize(x_RE, dim=1) @ F.normalize(y_CE, dim=1).T


@CRITICS.register("bilinear")
class BilinearCritic(Critic):
    """f = x' W y, the cheapest critic, for representations that are already learned."""

    class Config(Named):
        """No settings."""

        name: Literal["bilinear"] = "bilinear"

    def __init__(self, config: Config, x_dim: int, y_dim: int):
        super().__init__()
        self.weight = nn.Linear(x_dim, y_dim, bias=False)

    def embed_x(self, x_RD: Tensor) -> Tensor:
        """x' W, (R, y_dim)."""
        embedded: Tensor = self.weight(x_RD)
        return embedded

    def score(self, x_RE: Tensor, y_CE: Tensor) -> Tensor:
        """Inner products (R, C)."""
        return x_RE @ y_CE.T


@CRITICS.register("joint")
class JointCritic(Critic):
    """f = network([x, y]), which takes N^2 passes: less bias than ``separable``, but overfits sooner."""

    class Config(MLPConfig, Named):
        """Shape of the network."""

        name: Literal["joint"] = "joint"

    def __init__(self, config: Config, x_dim: int, y_dim: int):
        super().__init__()
        self.x_part = nn.Linear(x_dim, config.hidden, bias=False)
        self.y_part = nn.Linear(y_dim, config.hidden)
        self.network = nn.Sequential(nn.ReLU(), mlp(config, config.hidden, 1))

    def embed_x(self, x_RD: Tensor) -> Tensor:
        """The x half of the first layer, (R, hidden)."""
        embedded: Tensor = self.x_part(x_RD)
        return embedded

    def embed_y(self, y_CD: Tensor) -> Tensor:
        """The y half of the first layer, (C, hidden)."""
        embedded: Tensor = self.y_part(y_CD)
        return embedded

    def score(self, x_RE: Tensor, y_CE: Tensor) -> Tensor:
        """Scores (R, C); memory R x C x hidden."""
        scores_RC1: Tensor = self.network(x_RE[:, None] + y_CE[None])
        return scores_RC1.squeeze(-1)


@CRITICS.register("prediction")
class PredictionCritic(Critic):
    """f = cosine of y and its prediction from x, as CPC and MMIM score a fused vector against a modality."""

    class Config(Named):
        """Shape of the prediction."""

        name: Literal["prediction"] = "prediction"
        layers: Annotated[int, Field(ge=1, le=4)] = 1
        """Linear layers, with tanh in between."""

    score_range = 2.0

    def __init__(self, config: Config, x_dim: int, y_dim: int):
        super().__init__()
        deeper = [part for _ in range(config.layers - 1) for part in (nn.Tanh(), nn.Linear(y_dim, y_dim))]
        self.predict = nn.Sequential(nn.Linear(x_dim, y_dim), *deeper)

    def embed_x(self, x_RD: Tensor) -> Tensor:
        """The direction of the predicted y, (R, y_dim)."""
        return F.normalize(self.predict(x_RD), dim=1)

    def embed_y(self, y_CD: Tensor) -> Tensor:
        """The direction of y, (C, y_dim)."""
        return F.normalize(y_CD, dim=1)

    def score(self, x_RE: Tensor, y_CE: Tensor) -> Tensor:
        """Cosines (R, C)."""
        return x_RE @ y_CE.T


Read = Callable[[Any], Any]


class Stack(nn.Module):
    """Modules of one class and shape as one module, whose parameters and buffers have a leading member axis.

    ``read`` turns the output of a member into tensors. Random members (dropout) are not supported.
    """

    def __init__(self, members: Sequence[nn.Module], read: Read):
        super().__init__()
        self.read = read
        self.member = deepcopy(members[0])
        parameters, buffers = stack_module_state(list(members))
        self._places = {name: _place(self.member, name) for name in (*parameters, *buffers)}
        for name, stacked in parameters.items():
            setattr(*self._places[name], nn.Parameter(_as_gradients_come(stacked.detach())))
        for name, stacked in buffers.items():
            setattr(*self._places[name], stacked)

    def forward(self, *inputs_G: Tensor) -> Any:
        """Return the output of each member on its slice of the inputs, (G, ...)."""
        state = {name: getattr(*place) for name, place in self._places.items()}
        return torch.vmap(self._call)(state, *inputs_G)

    def _call(self, state: Mapping[str, Tensor], *inputs: Tensor) -> Any:
        return self.read(functional_call(self.member, dict(state), inputs))


def _place(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    """Return the submodule that holds a parameter or buffer, and its name there."""
    owner, _, leaf = name.rpartition(".")
    return module.get_submodule(owner), leaf


def _as_gradients_come(stacked: Tensor) -> Tensor:
    """Lay matrices out by columns, with the same values."""
    # Batched products give the gradients of weights in this layout; every step would copy them into another.
    return stacked.mT.contiguous().mT if stacked.ndim == 3 else stacked


class Grouped(nn.Module):
    """Named modules, of which those of one kind with parameters of the same shapes are computed together.

    Args:
        members: The modules.
        read: Turns the output of a member into tensors.
        kinds: What kind each one is, by name. Modules of one kind differ in their parameters alone, so their
            class and all of their settings have to be the same. Without it all are of one kind.

    Attributes:
        order: The names in the order of the results, in which each kind is together.
        kinds: The kind of each stack.
    """

    def __init__(
        self,
        members: Mapping[str, nn.Module],
        read: Read = lambda output: output,
        kinds: Mapping[str, str] | None = None,
    ):
        super().__init__()
        by_kind: dict[str, dict[tuple[torch.Size, ...], list[str]]] = {}
        for name, member in members.items():
            by_shape = by_kind.setdefault("" if kinds is None else kinds[name], {})
            by_shape.setdefault(tuple(value.shape for value in member.parameters()), []).append(name)
        self._names = [names for by_shape in by_kind.values() for names in by_shape.values()]
        self.kinds = [kind for kind, by_shape in by_kind.items() for _ in by_shape]
        self.order = [name for names in self._names for name in names]
        self.stacks = nn.ModuleList(Stack([members[name] for name in names], read) for names in self._names)

    def forward(self, inputs: Mapping[str, tuple[Tensor, ...]], kind: str | None = None) -> Any:
        """Return the output of each member (of a kind) on its inputs, in ``order`` along the first axis."""
        parts = [
            stack(*map(torch.stack, zip(*(inputs[name] for name in names), strict=True)))
            for names, stack, own in zip(self._names, self.stacks, self.kinds, strict=True)
            if kind is None or own == kind
        ]
        if isinstance(parts[0], Tensor):
            return torch.cat(parts)
        return tuple(torch.cat(values) for values in zip(*parts, strict=True))
