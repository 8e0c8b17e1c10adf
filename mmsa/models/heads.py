"""Heads: what predicts a target linearly from the fused vector, and what its numbers mean.

==============  ==================  ================================================================
kind            raw output          output
==============  ==================  ================================================================
``regression``  (B,) number         the same; of a declared scale, its middle is where the head begins
``ordinal``     (B, K - 1) logits   (B,) expected level: low + sum over k of P(y > k)
``binary``      (B,) logit          (B,) probability of the positive class
``multiclass``  (B, K) logits       (B, K) probabilities
``multilabel``  (B, K) logits       (B, K) probabilities
==============  ==================  ================================================================

Losses see raw output, metrics and users see output. Shapes: B rows of a batch, D the fused width, K classes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.special import entr

from mmsa.data.target_spec import TargetSpec

_FIRST_GAP = 1.0


class CumulativeHead(nn.Linear):
    """Logits of P(y > k) from one score and ordered thresholds (proportional odds, McCullagh 1980).

    The thresholds keep their order, since each is the one below it plus a positive gap.
    """

    def __init__(self, width: int, levels: int):
        super().__init__(width, 1, bias=False)
        gap = math.log(math.expm1(_FIRST_GAP))
        self.lowest = nn.Parameter(torch.full((1,), -_FIRST_GAP * (levels - 2) / 2))
        self.gaps = nn.Parameter(torch.full((levels - 2,), gap))

    def forward(self, fused_BD: Tensor) -> Tensor:
        """(B, K - 1)."""
        thresholds = torch.cat([self.lowest, self.lowest + softplus(self.gaps).cumsum(0)])
        score_B1: Tensor = super().forward(fused_BD)
        return score_B1 - thresholds


class ScaledHead(nn.Linear):
    """Numbers in units of half a scale, from its middle: a score of 0 to 24 is as near as one of -1 to 1.

    A head that begins at 0 takes hundreds of steps to the mean of such scores, and 1 - CCC, which hardly sees
    a fit before the means agree, gives it no gradient of use until then.
    """

    def __init__(self, width: int, low: float, high: float):
        super().__init__(width, 1)
        self.middle, self.half_range = (low + high) / 2, (high - low) / 2

    def forward(self, fused_BD: Tensor) -> Tensor:
        """(B, 1)."""
        return self.middle + self.half_range * super().forward(fused_BD)


def build_head(target: TargetSpec, width: int) -> nn.Linear:
    """The head for a target, from D features."""
    if target.kind == "ordinal":
        return CumulativeHead(width, int(target.high - target.low) + 1)
    # A data set that declares no target keeps the head, and the numbers, that it had before there were kinds.
    if target.kind == "regression" and not target.is_plain and math.isfinite(target.high - target.low):
        return ScaledHead(width, target.low, target.high)
    return nn.Linear(width, len(target.classes) if target.kind in ("multiclass", "multilabel") else 1)


def raw_output(target: TargetSpec, head: nn.Linear, fused_BD: Tensor) -> Tensor:
    """(B,), or (B, W) of the kinds whose rows have several numbers."""
    raw: Tensor = head(fused_BD)
    return raw.squeeze(-1) if target.kind in ("regression", "binary") else raw


def output_of(target: TargetSpec, raw: Tensor) -> Tensor:
    """What is predicted: numbers of the scale, or probabilities."""
    if target.kind == "regression":
        return raw
    if target.kind == "ordinal":
        return target.low + raw.sigmoid().sum(-1)
    return raw.softmax(-1) if target.kind == "multiclass" else raw.sigmoid()


def entropy_of(target: TargetSpec, raw: Tensor) -> Tensor:
    """(B,) entropy of what is predicted, in nats; of several labels the sum. A number has none.

    Examples:
        >>> target = TargetSpec(name="pain", kind="binary", classes=("no", "yes"))
        >>> entropy_of(target, torch.tensor([0.0, 8.0]))
        tensor([0.6931, 0.0030])
    """
    if target.kind == "multiclass":
        shares = raw.softmax(-1)
    elif (
        target.kind == "ordinal"
    ):  # of each level: what lies between the probabilities to be above it and below
        ends = raw.new_ones(len(raw), 1), raw.new_zeros(len(raw), 1)
        shares = -torch.cat([ends[0], raw.sigmoid(), ends[1]], 1).diff(dim=1)
    else:
        shares = torch.stack([raw.sigmoid(), (-raw).sigmoid()], -1)
    entropies: Tensor = entr(shares).sum(-1)
    return entropies.sum(-1) if target.kind == "multilabel" else entropies


def output_shape(target: TargetSpec, rows: int) -> tuple[int, ...]:
    """The shape of the output for so many rows."""
    return (rows, len(target.classes)) if target.kind in ("multiclass", "multilabel") else (rows,)
