"""Encoders with one state a frame against torch's own layers run row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmsa.config import parse
from mmsa.data.batches import Sequence
from mmsa.data.inputs import FeatureInput
from mmsa.errors import ConfigError
from mmsa.models.encoders import ENCODERS
from mmsa.models.framewise import ConvEncoder, Framewise, LinearEncoder, SummedDirections

INPUTS = FeatureInput(3, np.array([1.0, 0.0, -2.0], np.float32), np.array([2.0, 1.0, 0.5], np.float32))
LENGTHS = [4, 1, 0, 6]


def encoder(name: str, **settings: Any) -> Framewise:
    torch.manual_seed(0)
    return ENCODERS[name](ENCODERS[name].Config(output=5, **settings), INPUTS).eval()


def states_of_row(subject: Framewise, frames_1TD: Tensor) -> Tensor:
    """(T, W) of one row without padding."""
    x_1TD = subject.norm(frames_1TD)
    if isinstance(subject, LinearEncoder):
        return (x_1TD @ subject.project.weight.T)[0]
    if isinstance(subject, ConvEncoder):
        return subject.finish(subject.convolve(x_1TD.transpose(1, 2)).transpose(1, 2))[0]
    assert isinstance(subject, SummedDirections)
    states_1TS, _ = subject.rnn(x_1TD)
    return subject.finish(states_1TS[..., :5] + states_1TS[..., 5:])[0]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("linear", {}),
        ("conv", {"kernel": 3}),
        ("conv", {"kernel": 1}),
        ("mimrl", {}),
        ("mimrl", {"network": "lstm", "layers": 1}),
    ],
)
def test_states_are_those_of_each_row_alone_and_the_vector_is_their_mean(
    name: str, settings: dict[str, Any]
) -> None:
    subject = encoder(name, **settings)
    values = torch.randn(4, 7, 3, generator=torch.Generator().manual_seed(0))  # rubbish where padding is
    encoded = subject(Sequence(values, torch.tensor(LENGTHS)))
    assert encoded.states.values.shape == (4, 7, 5)
    for row, length in enumerate(LENGTHS):
        assert (encoded.states.values[row, length:] == 0).all()
        if length:
            expected = states_of_row(subject, values[row : row + 1, :length])
            torch.testing.assert_close(encoded.states.values[row, :length], expected)
            torch.testing.assert_close(encoded.vector[row], expected.mean(0))
    assert (encoded.vector[2] == 0).all()


def test_recurrent_weights_start_orthogonal() -> None:
    weight = encoder("mimrl").rnn.weight_hh_l1_reverse.detach()
    torch.testing.assert_close(weight.T @ weight, torch.eye(5), atol=1e-5, rtol=0.0)


def test_an_even_kernel_has_no_middle() -> None:
    with pytest.raises(ConfigError, match=r"kernel: 4\n +must be odd"):
        parse(ConvEncoder.Config, {"kernel": 4}, "test")
