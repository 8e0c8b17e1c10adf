"""MulT: Tsai et al., "Multimodal Transformer for Unaligned Multimodal Language Sequences", ACL 2019.

Shapes: B rows, T steps of the target, S steps of the source, H heads, D features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from mmsa.config import Named
from mmsa.data.batches import Sequence
from mmsa.data.corpus import ModalityName
from mmsa.models.base import Encoded
from mmsa.models.encoders import Dropout, Kernel, Width
from mmsa.models.fusions.base import FUSIONS, Fused, Fusion, refuse_heads
from mmsa.models.layers import UniformDropout, resample

_FEWEST_SELF_LEVELS = 3


@FUSIONS.register("mult")
class MulT(Fusion):
    """A cross-modal transformer for each ordered pair of modalities, and one over what each target gathered.

    Each sequence of states goes through a temporal convolution; each target modality attends to each source;
    the results, side by side, attend to themselves. The last real steps of all targets go through a residual
    perceptron. Of K modalities there are K (K - 1) pairs, six of three.
    """

    class Config(Named):
        """Sizes; the defaults are MMSA's for CMU-MOSI."""

        name: Literal["mult"] = "mult"
        width: Width = 50
        """D of each modality; the fused vector has K (K - 1) D features."""
        heads: Annotated[int, Field(ge=1, le=1_024)] = 10
        levels: Annotated[int, Field(ge=1, le=12)] = 4
        """Layers of a cross-modal transformer; the others have at least 3."""
        kernel: Kernel = 5
        """Steps a convolution looks at."""
        max_length: Annotated[int, Field(ge=0, le=65_536)] = 50
        """Longer sequences are averaged down to this many steps: attention costs their square. 0 keeps all,
        as published."""
        causal: bool = True
        """A step attends to no later one (of the source: no later by more than the lengths differ)."""
        attention_dropout: Dropout = 0.3
        embedding_dropout: Dropout = 0.2
        layer_dropout: Dropout = 0.1
        """On the two residual branches of each layer, and between the linear layers of the second."""
        output_dropout: Dropout = 0.5
        """Inside the last perceptron."""

        @model_validator(mode="after")
        def _check(self) -> MulT.Config:
            return refuse_heads(self, self.width, self.heads)

    fewest = 2

    def __init__(self, config: Config, widths: Mapping[ModalityName, int]):
        super().__init__(config, widths)
        self.max_length = config.max_length
        gathered = (len(widths) - 1) * config.width
        self.output = len(widths) * gathered
        self.convolve = nn.ModuleDict(
            {
                name: nn.Conv1d(own, config.width, config.kernel, padding="same", bias=False)
                for name, own in widths.items()
            }
        )
        self.cross = nn.ModuleDict(
            {
                f"{source}_{target}": _Transformer(config, config.width, config.levels)
                for target in widths
                for source in widths
                if source != target
            }
        )
        levels = max(config.levels, _FEWEST_SELF_LEVELS)
        self.gather = nn.ModuleDict({name: _Transformer(config, gathered, levels) for name in widths})
        self.layers = nn.Sequential(
            nn.Linear(self.output, self.output),
            nn.ReLU(),
            UniformDropout(config.output_dropout),
            nn.Linear(self.output, self.output),
        )

    def forward(self, encoded: Mapping[ModalityName, Encoded]) -> Fused:
        """(B, K (K - 1) D)."""
        sequences = {name: self._convolved(name, part.states) for name, part in encoded.items()}
        last_steps = torch.cat([self._target(name, sequences) for name in sequences], dim=-1)
        return Fused(last_steps + self.layers(last_steps))

    def _convolved(self, name: str, states: Sequence) -> Sequence:
        if self.max_length and states.values.shape[1] > self.max_length:
            states = resample(states, states.lengths.clamp(max=self.max_length), self.max_length)
        convolved_BTD = self.convolve[name](states.values.transpose(1, 2)).transpose(1, 2)
        return Sequence(convolved_BTD, states.lengths)

    def _target(self, name: ModalityName, sequences: Mapping[ModalityName, Sequence]) -> Tensor:
        gathered = [
            self.cross[f"{source}_{name}"](sequences[name], sequence)
            for source, sequence in sequences.items()
            if source != name
        ]
        own = Sequence(torch.cat(gathered, dim=-1), sequences[name].lengths)
        states_BTD: Tensor = self.gather[name](own, own)
        last_B = (own.lengths - 1).clamp(min=0)
        return states_BTD[torch.arange(len(last_B), device=last_B.device), last_B]


