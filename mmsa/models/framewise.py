"""Encoders that are about their states: one for each frame, whose mean over the real frames is the vector.

Shapes: B rows, T time steps, D input features, W the encoder's output width.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from mmsa.config import Named
from mmsa.data.batches import Sequence
from mmsa.data.inputs import FeatureInput
from mmsa.models.base import States
from mmsa.models.encoders import ENCODERS, TEXT_ENCODERS, Dropout, FeatureEncoder, Kernel, Width
from mmsa.models.layers import UniformDropout, masked_mean
from mmsa.models.recurrence import states_of

_EPSILON = 1e-6


class Framewise(FeatureEncoder):
    """Base of these encoders. Padding has no part in the mean, where MIMRL's code averages it in."""

    def encode(self, x_BTD: Tensor, sequence: Sequence) -> tuple[Tensor, States]:
        """(B, W) and (B, T, W)."""
        mask_BT = sequence.mask()
        states_BTW = self.each(x_BTD.masked_fill(~mask_BT[..., None], 0.0), sequence.lengths)
        return masked_mean(states_BTW, mask_BT), lambda: states_BTW

    @abstractmethod
    def each(self, x_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """(B, T, W) from standardised frames, which are zero beyond each length."""


@TEXT_ENCODERS.register("linear")
@ENCODERS.register("linear")
class LinearEncoder(Framewise):
    """linear without bias - dropout: MIMRL's text projection; frames for fusions with LSTMs of their own."""

    class Config(Named):
        """Settings of the projection."""

        name: Literal["linear"] = "linear"
        dropout: Dropout = 0.1
        output: Width = 16

    def __init__(self, config: Config, inputs: FeatureInput):
        super().__init__(inputs)
        self.output = config.output
        self.project = nn.Linear(inputs.dim, config.output, bias=False)
        self.dropout = UniformDropout(config.dropout)

    def each(self, x_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """(B, T, W)."""
        states_BTW: Tensor = self.dropout(self.project(x_BTD))
        return states_BTW


class _Finished(Framewise):
    """Base of MIMRL's audio and vision encoders: layer norm - ReLU - dropout on the states of a network."""

    def __init__(self, inputs: FeatureInput, output: int, dropout: float):
        super().__init__(inputs)
        self.output = output
        self.finish = nn.Sequential(nn.LayerNorm(output, eps=_EPSILON), nn.ReLU(), UniformDropout(dropout))


@TEXT_ENCODERS.register("mimrl")
@ENCODERS.register("mimrl")
class SummedDirections(_Finished):
    """A bidirectional network whose two directions are summed, with orthogonal recurrent weights."""

    class Config(Named):
        """Settings of the network."""

        name: Literal["mimrl"] = "mimrl"
        network: Literal["gru", "lstm"] = "gru"
        """``gru`` as in MIMRL's recorded runs; the paper has an ``lstm`` of one layer."""
        layers: Annotated[int, Field(ge=1, le=8)] = 2
        dropout: Dropout = 0.1
        """On the states, and between layers."""
        output: Width = 128

    def __init__(self, config: Config, inputs: FeatureInput):
        super().__init__(inputs, config.output, config.dropout)
        network = nn.GRU if config.network == "gru" else nn.LSTM
        self.rnn = network(
            inputs.dim,
            config.output,
            config.layers,
            batch_first=True,
            bidirectional=True,
            dropout=config.dropout if config.layers > 1 else 0.0,
        )
        for name, weight in self.rnn.named_parameters():
            if name.startswith("weight_hh"):
                nn.init.orthogonal_(weight)

    def each(self, x_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """(B, T, W)."""
        both_BTW = states_of(self.rnn, x_BTD, lengths_B.clamp(min=1))
        forwards_BTW, backwards_BTW = both_BTW.chunk(2, dim=-1)
        states_BTW: Tensor = self.finish(forwards_BTW + backwards_BTW)
        return states_BTW


@TEXT_ENCODERS.register("conv")
@ENCODERS.register("conv")
class ConvEncoder(_Finished):
    """A convolution over time, MIMRL's third choice."""

    class Config(Named):
        """Settings of the convolution."""

        name: Literal["conv"] = "conv"
        kernel: Kernel = 3
        """Frames it looks at."""
        dropout: Dropout = 0.1
        output: Width = 128

    def __init__(self, config: Config, inputs: FeatureInput):
        super().__init__(inputs, config.output, config.dropout)
        self.convolve = nn.Conv1d(inputs.dim, config.output, config.kernel, padding="same")

    def each(self, x_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """(B, T, W)."""
        states_BTW: Tensor = self.finish(self.convolve(x_BTD.transpose(1, 2)).transpose(1, 2))
        return states_BTW
