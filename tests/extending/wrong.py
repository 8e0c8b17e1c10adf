"""Extensions that break one promise each, which the suite of their kind must catch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from mmsa_example.fusion import Gated
from mmsa_example.reader import JsonLines
from mmsa_example.scheduler import Top
from mmsa_example.term import Spread
from optuna.samplers import RandomSampler
from torch import Tensor

from mmsa.config import Named
from mmsa.data.corpus import Features
from mmsa.information.score_estimators import InfoNCE, ScoreConfig
from mmsa.models.fusions import Fused
from mmsa.search.samplers import Sampler, SamplerContext


class CountsPadding(Gated):
    class Config(Gated.Config):
        name: Literal["counts_padding"] = "counts_padding"

    def forward(self, encoded: Mapping[Any, Any]) -> Fused:
        """Means over all steps of the batch, whatever the length of a row."""
        means = sum(part.states.values.mean((1, 2)) for part in encoded.values())
        return Fused(super().forward(encoded).vector + means[:, None])


class ReadsTheOrder(InfoNCE):
    class Config(ScoreConfig):
        name: Literal["reads_the_order"] = "reads_the_order"
        temperature: float = 1.0
        symmetric: bool = False

    def scores(self, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """The first rows of a batch count more than the last."""
        return super().scores(x_ND, y_ND) * torch.linspace(1, 2, len(x_ND), dtype=x_ND.dtype)[:, None]


class ForgetsInCheckpoints(Spread):
    seen = 0

    def forward(self, *arguments: Any) -> Any:
        """Grows with the batches that were seen, of which no buffer tells a checkpoint."""
        self.seen += self.training
        value = super().forward(*arguments)
        return type(value)(value.loss * (1 + self.seen), value.monitors)


class CutsSilence(JsonLines):
    def _frames(self, rows: Sequence[Mapping[str, Any]], name: Any) -> Features:
        """Takes frames of zeros at the end for padding, though the file has none."""
        whole = super()._frames(rows, name)
        frames = np.split(whole.values, whole.offsets[1:-1])
        return Features.from_rows([values[values.any(1)] for values in frames], whole.dim)


class LeavesTheSpace(Sampler):
    class Config(Named):
        name: Literal["leaves_the_space"] = "leaves_the_space"

    def build(self, context: SamplerContext, num_trials: int) -> RandomSampler:
        return _Outside(context.seed_after(num_trials))


class _Outside(RandomSampler):
    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        drawn = super().sample_independent(study, trial, param_name, param_distribution)
        return drawn * 100 if isinstance(drawn, float) else drawn


class ComparesWithTheFirst(Top):
    class Config(Top.Config):
        name: Literal["compares_with_the_first"] = "compares_with_the_first"

    def _judge(self, trial: int, epoch: int, loss: float) -> Any:
        """The trial that happened to report first is the standard of all others."""
        self._first = getattr(self, "_first", trial)
        known = self._losses.setdefault(epoch, {})
        known[trial] = loss
        return "stop" if epoch > 3 and loss > known.get(self._first, loss) else "continue"
