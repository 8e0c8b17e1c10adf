"""The states of a recurrent network over rows of different lengths.

Shapes: B rows, T time steps, D input features, H hidden units, S = H or 2 H of both directions.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

_FEW_STEPS = 32


def states_of(network: nn.LSTM | nn.GRU, x_BTD: Tensor, lengths_B: Tensor) -> Tensor:
    """Return states of the last layer, (B, T, S). Beyond the length of a row they may be anything finite."""
    # Padding is run through like frames, and not packed as usual. On a CPU torch has a fused kernel for an
    # LSTM over padded rows only, and the gradient of packed ones costs the square of their steps; a GRU over
    # few steps is cheaper packed. On a GPU packing needs the lengths on the host, which waits for all work
    # so far.
    if x_BTD.device.type == "cpu" and torch.is_autocast_enabled("cpu") and not _fuses_bfloat16():
        with torch.autocast("cpu", enabled=False):
            return states_of(network, x_BTD.float(), lengths_B)
    on_cpu = x_BTD.device.type == "cpu"
    if on_cpu and isinstance(network, nn.GRU) and x_BTD.shape[1] <= _FEW_STEPS:
        return _padded(network(_packed(x_BTD, lengths_B))[0], x_BTD.shape[1])
    directions = 1 + network.bidirectional
    backwards = _Backwards(lengths_B, x_BTD.shape[1])
    for layer in range(network.num_layers):
        if layer and network.training and network.dropout:
            x_BTD = _dropped(x_BTD, lengths_B, network.dropout)
        weights = network.all_weights[layer * directions : (layer + 1) * directions]
        states = [_one_direction(network, x_BTD, weights[0])]
        if network.bidirectional:
            states.append(backwards(_one_direction(network, backwards(x_BTD), weights[1])))
        x_BTD = torch.cat(states, dim=-1)
    return x_BTD


@cache
def _fuses_bfloat16() -> bool:
    """Return whether the processor has the instructions, without which the fused LSTM refuses bfloat16."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def final_of(states_BTS: Tensor, lengths_B: Tensor, directions: int) -> Tensor:
    """Return the state where each direction ends, (B, S), for rows with at least one step."""
    # The backward direction ends at the first step, so that its last state is not the one of the last frame.
    forwards_BTH, *backwards = states_BTS.chunk(directions, dim=-1)
    rows_B = torch.arange(len(lengths_B), device=lengths_B.device)
    return torch.cat([forwards_BTH[rows_B, lengths_B - 1], *(x_BTH[:, 0] for x_BTH in backwards)], dim=-1)


def _one_direction(network: nn.LSTM | nn.GRU, x_BTD: Tensor, weights: list[nn.Parameter]) -> Tensor:
    """(B, T, H) of one layer."""
    start_1BH = x_BTD.new_zeros(1, len(x_BTD), network.hidden_size)
    keeps_for_gradient = torch.is_grad_enabled()
    settings: Any = (weights, True, 1, 0.0, keeps_for_gradient, False, True)
    if isinstance(network, nn.LSTM):
        return torch.lstm(x_BTD, (start_1BH, start_1BH), *settings)[0]
    return torch.gru(x_BTD, start_1BH, *settings)[0]


class _Backwards:
    """Reverses the real steps of each row and leaves padding behind them."""

    # A plain flip would put the padding first, and the states of it would reach the real steps.

    def __init__(self, lengths_B: Tensor, steps: int):
        step_T = torch.arange(steps, device=lengths_B.device)
        mirrored_BT = lengths_B[:, None] - 1 - step_T
        first_B1 = steps * torch.arange(len(lengths_B), device=lengths_B.device)[:, None]
        self._source_N = (first_B1 + torch.where(mirrored_BT < 0, step_T, mirrored_BT)).flatten()

    def __call__(self, x_BTD: Tensor) -> Tensor:
        """(B, T, D)."""
        turned: Tensor = _Permuted.apply(x_BTD.flatten(0, 1), self._source_N)  # type: ignore[no-untyped-call]
        return turned.view_as(x_BTD)


class _Permuted(torch.autograd.Function):
    """Rows in an order that is its own inverse."""

    # So the gradient can be gathered as well: torch does not know that the order is a permutation and would
    # add up, at each position, the gradients of all places that it was copied to.

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, source_N: Tensor) -> Tensor:
        ctx.save_for_backward(source_N)
        return x_ND.index_select(0, source_N)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (source_N,) = ctx.saved_tensors
        return _Permuted.apply(gradients[0], source_N), None  # type: ignore[no-untyped-call]


def _dropped(x_BTS: Tensor, lengths_B: Tensor, rate: float) -> Tensor:
    """Apply dropout between two layers."""
    if x_BTS.device.type != "cpu":
        return dropout(x_BTS, rate)  # masks of padding are drawn and have no effect
    # Drawn for real steps in the order of packed rows, as torch does: so padded and packed networks agree.
    packed = _packed(x_BTS, lengths_B)
    return _padded(packed._replace(data=dropout(packed.data, rate)), x_BTS.shape[1])


def _packed(x_BTD: Tensor, lengths_B: Tensor) -> PackedSequence:
    return pack_padded_sequence(x_BTD, lengths_B, batch_first=True, enforce_sorted=False)


def _padded(packed: PackedSequence, steps: int) -> Tensor:
    return pad_packed_sequence(packed, batch_first=True, total_length=steps)[0]
