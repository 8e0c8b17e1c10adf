"""Many small networks computed as one: stacked weights, one batched product for each layer of all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

Read = Callable[[Any], Any]


class Stack(nn.Module):
    """Modules of one class and one shape, as one module whose parameters and buffers count them first.

    What a member gives is turned into tensors by ``read``. Random members (dropout) are not supported.
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
        """What each member gives on its slice of the inputs, (G, ...)."""
        state = {name: getattr(*place) for name, place in self._places.items()}
        return torch.vmap(self._call)(state, *inputs_G)

    def _call(self, state: Mapping[str, Tensor], *inputs: Tensor) -> Any:
        return self.read(functional_call(self.member, dict(state), inputs))


def _place(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The submodule that holds a parameter or buffer, and the name it has there."""
    owner, _, leaf = name.rpartition(".")
    return module.get_submodule(owner), leaf


def _as_gradients_come(stacked: Tensor) -> Tensor:
    """The same values; matrices lie in memory by columns, the layout in which batched products give their
    gradients, which would be copied into any other.
    """
    return stacked.mT.contiguous().mT if stacked.ndim == 3 else stacked


class Grouped(nn.Module):
    """Named modules of one class; those whose parameters have the same shapes are computed together.

    Attributes:
        order: the names in the order of the results.
    """

    def __init__(self, members: Mapping[str, nn.Module], read: Read = lambda output: output):
        super().__init__()
        by_shape: dict[tuple[torch.Size, ...], list[str]] = {}
        for name, member in members.items():
            by_shape.setdefault(tuple(value.shape for value in member.parameters()), []).append(name)
        self._names = list(by_shape.values())
        self.order = [name for names in self._names for name in names]
        self.stacks = nn.ModuleList(Stack([members[name] for name in names], read) for names in self._names)

    def forward(self, inputs: Mapping[str, tuple[Tensor, ...]]) -> Any:
        """What each member gives on its inputs, in ``order`` along the first axis; needs a member."""
        parts = [
            stack(*map(torch.stack, zip(*(inputs[name] for name in names), strict=True)))
            for names, stack in zip(self._names, self.stacks, strict=True)
        ]
        if isinstance(parts[0], Tensor):
            return torch.cat(parts)
        return tuple(torch.cat(values) for values in zip(*parts, strict=True))
