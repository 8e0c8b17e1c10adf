"""Small layers that several models share. Shapes: B rows, T time steps, D features."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmsa.data.batches import Sequence

ModuleT = TypeVar("ModuleT", bound=nn.Module)

LARGEST_DEVIATION = 10.0
"""Standardised features beyond this are clipped: one saturated frame must not decide a batch."""

FLAT = 1e-5
"""Deviations up to this part of the largest value are rounding, and the column is constant."""


class FeatureNorm(nn.Module):
    """Standardises features by the train split's statistics, held in buffers, and clips outliers."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean_D: NDArray[np.float32], scale_D: NDArray[np.float32]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean_D, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale_D, dtype=torch.float32))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """(B, T, D) within +-10 standard deviations."""
        return ((x_BTD - self.mean) / self.scale).clamp(-LARGEST_DEVIATION, LARGEST_DEVIATION)


class UniformDropout(nn.Dropout):
    """Dropout whose mask, on a CPU, comes from uniform numbers: torch draws its own five times as slowly.

    On a GPU it is torch's.
    """

    def forward(self, x: Tensor) -> Tensor:
        """The shape of ``x``."""
        if not self.training or self.p == 0 or x.device.type != "cpu":
            return super().forward(x)
        # In place: a mask of its own type would be one more tensor to write and to read.
        kept = torch.rand(x.shape).ge_(self.p)
        return x * kept.mul_(1 / (1 - self.p)).to(x.dtype)


def with_uniform_dropout(module: ModuleT) -> ModuleT:
    """``module``, which is somebody else's, with every dropout in it exchanged."""
    for parent in module.modules():
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, UniformDropout(child.p))
    return module


class AttentionPooling(nn.Module):
    """A learnt average over time: softmax of one score a step, padding excluded."""

    def __init__(self, dim: int):
        super().__init__()
        self.score = nn.Linear(dim, 1, bias=False)  # a softmax does not see a bias

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """(B, D); the mean of what is there where a row has no step at all."""
        score_BT: Tensor = self.score(x_BTD).squeeze(-1).float()
        score_BT = score_BT.masked_fill(~mask_BT, torch.finfo(torch.float32).min)
        weight_BT1 = score_BT.softmax(-1)[..., None]
        return (weight_BT1 * x_BTD).sum(1)


def masked_mean(x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """(B, D) mean over the real steps of each row; zero for a row without any."""
    count_B1 = mask_BT.sum(1, keepdim=True).clamp(min=1)
    return x_BTD.masked_fill(~mask_BT[..., None], 0.0).sum(1) / count_B1


def standardised_by_row(sequence: Sequence) -> Sequence:
    """Each row's frames with mean 0 and deviation 1 in every column; columns that are constant in it are 0.

    A row of a single frame has no deviation, and is 0 throughout.
    """
    mask_BT = sequence.mask()
    centred_BTD = sequence.values - masked_mean(sequence.values, mask_BT)[:, None]
    deviation_BD = masked_mean(centred_BTD.square(), mask_BT).sqrt()
    # Relative to the largest of its values: what is left of a constant column is rounding.
    largest_BD = sequence.values.abs().amax(1)
    flat_BD = deviation_BD <= FLAT * largest_BD
    scaled_BTD = centred_BTD / deviation_BD.masked_fill(flat_BD, 1.0)[:, None]
    real_BTD = mask_BT[..., None] & ~flat_BD[:, None]
    return Sequence(scaled_BTD.masked_fill(~real_BTD, 0.0), sequence.lengths)


def initialise_xavier(parameters: Iterable[nn.Parameter]) -> None:
    """Xavier-normal for every weight of two or more axes, recurrent ones included, as MMIM initialises."""
    for parameter in parameters:
        if parameter.dim() >= 2:
            nn.init.xavier_normal_(parameter)


def resample(sequence: Sequence, steps_B: Tensor, longest: int) -> Sequence:
    """Each row as ``steps_B`` steps, at most ``longest``: means of its frames, as in adaptive pooling.

    Step s of S is the mean of the frames from floor(s n / S) up to ceil((s + 1) n / S) of a row of n; a row
    with n = S stays as it is, one with fewer frames repeats them, and one without any is zero.
    """
    steps_B11, frames_B11 = steps_B.clamp(min=1)[:, None, None], sequence.lengths[:, None, None]
    step_S1 = torch.arange(longest, device=sequence.values.device)[:, None]
    frame_T = torch.arange(sequence.values.shape[1], device=sequence.values.device)
    first_BS1 = step_S1 * frames_B11 // steps_B11
    end_BS1 = -(-(step_S1 + 1) * frames_B11 // steps_B11)
    chosen_BST = (frame_T >= first_BS1) & (frame_T < end_BS1) & (step_S1 < steps_B11)
    weight_BST = chosen_BST / (end_BS1 - first_BS1).clamp(min=1)
    return Sequence(weight_BST.to(sequence.values.dtype) @ sequence.values, steps_B)