class _Transformer(nn.Module):
    """Layers through which a target attends to a source, which stays as it is unless it is the target."""

    def __init__(self, config: MulT.Config, width: int, levels: int):
        super().__init__()
        self.causal, self.heads = config.causal, config.heads
        self.dropout = UniformDropout(config.embedding_dropout)
        self.levels = nn.ModuleList(_Layer(config, width) for _ in range(levels))
        self.norm = nn.LayerNorm(width)

    def forward(self, target: Sequence, source: Sequence) -> Tensor:
        """(B, T, D)."""
        blocked = blocked_steps(target, source, self.causal).repeat_interleave(self.heads, dim=0)
        x_BTD = self._embed(target.values)
        source_BSD = None if source is target else self._embed(source.values)
        for level in self.levels:
            x_BTD = level(x_BTD, x_BTD if source_BSD is None else source_BSD, blocked)
        normed: Tensor = self.norm(x_BTD)
        return normed

    def _embed(self, x_BTD: Tensor) -> Tensor:
        steps, width = x_BTD.shape[1:]
        embedded: Tensor = self.dropout(math.sqrt(width) * x_BTD + sinusoids(steps, width, x_BTD.device))
        return embedded


class _Layer(nn.Module):
    """Attention and a perceptron of four times the width, each behind a layer norm and beside a residual."""

    def __init__(self, config: MulT.Config, width: int):
        super().__init__()
        self.norm, self.norm_perceptron = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(
            width, config.heads, config.attention_dropout, batch_first=True
        )
        self.dropout = UniformDropout(config.layer_dropout)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.ReLU(),
            UniformDropout(config.layer_dropout),
            nn.Linear(4 * width, width),
        )

    def forward(self, x_BTD: Tensor, source_BSD: Tensor, blocked: Tensor) -> Tensor:
        """(B, T, D); ``blocked``: (B H, T, S)."""
        source_BSD = self.norm(source_BSD)
        attended_BTD, _ = self.attention(
            self.norm(x_BTD), source_BSD, source_BSD, attn_mask=blocked, need_weights=False
        )
        x_BTD = x_BTD + self.dropout(attended_BTD)
        updated_BTD: Tensor = x_BTD + self.dropout(self.perceptron(self.norm_perceptron(x_BTD)))
        return updated_BTD


def blocked_steps(target: Sequence, source: Sequence, causal: bool) -> Tensor:
    """(B, T, S) bool: the steps of the source that a step of the target must not attend to.

    The first is always open: a row that attends to nothing would be NaN.
    """
    device = target.values.device
    source_S = torch.arange(source.values.shape[1], device=device)
    blocked_BTS = (source_S >= source.lengths[:, None])[:, None].repeat(1, target.values.shape[1], 1)
    if causal:
        target_T1 = torch.arange(target.values.shape[1], device=device)[:, None]
        lag_B11 = (target.lengths - source.lengths).abs()[:, None, None]
        blocked_BTS |= source_S - target_T1 > lag_B11
    blocked_BTS[:, :, 0] = False
    return blocked_BTS


def sinusoids(steps: int, width: int, device: torch.device) -> Tensor:
    """(T, D) positional embedding of Vaswani et al. (2017): sines of each frequency, then cosines."""
    half = -(-width // 2)
    frequency_F = torch.exp(torch.arange(half, device=device) * (-math.log(10_000) / max(1, half - 1)))
    angle_TF = torch.arange(steps, device=device)[:, None] * frequency_F
    return torch.cat([angle_TF.sin(), angle_TF.cos()], dim=1)[:, :width]
