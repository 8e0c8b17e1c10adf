"""Each modality predicts a label by itself: the multi-task part of Self-MM (Yu et al., AAAI 2021) and DMSI.

Shapes: B rows, D_m the width of modality m.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

import torch
from torch import Tensor, nn

from mmsa.config import Block
from mmsa.data.corpus import ModalityName
from mmsa.data.targets import Targets, TargetSpec
from mmsa.information.target.mimrl import FUSION
from mmsa.models.base import RepresentationDims, Representations
from mmsa.models.encoders import Dropout, Width
from mmsa.models.layers import UniformDropout
from mmsa.objectives.base import TERMS, Term, TermConfig, TermValue, Weight
from mmsa.objectives.terms.generated_labels import LabelGenerator, Zeros
from mmsa.objectives.terms.vectors import unfit


class HeadConfig(Block):
    """The head of one modality."""

    weight: Weight = 1.0
    """Of this modality's loss; 0 builds no head for it."""
    width: Width = 32
    """Of its two hidden layers."""
    dropout: Dropout = 0.1
    """On the modality vector."""


class Head(nn.Module):
    """dropout - linear - ReLU, which is the feature; then linear - ReLU - linear, which is the prediction."""

    def __init__(self, dim: int, config: HeadConfig):
        super().__init__()
        self.feature = nn.Sequential(UniformDropout(config.dropout), nn.Linear(dim, config.width), nn.ReLU())
        self.predict = nn.Sequential(
            nn.Linear(config.width, config.width), nn.ReLU(), nn.Linear(config.width, 1)
        )

    def forward(self, vector_BD: Tensor) -> tuple[Tensor, Tensor]:
        """(B, width) and (B,)."""
        feature_BW = self.feature(vector_BD)
        return feature_BW, self.predict(feature_BW).squeeze(1)


@TERMS.register("unimodal")
class Unimodal(Term):
    """The weighted mean absolute errors of heads on single modalities, averaged over the modalities.

    Self-MM sums over its three: its coefficient of 1 is a weight of 3 here. The heads belong to the term, so
    it goes with any model. Rows that lack a modality have no part in its loss. Generated labels weigh a row
    by tanh |its label - the multimodal label|, so that the first epoch, where both are one, trains no head.
    """

    class Config(TermConfig):
        """Where the labels come from, and the heads."""

        labels: Literal["generated", "annotated", "multimodal"] = "generated"
        """``generated`` by Self-MM's distances to class centres; ``annotated``: those of the data set
        (CH-SIMS); ``multimodal``: the one label for all."""
        zeros: Zeros = "neither"
        """Which class centre a generated label of exactly 0 counts for: none as in MMSA, or the positive one
        as in the repository of Self-MM."""
        text: HeadConfig = HeadConfig()
        audio: HeadConfig = HeadConfig(width=16)
        vision: HeadConfig = HeadConfig(dropout=0.0)

        def head(self, name: ModalityName) -> HeadConfig:
            """The settings of one modality."""
            return cast(HeadConfig, getattr(self, name))

    never_negative = True

    def __init__(self, config: Config, dims: RepresentationDims):
        """Build the heads of the modalities that are present.

        Raises:
            ConfigError: where none of them has a weight above 0.
        """
        super().__init__()
        self.source = config.labels
        self.weights = {name: config.head(name).weight for name in dims.unimodal}
        self.weights = {name: weight for name, weight in self.weights.items() if weight > 0}
        if not self.weights:
            rule = f"has a weight above 0 for none of {', '.join(dims.unimodal)}"
            raise unfit("unimodal", rule, "Raise one of objective.terms.unimodal.<modality>.weight.")
        self.heads = nn.ModuleDict(
            {name: Head(dims.unimodal[name], config.head(name)) for name in self.weights}
        )
        if self.source == "generated":
            widths = {str(name): config.head(name).width for name in self.weights}
            fused = dims.extra.get("hidden", dims.fusion)
            self.generator = LabelGenerator({FUSION: fused, **widths}, config.zeros)

    def prepare(self, spec: TargetSpec) -> None:
        """Make room for a label of each row and modality.

        Raises:
            ConfigError: for ``annotated`` where the data set has no labels of a modality.
        """
        missing = [name for name in self.weights if name not in spec.unimodal]
        if self.source == "generated":
            self.generator.make_room(spec)
        elif self.source == "annotated" and missing:
            rule = f"reads labels of {', '.join(missing)} alone, which the data set does not have"
            raise unfit("unimodal", rule, "Write objective.terms.unimodal.labels: generated.")

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """The loss; generated labels then move, in training only."""
        features: dict[str, Tensor] = {FUSION: representations.extra.get("hidden", representations.fusion)}
        there: dict[str, Tensor] = {FUSION: torch.ones_like(targets.rows, dtype=torch.bool)}
        losses = []
        for name, weight in self.weights.items():
            vector_BD = representations.unimodal[name]
            there[name] = vector_BD.detach().any(1)
            features[name], prediction_B = self.heads[name](vector_BD)
            losses.append(weight * self._loss(name, prediction_B, there[name], targets))
        monitors: Mapping[str, Tensor] = {}
        if self.training and self.source == "generated":
            monitors = self.generator.update(features, there, targets)
        return TermValue(torch.stack(losses).mean(), monitors)

    def _loss(self, name: ModalityName, prediction_B: Tensor, there_B: Tensor, targets: Targets) -> Tensor:
        if self.source == "generated":
            labels_B = self.generator.label(name, targets)
            weight_B = (labels_B - targets.labels).abs().tanh()
        else:
            labels_B = targets.labels if self.source == "multimodal" else targets.unimodal[name]
            weight_B = torch.ones_like(labels_B)
        error_B = (weight_B * (prediction_B - labels_B).abs()).masked_fill(~there_B, 0.0)
        return error_B.sum() / there_B.sum().clamp(min=1)

    def start_epoch(self, epoch: int) -> None:
        """The labels move less in each epoch."""
        if self.source == "generated":
            self.generator.epoch = epoch
