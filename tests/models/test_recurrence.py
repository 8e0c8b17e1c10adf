"""States over padded rows are those that torch computes over packed ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mmsa.models.recurrence import final_of, states_of

LENGTHS = torch.tensor([3, 40, 1, 17, 40])
MASK = torch.arange(40) < LENGTHS[:, None]


def packed(network: nn.LSTM | nn.GRU, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
    """States, zero beyond each length, and where the directions of the last layer end."""
    rows = pack_padded_sequence(x_BTD, LENGTHS, batch_first=True, enforce_sorted=False)
    states, end = network(rows)
    end_SBH = end[0] if isinstance(network, nn.LSTM) else end
    directions = 1 + network.bidirectional
    return pad_packed_sequence(states, batch_first=True)[0], torch.cat([*end_SBH[-directions:]], dim=-1)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_states_ends_gradients_and_draws_are_those_of_packed_rows(
    kind: type[nn.LSTM] | type[nn.GRU], layers: int, bidirectional: bool, training: bool
) -> None:
    torch.manual_seed(0)
    dropout = 0.5 if layers > 1 else 0.0
    network = kind(4, 6, layers, batch_first=True, bidirectional=bidirectional, dropout=dropout)
    network.train(training)
    x_BTD = torch.randn(5, 40, 4, requires_grad=True)
    inputs = [x_BTD, *network.parameters()]

    torch.manual_seed(1)
    expected, expected_end = packed(network, x_BTD)
    torch.manual_seed(1)
    found = states_of(network, x_BTD, LENGTHS)
    end = final_of(found, LENGTHS, 1 + bidirectional)
    found = found.masked_fill(~MASK[..., None], 0.0)

    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(end, expected_end, rtol=1e-5, atol=1e-6)
    wanted = torch.autograd.grad(expected.square().sum() + expected_end.sum(), inputs)
    gradients = torch.autograd.grad(found.square().sum() + end.sum(), inputs)
    for gradient, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-5)
