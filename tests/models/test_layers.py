"""Layers that models share."""

from __future__ import annotations

import torch
from torch import nn

from mmsa.models.layers import AttentionPooling, initialise_xavier, masked_mean

MASK = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])


def test_attention_pooling_is_a_weighted_mean_of_the_real_steps() -> None:
    torch.manual_seed(0)
    pooling = AttentionPooling(4)
    x_BTD = torch.randn(3, 3, 4)
    pooled_BD = pooling(x_BTD, MASK)
    weight = pooling.score(x_BTD[0, :2]).softmax(0)
    torch.testing.assert_close(pooled_BD[0], (weight * x_BTD[0, :2]).sum(0))
    torch.testing.assert_close(pooled_BD[1], x_BTD[1, 0])
    assert pooled_BD[2].isfinite().all()


def test_masked_mean_ignores_padding_even_when_it_is_not_finite() -> None:
    x_BTD = torch.ones(3, 3, 2)
    x_BTD[~MASK] = torch.nan
    assert torch.equal(masked_mean(x_BTD, MASK), torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]))


def test_xavier_reaches_recurrent_weights_and_leaves_biases() -> None:
    torch.manual_seed(0)
    lstm = nn.LSTM(40, 60)
    bias = lstm.bias_hh_l0.clone()
    initialise_xavier(lstm.parameters())
    expected = (2 / (60 + 240)) ** 0.5
    assert abs(lstm.weight_hh_l0.std().item() / expected - 1) < 0.05
    assert torch.equal(lstm.bias_hh_l0, bias)
