"""Encoders of one modality: padded frames in, one vector a row and the states behind it out.

Shapes: B rows, T time steps, D input features, W the encoder's output width. One vector a row is T = 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from torch import Tensor, nn

from mmsa.config import Named, refuse
from mmsa.data.batches import Sequence
from mmsa.data.inputs import FeatureInput
from mmsa.models.base import Encoded, States
from mmsa.models.layers import FeatureNorm, UniformDropout, masked_mean
from mmsa.models.recurrence import final_of, states_of
from mmsa.registry import Registry


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise refuse(kernel, "must be odd: a step is the middle of what is looked at")
    return kernel


Width = Annotated[int, Field(ge=1, le=65_536)]
Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]
Kernel = Annotated[int, Field(ge=1, le=9_999), AfterValidator(_odd)]
"""Steps that a convolution looks at."""

ENCODERS: Registry[FeatureEncoder] = Registry("encoder")
"""Encoders of feature frames, for audio and vision."""
TEXT_ENCODERS: Registry[Encoder] = Registry("text encoder")
"""The same and ``pretrained``, for text."""


class Encoder(nn.Module, ABC):
    """Base of all encoders: built from its ``Config`` and a description of what it reads.

    Attributes:
        output: W.
    """

    output: int


class FeatureEncoder(Encoder):
    """Base of the encoders of frames: standardises, encodes, gives zeros for a row without the modality."""

    def __init__(self, inputs: FeatureInput):
        super().__init__()
        self.norm = FeatureNorm(inputs.mean, inputs.scale)

    def forward(self, sequence: Sequence) -> Encoded:
        """Vector (B, W) and states (B, T, W)."""
        vector_BW, states = self.encode(self.norm(sequence.values), sequence)
        return Encoded.of(vector_BW, sequence.lengths, states)

    @abstractmethod
    def encode(self, x_BTD: Tensor, sequence: Sequence) -> tuple[Tensor, States | None]:
        """From standardised frames, (B, W) and the states if there are any but the vector itself.

        Rows of length 0 may hold any finite value.
        """


class RecurrentConfig(Named):
    """Settings of a recurrent encoder."""

    hidden: Width = 32
    layers: Annotated[int, Field(ge=1, le=8)] = 1
    bidirectional: bool = False
    dropout: Dropout = 0.1
    """Between layers, and on the final state."""
    output: Width = 16
    """Width of the vector the final state is projected to."""


class Recurrent(FeatureEncoder):
    """The final state of the last layer, both directions side by side, projected linearly.

    The states of all steps are projected by the same layer.
    """

    network: type[nn.LSTM] | type[nn.GRU]

    def __init__(self, config: RecurrentConfig, inputs: FeatureInput):
        super().__init__(inputs)
        self.output = config.output
        self.rnn = self.network(
            inputs.dim,
            config.hidden,
            config.layers,
            batch_first=True,
            bidirectional=config.bidirectional,
            dropout=config.dropout if config.layers > 1 else 0.0,
        )
        self.directions = 1 + config.bidirectional
        self.dropout = UniformDropout(config.dropout)
        self.project = nn.Linear(self.directions * config.hidden, config.output)

    def encode(self, x_BTD: Tensor, sequence: Sequence) -> tuple[Tensor, States]:
        """(B, W) and (B, T, W)."""
        steps_B = sequence.lengths.clamp(min=1)
        states_BTS = states_of(self.rnn, x_BTD, steps_B)
        final_BS = final_of(states_BTS, steps_B, self.directions)
        return self._project(final_BS), lambda: self._project(states_BTS)

    def _project(self, state: Tensor) -> Tensor:
        projected: Tensor = self.project(self.dropout(state))
        return projected


@TEXT_ENCODERS.register("lstm")
@ENCODERS.register("lstm")
class LSTMEncoder(Recurrent):
    """Long short-term memory, the acoustic and visual encoder of MMIM and Self-MM."""

    network = nn.LSTM

    class Config(RecurrentConfig):
        """Settings of the LSTM."""

        name: Literal["lstm"] = "lstm"


@TEXT_ENCODERS.register("gru")
@ENCODERS.register("gru")
class GRUEncoder(Recurrent):
    """Gated recurrent unit, the acoustic and visual encoder of MIMRL's recorded runs."""

    network = nn.GRU

    class Config(RecurrentConfig):
        """Settings of the GRU."""

        name: Literal["gru"] = "gru"


@TEXT_ENCODERS.register("mlp")
@ENCODERS.register("mlp")
class MLPEncoder(FeatureEncoder):
    """The mean over time through one hidden layer; the encoder for data that brings one vector a row."""

    class Config(Named):
        """Settings of the MLP."""

        name: Literal["mlp"] = "mlp"
        hidden: Width = 64
        dropout: Dropout = 0.1
        output: Width = 16

    def __init__(self, config: Config, inputs: FeatureInput):
        super().__init__(inputs)
        self.output = config.output
        self.layers = nn.Sequential(
            nn.Linear(inputs.dim, config.hidden),
            nn.ReLU(),
            UniformDropout(config.dropout),
            nn.Linear(config.hidden, config.output),
        )

    def encode(self, x_BTD: Tensor, sequence: Sequence) -> tuple[Tensor, None]:
        """(B, W)."""
        return self.layers(masked_mean(x_BTD, sequence.mask())), None
