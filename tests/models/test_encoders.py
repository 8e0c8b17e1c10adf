"""Encoders of feature frames against torch's own layers run row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mmsa.config import parse
from mmsa.data.batches import Sequence
from mmsa.data.inputs import FeatureInput
from mmsa.errors import ConfigError
from mmsa.models.encoders import ENCODERS, TEXT_ENCODERS, FeatureEncoder, GRUEncoder, LSTMEncoder, MLPEncoder
from mmsa.models.layers import LARGEST_DEVIATION

DIM = 3
INPUTS = FeatureInput(DIM, np.array([1.0, 0.0, -2.0], np.float32), np.array([2.0, 1.0, 0.5], np.float32))
LENGTHS = [4, 1, 0, 6]


def sequence(lengths: list[int] = LENGTHS, seed: int = 0) -> Sequence:
    """Rows of those lengths, with rubbish where padding is."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(len(lengths), max(1, *lengths), DIM, generator=generator)
    return Sequence(values, torch.tensor(lengths))


def encoder(name: str, **settings: Any) -> FeatureEncoder:
    """An encoder in evaluation mode."""
    torch.manual_seed(0)
    cls = ENCODERS[name]
    return cls(cls.Config(**settings), INPUTS).eval()


@pytest.mark.parametrize("name", ["lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_encoders_take_the_final_state_of_the_last_layer(
    name: str, layers: int, bidirectional: bool
) -> None:
    subject = encoder(name, layers=layers, bidirectional=bidirectional, hidden=5, output=4)
    frames = sequence()
    found_BW = subject(frames).vector
    for row, length in enumerate(LENGTHS):
        if length == 0:
            assert (found_BW[row] == 0).all()
            continue
        states_1TH, _ = subject.rnn(subject.norm(frames.values[row : row + 1, :length]))
        final = [states_1TH[0, -1, :5], states_1TH[0, 0, 5:]]  # forwards ends last, backwards ends first
        torch.testing.assert_close(found_BW[row], subject.project(torch.cat(final)))


def test_mlp_averages_the_real_frames_only() -> None:
    subject = encoder("mlp", hidden=5, output=4)
    frames = sequence()
    found_BW = subject(frames).vector
    mean_D = subject.norm(frames.values[0, :4]).mean(0)
    torch.testing.assert_close(found_BW[0], subject.layers(mean_D))
    assert (found_BW[2] == 0).all()


@pytest.mark.parametrize("name", list(ENCODERS))
def test_one_vector_a_row_is_a_sequence_of_one(name: str) -> None:
    subject = encoder(name)
    alone = subject(sequence([1, 1])).vector
    padded = subject(
        Sequence(torch.nn.functional.pad(sequence([1, 1]).values, (0, 0, 0, 3)), torch.tensor([1, 1]))
    ).vector
    torch.testing.assert_close(alone, padded)


@pytest.mark.parametrize("name", list(ENCODERS))
def test_a_batch_without_any_frame_is_zero_and_has_a_finite_gradient(name: str) -> None:
    subject = encoder(name)
    found_BW = subject(sequence([0, 0])).vector
    found_BW.sum().backward()
    assert (found_BW == 0).all()
    assert all((parameter.grad == 0).all() for parameter in subject.parameters())


@pytest.mark.parametrize("name", list(ENCODERS))
def test_inputs_are_standardised_and_clipped(name: str) -> None:
    subject = encoder(name)
    far = Sequence(torch.full((1, 1, DIM), 1e30), torch.tensor([1]))
    edge = Sequence(
        torch.tensor(INPUTS.mean + LARGEST_DEVIATION * INPUTS.scale)[None, None], torch.tensor([1])
    )
    torch.testing.assert_close(subject(far).vector, subject(edge).vector)
    assert {"norm.mean", "norm.scale"} <= set(subject.state_dict())


def test_text_has_every_encoder_and_the_pretrained_one() -> None:
    assert set(TEXT_ENCODERS) == {*ENCODERS, "pretrained"}


@pytest.mark.parametrize("config", [LSTMEncoder.Config, GRUEncoder.Config, MLPEncoder.Config])
def test_settings_out_of_range_are_refused(config: Any) -> None:
    with pytest.raises(ConfigError, match=r"(?s)2 problems.*dropout.*output"):
        parse(config, {"dropout": 1.0, "output": 0}, "test")


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_the_states_of_a_one_way_encoder_end_in_its_vector(name: str) -> None:
    encoded = encoder(name, hidden=5, output=4, layers=2)(sequence())
    assert encoded.states.lengths.tolist() == LENGTHS
    assert encoded.states.values.shape == (4, 6, 4)
    for row, length in enumerate(LENGTHS):
        assert (encoded.states.values[row, length:] == 0).all()
        if length:
            torch.testing.assert_close(encoded.states.values[row, length - 1], encoded.vector[row])


def test_a_vector_without_states_is_a_sequence_of_one() -> None:
    encoded = encoder("mlp")(sequence())
    assert encoded.states.lengths.tolist() == [1, 1, 0, 1]
    assert torch.equal(encoded.states.values[:, 0], encoded.vector)
