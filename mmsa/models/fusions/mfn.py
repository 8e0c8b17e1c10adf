"""MFN: Zadeh et al., "Memory Fusion Network for Multi-view Sequential Learning", AAAI 2018.

Shapes: B rows, S aligned steps, C the cell states of two steps side by side, M the memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from mmsa.config import Block
from mmsa.data.batches import Sequence
from mmsa.data.corpus import ModalityName
from mmsa.models.encoded import Encoded
from mmsa.models.encoders import Dropout, Width
from mmsa.models.fusions.base import FUSIONS, Fused, Fusion
from mmsa.models.layers import resample


@FUSIONS.register("mfn")
class MFN(Fusion):
    """An LSTM for each modality, attention over what their cells changed, and a gated memory of it.

    At each step an attention a = softmax(f(c)) * c over the cells c of this step and the one before proposes
    tanh(g(a)) for the memory u, and two gates of [a; u] say what is kept and what is taken. The fused vector
    is the last state of each LSTM and of the memory. The sequences of states are brought to the same number
    of steps first, by averaging or repeating.
    """

    class Config(Block):
        """Sizes; the LSTMs and the memory are MMSA's for CMU-MOSI."""

        name: Literal["mfn"] = "mfn"
        steps: Width = 20
        """Aligned steps of each row."""
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
        runs = [self._run(name, part.states) for name, part in encoded.items()]
        cells_BSC = torch.cat([cells for _, cells in runs], dim=-1)
        before_BSC = torch.cat([torch.zeros_like(cells_BSC[:, :1]), cells_BSC[:, :-1]], dim=1)
        changes_BSC = torch.cat([before_BSC, cells_BSC], dim=-1)
        attended_BSC = self.attention(changes_BSC).softmax(-1) * changes_BSC
        memory_BM = self._remember(attended_BSC, self.proposal(attended_BSC).tanh())
        return Fused(torch.cat([*(last for last, _ in runs), memory_BM], dim=-1))

    def _run(self, name: str, states: Sequence) -> tuple[Tensor, Tensor]:
        """The last state of a modality's LSTM, and its cells at every step."""
        steps_B = torch.full_like(states.lengths, self.steps)
        aligned = resample(states, steps_B, self.steps).values
        state, cells = None, []
        for x_BW in aligned.unbind(1):
            state = self.lstms[name](x_BW, state)
            cells.append(state[1])
        return state[0], torch.stack(cells, dim=1)  # type: ignore[index]

    def _remember(self, attended_BSC: Tensor, proposed_BSM: Tensor) -> Tensor:
        keep_BSH, take_BSH = self.keep.attended(attended_BSC), self.take.attended(attended_BSC)
        memory_BM = torch.zeros_like(proposed_BSM[:, 0])
        for step, proposed_BM in enumerate(proposed_BSM.unbind(1)):
            kept_BM = self.keep(keep_BSH[:, step], memory_BM) * memory_BM
            memory_BM = kept_BM + self.take(take_BSH[:, step], memory_BM) * proposed_BM
        return memory_BM


class _Gate(nn.Module):
    """sigmoid of a perceptron on [a; u], whose part in a is computed for all steps at once."""

    def __init__(self, attended: int, config: MFN.Config):
        super().__init__()
        self.attended = nn.Linear(attended, config.hidden)
        self.memory = nn.Linear(config.memory, config.hidden, bias=False)
        self.layers = nn.Sequential(
            nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(config.hidden, config.memory), nn.Sigmoid()
        )

    def forward(self, from_attended_BH: Tensor, memory_BM: Tensor) -> Tensor:
        """(B, M) in (0, 1)."""
        gate_BM: Tensor = self.layers(from_attended_BH + self.memory(memory_BM))
        return gate_BM


def _perceptron(inputs: int, config: MFN.Config, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, config.hidden),
        nn.ReLU(),
        nn.Dropout(config.dropout),
        nn.Linear(config.hidden, outputs),
    )
