"""What every model takes and gives: batches in, representations and a prediction out.

Shapes: B rows of a batch, T time steps of the longest row, D features, W an encoder's output width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from mmsa.data.batches import Batch, Sequence
from mmsa.data.corpus import ModalityName
from mmsa.registry import Registry


@dataclass(frozen=True)
class Representations:
    """What a model makes of a batch; the only thing objectives see of a model.

    Attributes:
        unimodal: the vector of each present modality before fusion, each (B, D_m).
        fusion: (B, D) the fused vector.
        prediction: (B,) the predicted label.
        extra: further named tensors a model offers to objectives that ask for them by name.
    """

    unimodal: Mapping[ModalityName, Tensor]
    fusion: Tensor
    prediction: Tensor
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    def detach(self) -> Representations:
        """The same values, cut from the graph of the model."""
        return Representations(
            {name: value.detach() for name, value in self.unimodal.items()},
            self.fusion.detach(),
            self.prediction.detach(),
            {name: value.detach() for name, value in self.extra.items()},
        )


@dataclass(frozen=True)
class RepresentationDims:
    """The widths an objective needs to build its heads.

    unimodal: D_m of each present modality. fusion: D. extra: of each further vector, by name. mixture: of how
    many modalities the fused vector is a weighted average, so that they have the head in common; 0 for none.
    """

    unimodal: Mapping[ModalityName, int]
    fusion: int
    extra: Mapping[str, int] = field(default_factory=dict)
    mixture: int = 0


class Model(nn.Module, ABC):
    """Base of all models.

    A model is built from its ``Config`` and the ``InputSpec`` of the corpus, and owns every parameter it
    trains.

    Attributes:
        dims: of what it gives.
        predict: the head, which predicts linearly from the fused vector.
        numbers_per_row: held of each row of a batch for its largest product, beside all vectors.
    """

    dims: RepresentationDims
    predict: nn.Linear
    numbers_per_row: int = 0

    requested: frozenset[str] = frozenset()

    def request(self, names: Collection[str]) -> None:
        """Also compute these named vectors in training.

        ``shuffled``: (B, D) fused vectors of rows whose modalities come from different rows of the batch.
        """
        self.requested = frozenset(names)

    @abstractmethod
    def forward(self, batch: Batch) -> Representations:
        """Representations and prediction of a batch."""

    @abstractmethod
    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """All parameters that require a gradient, each in exactly one named group.

        The groups are ``pretrained`` (a fine-tuned encoder), ``mixture`` (weights of an average over
        modalities) and ``main``; an empty one may be left out.
        """

    def modality_encoders(self) -> Mapping[str, nn.Module]:
        """What encodes each modality; their parameters may be given learning rates of their own."""
        return {}

    def pretrained_depths(self) -> dict[str, int]:
        """The layers between each parameter of a fine-tuned encoder, by name, and the encoder's output.

        0 for the last layer; frozen parameters are listed as well. Layer-wise decay of the learning rate
        needs it.
        """
        return {}


MODELS: Registry[Model] = Registry("model")


States = Callable[[], Tensor]
"""Computes states (B, T, W); beyond the length of a row they may be anything."""


@dataclass(frozen=True)
class Encoded:
    """One modality of a batch, encoded: a vector a row, and the sequence of states behind it.

    vector: (B, W), zero where a row lacks the modality.
    """

    vector: Tensor
    lengths: Tensor
    compute_states: States | None

    @classmethod
    def of(cls, vector_BW: Tensor, lengths_B: Tensor, states: States | None) -> Encoded:
        """Zeroes rows of length 0; without ``states`` the vector is the only state of its row."""
        present_B1 = (lengths_B > 0)[:, None]
        return cls(vector_BW.masked_fill(~present_B1, 0.0), lengths_B, states)

    @classmethod
    def absent(cls, rows: int, width: int, device: torch.device) -> Encoded:
        """Of ``rows`` rows that all lack the modality."""
        lengths_B = torch.zeros(rows, dtype=torch.int64, device=device)
        return cls(torch.zeros(rows, width, device=device), lengths_B, None)

    def take(self, rows_R: Tensor) -> Encoded:
        """The rows at these positions."""
        states = None if self.compute_states is None else lambda: self.states.values[rows_R]
        return Encoded(self.vector[rows_R], self.lengths[rows_R], states)

    @cached_property
    def states(self) -> Sequence:
        """(B, T, W), zero beyond each length; computed when first asked for, as many fusions never do."""
        if self.compute_states is None:
            return Sequence(self.vector[:, None], self.lengths.clamp(max=1))
        states = Sequence(self.compute_states(), self.lengths)
        return Sequence(states.values.masked_fill(~states.mask()[..., None], 0.0), self.lengths)
