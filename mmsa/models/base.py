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
from mmsa.data.target_spec import TargetSpec
from mmsa.registry import Registry


@dataclass(frozen=True)
class Representations:
    """Output of a model for a batch, which is all that objectives see of a model.

    Attributes:
        unimodal: Vector of each present modality before fusion, (B, D_m).
        fusion: Fused vector, (B, D).
        prediction: Raw output of the head of the primary target, (B,) or (B, W), see ``mmsa.models.heads``;
            of a number on a scale the prediction itself.
        extra: Further tensors by name, for objectives that request them.
        further: Raw outputs of the heads of further targets, by target.
    """

    unimodal: Mapping[ModalityName, Tensor]
    fusion: Tensor
    prediction: Tensor
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    further: Mapping[str, Tensor] = field(default_factory=dict)

    def detach(self) -> Representations:
        """Return the same values, cut from the graph of the model."""
        return Representations(
            {name: value.detach() for name, value in self.unimodal.items()},
            self.fusion.detach(),
            self.prediction.detach(),
            {name: value.detach() for name, value in self.extra.items()},
            {name: value.detach() for name, value in self.further.items()},
        )


@dataclass(frozen=True)
class RepresentationDims:
    """Widths that an objective needs to build its heads.

    Attributes:
        unimodal: D_m of each present modality.
        fusion: D.
        extra: Of each further vector, by name.
        mixture: Of how many modalities the fused vector is a weighted average, so that they have the head in
            common; 0 for none.
        concept: Numbers of a row that terms see of the primary target, see ``TrainTargets.concept``.
    """

    unimodal: Mapping[ModalityName, int]
    fusion: int
    extra: Mapping[str, int] = field(default_factory=dict)
    mixture: int = 0
    concept: int = 1


class Model(nn.Module, ABC):
    """Base class of all models.

    A model is built from its ``Config`` and the ``InputSpec`` of the corpus, and owns every parameter that it
    trains.

    Attributes:
        dims: Widths of its output.
        targets: What it predicts, the primary target first.
        predict: The head of the primary target, which predicts linearly from the fused vector.
        further: Heads of further targets, in their order.
        numbers_per_row: Numbers that its largest product holds for each row of a batch, beside all vectors.
        requested: Names of the further vectors that it computes in training.
    """

    dims: RepresentationDims
    targets: tuple[TargetSpec, ...]
    predict: nn.Linear
    further: nn.ModuleList
    numbers_per_row: int = 0

    requested: frozenset[str] = frozenset()

    def request(self, names: Collection[str]) -> None:
        """Also compute these named vectors in training.

        ``shuffled``: (B, D) fused vectors of rows whose modalities come from different rows of the batch.
        """
        self.requested = frozenset(names)

    @abstractmethod
    def forward(self, batch: Batch) -> Representations:
        """Compute representations and prediction of a batch."""

    @abstractmethod
    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return all parameters that require a gradient, each in exactly one named group.

        The groups are ``pretrained`` (a fine-tuned encoder), ``mixture`` (weights of an average over
        modalities) and ``main``; an empty one may be left out.
        """

    def modality_encoders(self) -> Mapping[str, nn.Module]:
        """Return the encoder of each modality, whose parameters may have learning rates of their own."""
        return {}

    def pretrained_depths(self) -> dict[str, int]:
        """Return how many layers lie between each parameter of a fine-tuned encoder and its output, by name.

        It is 0 for the last layer. Frozen parameters are included. Layer-wise decay of the learning rate
        needs it.
        """
        return {}


MODELS: Registry[Model] = Registry("model")


States = Callable[[], Tensor]
"""Computes states (B, T, W), which beyond the length of a row may be anything."""


@dataclass(frozen=True)
class Encoded:
    """One encoded modality of a batch: a vector for each row, and the sequence of states behind it.

    Attributes:
        vector: (B, W), exactly zero for rows that lack the modality.
        lengths: (B,) steps of each row.
        compute_states: Computes the states when a fusion asks for them; None if the vector is the only one.
    """

    vector: Tensor
    lengths: Tensor
    compute_states: States | None

    @classmethod
    def of(cls, vector_BW: Tensor, lengths_B: Tensor, states: States | None) -> Encoded:
        """Set rows of length 0 to zero. Without ``states`` the vector is the only state of its row."""
        # Exactly zero, and not what an encoder makes of padding: fusions and terms tell by it who is absent.
        present_B1 = (lengths_B > 0)[:, None]
        return cls(vector_BW.masked_fill(~present_B1, 0.0), lengths_B, states)

    @classmethod
    def absent(cls, rows: int, width: int, device: torch.device) -> Encoded:
        """Return ``rows`` rows that all lack the modality."""
        lengths_B = torch.zeros(rows, dtype=torch.int64, device=device)
        return cls(torch.zeros(rows, width, device=device), lengths_B, None)

    def filled(self, vector_W: Tensor) -> Encoded:
        """The same with one step of this vector in rows that lack the modality."""
        absent_B = self.lengths == 0
        filled_BW = torch.where(absent_B[:, None], vector_W.to(self.vector.dtype), self.vector)
        states = None if self.compute_states is None else lambda: self._with_step(absent_B, vector_W)
        return Encoded(filled_BW, self.lengths.clamp(min=1), states)

    def _with_step(self, absent_B: Tensor, vector_W: Tensor) -> Tensor:
        """(B, T, W) states, of which absent rows have one."""
        states_BTW = self.states.values
        first_BW = torch.where(absent_B[:, None], vector_W.to(states_BTW.dtype), states_BTW[:, 0])
        return torch.cat([first_BW[:, None], states_BTW[:, 1:]], dim=1)

    def take(self, rows_R: Tensor) -> Encoded:
        """Return the rows at these positions."""
        states = None if self.compute_states is None else lambda: self.states.values[rows_R]
        return Encoded(self.vector[rows_R], self.lengths[rows_R], states)

    @cached_property
    def states(self) -> Sequence:
        """States (B, T, W), zero beyond each length. They are computed late: many fusions need none."""
        if self.compute_states is None:
            return Sequence(self.vector[:, None], self.lengths.clamp(max=1))
        states = Sequence(self.compute_states(), self.lengths)
        return Sequence(states.values.masked_fill(~states.mask()[..., None], 0.0), self.lengths)
