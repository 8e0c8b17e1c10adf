"""Layers that models share."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool1d

from mmsa.data.batches import Sequence
from mmsa.models.layers import (
    AttentionPooling,
    UniformDropout,
    initialise_xavier,
    masked_mean,
    resample,
    standardised_by_row,
    with_uniform_dropout,
)

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


@pytest.mark.parametrize("steps", [1, 3, 4, 7])
def test_resampling_is_adaptive_pooling_of_the_real_frames(steps: int) -> None:
    torch.manual_seed(0)
    sequence = Sequence(torch.randn(4, 6, 2), torch.tensor([6, 4, 1, 0]))
    found = resample(sequence, torch.full((4,), steps), steps)
    for row, length in enumerate([6, 4, 1]):
        expected = adaptive_avg_pool1d(sequence.values[row, :length].T, steps).T
        torch.testing.assert_close(found.values[row], expected)
    assert (found.values[3] == 0).all()


def test_resampling_to_fewer_steps_leaves_short_rows_as_they_are() -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([6, 4, 2])
    sequence = Sequence(torch.randn(3, 6, 2), lengths)
    found = resample(sequence, lengths.clamp(max=4), 4)
    assert found.lengths.tolist() == [4, 4, 2]
    torch.testing.assert_close(found.values[0], adaptive_avg_pool1d(sequence.values[0].T, 4).T)
    torch.testing.assert_close(found.values[1], sequence.values[1, :4])
    torch.testing.assert_close(found.values[2, :2], sequence.values[2, :2])
    assert (found.values[2, 2:] == 0).all()


def test_dropout_keeps_the_mean_and_zeroes_its_part() -> None:
    torch.manual_seed(0)
    dropout, x = UniformDropout(0.3), torch.ones(100_000)
    dropped = dropout(x)
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)
    torch.testing.assert_close(dropout.eval()(x), x)


def test_dropout_scales_the_gradient_of_what_it_keeps() -> None:
    torch.manual_seed(0)
    x = torch.ones(1000, requires_grad=True)
    dropped = UniformDropout(0.5)(x)
    dropped.sum().backward()
    torch.testing.assert_close(x.grad, dropped.detach())


def test_every_dropout_of_a_module_is_exchanged() -> None:
    layer = with_uniform_dropout(nn.TransformerEncoderLayer(8, 2, dropout=0.2))
    found = [module for module in layer.modules() if isinstance(module, nn.Dropout)]
    assert len(found) == 3
    assert all(type(module) is UniformDropout and module.p == 0.2 for module in found)


def test_a_row_standardised_by_itself_does_not_know_its_level_or_its_padding() -> None:
    """What a microphone adds and multiplies is gone; a constant column, a single frame and padding are 0."""
    torch.manual_seed(0)
    frames_TD = torch.randn(5, 3)
    frames_TD[:, 2] = 7.3
    values_BTD = torch.zeros(3, 8, 3)
    values_BTD[0, :5], values_BTD[1, :5], values_BTD[2, 0] = frames_TD, 1e3 + 40 * frames_TD, 5.0
    found = standardised_by_row(Sequence(values_BTD, torch.tensor([5, 5, 1]))).values
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found[0, :5, :2].mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[0, :5, :2].std(0, correction=0), torch.ones(2))
    assert not found[0, 5:].any()
    assert not found[..., 2].any()
    assert not found[2].any()
