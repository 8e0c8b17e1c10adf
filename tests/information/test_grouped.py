"""Modules computed together give what each of them gives alone."""

import pytest
import torch

from mmsa.information import ESTIMATORS
from mmsa.information.critics import Grouped, MLPConfig, mlp

CRITIC = {"critic": {"name": "separable", "hidden": 16}}
WIDTHS = {"a": (5, 3), "b": (4, 4), "c": (5, 3)}  # b is of another shape


def estimators(name):
    torch.manual_seed(0)
    entry = ESTIMATORS[name]
    return {member: entry(entry.Config.model_validate(CRITIC), *widths) for member, widths in WIDTHS.items()}


def pairs(seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        member: tuple(torch.randn(9, width, generator=generator).requires_grad_() for width in widths)
        for member, widths in WIDTHS.items()
    }


def grouped(members):
    return Grouped(members, lambda value: (value.loss, value.monitor))


@pytest.mark.parametrize("name", ["infonce", "nwj", "mine", "tuba", "flo", "smile", "infonce_anchor"])
def test_losses_monitors_gradients_and_state_are_those_of_each_alone(name):
    members = estimators(name)
    together = grouped(members)
    assert sorted(together.order) == sorted(members)
    for seed in range(3):  # what MINE remembers is different each time
        alone, inputs = pairs(seed), pairs(seed)
        losses, monitors = together(inputs)
        losses.sum().backward()
        for place, member in enumerate(together.order):
            value = members[member](*alone[member])
            value.loss.backward()
            torch.testing.assert_close(losses[place], value.loss, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(monitors[place], value.monitor, rtol=1e-5, atol=1e-5)
            for one, other in zip(inputs[member], alone[member], strict=True):
                torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-5)
    own = sum(parameter.grad.square().sum() for m in members.values() for parameter in m.parameters())
    stacked = sum(parameter.grad.square().sum() for parameter in together.parameters())
    torch.testing.assert_close(stacked, own, rtol=1e-5, atol=1e-7)


def test_state_goes_through_a_dictionary():
    together, again = grouped(estimators("mine")), grouped(estimators("mine"))
    together(pairs(0))
    again.load_state_dict(together.state_dict())
    for one, other in zip(together(pairs(1)), again(pairs(1)), strict=True):
        assert torch.equal(one, other)


def test_plain_networks_give_tensors():
    members = {name: mlp(MLPConfig(hidden=8, norm="layer"), 4, 2) for name in ("first", "second")}
    rows = torch.randn(6, 4)
    outputs = Grouped(members)(dict.fromkeys(members, (rows,)))
    torch.testing.assert_close(outputs, torch.stack([member(rows) for member in members.values()]))


def test_gradients_of_weights_arrive_without_a_copy():
    """What the memory layout of stacked matrices is for."""
    together = grouped(estimators("infonce"))
    losses, _ = together(pairs(0))
    gradients = torch.autograd.grad(losses.sum(), list(together.parameters()))
    for parameter, gradient in zip(together.parameters(), gradients, strict=True):
        if parameter.ndim == 3 and len(parameter) > 1:
            assert gradient.stride() == parameter.stride()
