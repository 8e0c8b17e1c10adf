"""MFN: Zadeh et al., "Memory Fusion Network for Multi-view Sequential Learning", AAAI 2018.

Shapes: B rows, S aligned steps, C the cell states of two steps side by side, M the memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mmsa.config import Named
from mmsa.data.corpus import ModalityName
from mmsa.models.base import Encoded
from mmsa.models.encoders import Dropout, Width
from mmsa.models.fusions.base import FUSIONS, Fused, Fusion
from mmsa.models.layers import UniformDropout, resample


@FUSIONS.register("mfn")
class MFN(Fusion):
    """An LSTM for each modality, attention over what their cells changed, and a gated memory of it.

    At each step an attention a = softmax(f(c)) * c over the cells c of this step and the one before proposes
    tanh(g(a)) for the memory u, and two gates of [a; u] say what is kept and what is taken. The fused vector
    is the last state of each LSTM and of the memory. The sequences of a row are brought to the same number of
    steps first, by averaging or repeating; rows that are aligned already stay as they are.
    """

    class Config(Named):
        """Sizes; the LSTMs and the memory are MMSA's for CMU-MOSI."""

        name: Literal["mfn"] = "mfn"
        steps: Annotated[int, Field(ge=0, le=65_536)] = 0
        """Aligned steps of each row; 0 is as many as the row has of its first modality, text where there is
        text."""
        text: Width = 256
        """Width of the LSTM over text."""
        audio: Width = 32
        vision: Width = 256
        memory: Width = 400
        hidden: Width = 128
        """Hidden layer of attention, proposal and gates."""
        dropout: Dropout = 0.1
        """On these hidden layers."""

    def __init__(self, config: Config, widths: Mapping[ModalityName, int]):
        super().__init__(config, widths)
        self.steps = config.steps
        self.lstms = nn.ModuleDict(
            {name: nn.LSTMCell(own, getattr(config, name)) for name, own in widths.items()}
        )
        states = sum(getattr(config, name) for name in widths)
        self.output = states + config.memory
        self.attention = _perceptron(2 * states, config, 2 * states)
        self.proposal = _perceptron(2 * states, config, config.memory)
        self.keep, self.take = _Gate(2 * states, config), _Gate(2 * states, config)

    def forward(self, encoded: Mapping[ModalityName, Encoded]) -> Fused:
        """(B, D)."""
        first = next(iter(encoded.values())).states
        steps_B = torch.full_like(first.lengths, self.steps) if self.steps else first.lengths.clamp(min=1)
        longest = self.steps or first.values.shape[1]
        runs = [
            self._run(name, resample(part.states, steps_B, longest).values) for name, part in encoded.items()
        ]
        states_BSH, cells_BSC = (torch.cat(parts, dim=-1) for parts in zip(*runs, strict=True))
        before_BSC = torch.cat([torch.zeros_like(cells_BSC[:, :1]), cells_BSC[:, :-1]], dim=1)
        changes_BSC = torch.cat([before_BSC, cells_BSC], dim=-1)
        attended_BSC = self.attention(changes_BSC).softmax(-1) * changes_BSC
        memory_BSM = self._remember(attended_BSC, self.proposal(attended_BSC).tanh())
        rows_B = torch.arange(len(steps_B), device=steps_B.device)
        return Fused(torch.cat([states_BSH, memory_BSM], dim=-1)[rows_B, steps_B - 1])

    def _run(self, name: str, x_BSW: Tensor) -> tuple[Tensor, Tensor]:
        """The states and the cells of a modality's LSTM at every step."""
        state, states = None, []
        for x_BW in x_BSW.unbind(1):
            state = self.lstms[name](x_BW, state)
            states.append(state)
        states_BSH, cells_BSH = (torch.stack(parts, dim=1) for parts in zip(*states, strict=True))
        return states_BSH, cells_BSH

    def _remember(self, attended_BSC: Tensor, proposed_BSM: Tensor) -> Tensor:
        """The memory after every step."""
        keep_BSH, take_BSH = self.keep.attended(attended_BSC), self.take.attended(attended_BSC)
        memory_BM = torch.zeros_like(proposed_BSM[:, 0])
        memories = []
        for step, proposed_BM in enumerate(proposed_BSM.unbind(1)):
            kept_BM = self.keep(keep_BSH[:, step], memory_BM) * memory_BM
            memory_BM = kept_BM + self.take(take_BSH[:, step], memory_BM) * proposed_BM
            memories.append(memory_BM)
        return torch.stack(memories, dim=1)


class _Gate(nn.Module):
    """sigmoid of a perceptron on [a; u], whose part in a is computed for all steps at once."""

    def __init__(self, attended: int, config: MFN.Config):
        super().__init__()
        self.attended = nn.Linear(attended, config.hidden)
        self.memory = nn.Linear(config.memory, config.hidden, bias=False)
        self.layers = nn.Sequential(
            nn.ReLU(), UniformDropout(config.dropout), nn.Linear(config.hidden, config.memory), nn.Sigmoid()
        )

    def forward(self, from_attended_BH: Tensor, memory_BM: Tensor) -> Tensor:
        """(B, M) in (0, 1)."""
        gate_BM: Tensor = self.layers(from_attended_BH + self.memory(memory_BM))
        return gate_BM


def _perceptron(inputs: int, config: MFN.Config, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, config.hidden),
        nn.ReLU(),
        UniformDropout(config.dropout),
        nn.Linear(config.hidden, outputs),
    )
