"""CubeMLP: Sun et al., "CubeMLP: An MLP-based Model for Multimodal Sentiment Analysis", ACM MM 2022.

Shapes: B rows, L steps, K modalities, D features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from mmsa.config import Named, refuse
from mmsa.data.corpus import ModalityName
from mmsa.models.base import Encoded
from mmsa.models.encoders import Dropout, Width
from mmsa.models.fusions.base import FUSIONS, Fused, Fusion
from mmsa.models.layers import UniformDropout

Sizes = Annotated[tuple[Width, ...], Field(strict=False, min_length=1)]
_ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "tanh": nn.Tanh}
_EPSILON = 1e-6
_SMALLEST_NORM = 3  # a layer norm over two values keeps their order only, and over one nothing


@FUSIONS.register("cubemlp")
class CubeMLP(Fusion):
    """Blocks of three perceptrons that mix the steps, the modalities and the features of an L x K x D cube.

    The sequences of states are cut to L steps or padded with zeros, and stacked; a modality narrower or wider
    than D is projected linearly. The mean over modalities and steps is the fused vector.
    """

    class Config(Named):
        """Sizes of cube and blocks; the defaults are those of MIMRL."""

        name: Literal["cubemlp"] = "cubemlp"
        length: Width = 100
        """L, ``time_len`` in the code."""
        width: Width = 128
        """D of the first block."""
        steps: Sizes = (50, 10)
        """L after each block."""
        widths: Sizes = (128, 128)
        """D after each block."""
        activation: Literal["gelu", "relu", "tanh"] = "gelu"
        norm: Literal["post", "ln_first"] = "post"
        """``post``: a layer norm of each perceptron's sum with its residual (MIMRL); ``ln_first``: of its
        input, beside the residual (the command of CubeMLP's README). An axis of one or two is not normed."""
        dropout: Dropout = 0.0
        """After each perceptron."""
        modalities: Literal["mean", "cat"] = "mean"
        """How the modalities that come out are pooled: averaged (MIMRL) or side by side (CubeMLP)."""

        @model_validator(mode="after")
        def _check(self) -> CubeMLP.Config:
            if len(self.steps) != len(self.widths):
                rule = f"needs one size a block, as many as steps, which has {len(self.steps)}"
                raise refuse(self.widths, rule, at=("widths",))
            return self

    def __init__(self, config: Config, widths: Mapping[ModalityName, int]):
        super().__init__(config, widths)
        self.length, self.side_by_side = config.length, config.modalities == "cat"
        self.output = config.widths[-1] * (len(widths) if self.side_by_side else 1)
        self.project = nn.ModuleDict(
            {
                name: nn.Identity() if own == config.width else nn.Linear(own, config.width, bias=False)
                for name, own in widths.items()
            }
        )
        sizes = [
            (steps, len(widths), width) for steps, width in zip(config.steps, config.widths, strict=True)
        ]
        before = [(config.length, len(widths), config.width), *sizes]
        self.blocks = nn.Sequential(
            *(_Block(config, old, new) for old, new in zip(before, sizes, strict=False))
        )

    def forward(self, encoded: Mapping[ModalityName, Encoded]) -> Fused:
        """(B, D)."""
        states = [self.project[name](part.states.values) for name, part in encoded.items()]
        steps = min(self.length, max(part.shape[1] for part in states))
        cube_BTKD = torch.stack([pad(part, (0, 0, 0, steps - part.shape[1])) for part in states], dim=2)
        pooled_BKD = self.blocks(cube_BTKD).mean(1)
        return Fused(pooled_BKD.flatten(1) if self.side_by_side else pooled_BKD.mean(1))


class _Block(nn.Module):
    """Perceptrons on the step, the modality and the feature axis, in this order."""

    def __init__(self, config: CubeMLP.Config, old: tuple[int, ...], new: tuple[int, ...]):
        super().__init__()
        steps, modalities, features = zip(old, new, strict=True)
        self.steps, self.modalities = (_AxisMLP(config, *axis, dim=-2) for axis in (steps, modalities))
        self.features = _AxisMLP(config, *features, dim=-1)

    def forward(self, cube_BLKD: Tensor) -> Tensor:
        """(B, L', K', D')."""
        mixed = self.steps(cube_BLKD.flatten(2)).unflatten(2, cube_BLKD.shape[2:])
        mixed = self.modalities(mixed.flatten(0, 1)).unflatten(0, mixed.shape[:2])
        result: Tensor = self.features(mixed)
        return result


class _AxisMLP(nn.Module):
    """linear - activation - linear - dropout on the last axis but one or the last, beside a linear residual.

    An axis shorter than ``old`` stands for one that ends in zeros: of their weights no use is made.
    """

    def __init__(self, config: CubeMLP.Config, old: int, new: int, dim: int):
        super().__init__()
        first = config.norm == "ln_first"
        self.old, self.new, self.dim = old, new, dim
        self.before = _norm(old) if first else None
        self.after = None if first else _norm(new)
        self.first, self.residual = nn.Linear(old, new), nn.Linear(old, new, bias=False)
        self.activation, self.second = _ACTIVATIONS[config.activation](), nn.Linear(new, new)
        self.dropout = UniformDropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """The shape of ``x`` with ``new`` in place of ``old``."""
        if self.before is None:
            weight_ND = torch.cat([self.first.weight, self.residual.weight])[:, : x.shape[self.dim]]
            both = self._linear(x, weight_ND, pad(self.first.bias, (0, self.new)))
            hidden, residual = torch.split(both, self.new, self.dim)
        else:
            missing = (0, self.old - x.shape[self.dim])
            x = pad(x, missing if self.dim == -1 else (0, 0, *missing))
            hidden = self._linear(self._normed(x, self.before), self.first.weight, self.first.bias)
            residual = self._linear(x, self.residual.weight, torch.zeros_like(self.first.bias))
        hidden = self._linear(self.activation(hidden), self.second.weight, self.second.bias)
        mixed: Tensor = self.dropout(hidden) + residual
        return mixed if self.after is None else self._normed(mixed, self.after)

    def _linear(self, x: Tensor, weight_ND: Tensor, bias_N: Tensor) -> Tensor:
        """Along the axis, wherever it is: to move an axis of three to the end costs more than the rest."""
        if self.dim == -1:
            return linear(x, weight_ND, bias_N)
        return torch.baddbmm(bias_N[:, None], weight_ND.expand(len(x), -1, -1), x)

    def _normed(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        if self.dim == -1:
            normed: Tensor = norm(x)
            return normed
        centred = x - x.mean(self.dim, keepdim=True)
        scale = (centred.square().mean(self.dim, keepdim=True) + norm.eps).rsqrt()
        return torch.addcmul(norm.bias[:, None], centred * scale, norm.weight[:, None])


def _norm(size: int) -> nn.LayerNorm | None:
    return nn.LayerNorm(size, eps=_EPSILON) if size >= _SMALLEST_NORM else None
