"""Each modality predicts a label by itself: the multi-task part of Self-MM (Yu et al., AAAI 2021) and DMSI.

Labels of single modalities may be generated from the multimodal one (ULGM): a label moves from it towards the
class whose centre its modality's feature is nearer to than the fused feature is. Shapes: N rows of the train
split, B of a batch, D features, D_m the width of modality m.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

import torch
from torch import Tensor, nn

from mmsa.config import Block
from mmsa.data.corpus import ModalityName
from mmsa.data.targets import Targets, TrainTargets
from mmsa.information.target.mimrl import FUSION
from mmsa.models.base import RepresentationDims, Representations
from mmsa.models.encoders import Dropout, Width
from mmsa.models.layers import UniformDropout
from mmsa.objectives.base import TERMS, Term, TermConfig, TermValue, Weight
from mmsa.objectives.terms.vectors import unfit

Zeros = Literal["neither", "positive"]

_EPSILON = 1e-8
_SMALLEST_FUSION = 1e-3


class RowMemory(nn.Module):
    """The last feature and label of each row, and the centres of the rows with negative and positive labels.

    The centres follow from running sums in float64, which a batch changes by its own rows only.
    """

    labels: Tensor
    features: Tensor
    known: Tensor
    sums: Tensor
    counts: Tensor

    def __init__(self, width: int, zeros: Zeros):
        super().__init__()
        self.width, self.zeros = width, zeros

    def make_room(self, rows: int, centre: float = 0.0) -> None:
        """For N rows, none of which is known, of a scale with its neutral point at ``centre``."""
        self.centre = centre
        self.register_buffer("labels", torch.zeros(rows))
        self.register_buffer("features", torch.zeros(rows, self.width))
        self.register_buffer("known", torch.zeros(rows, dtype=torch.bool))
        self.register_buffer("sums", torch.zeros(2, self.width, dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(2, dtype=torch.float64))

    def label(self, targets: Targets) -> Tensor:
        """(B,) the labels of known rows; of others, the multimodal ones."""
        return torch.where(self.known[targets.rows], self.labels[targets.rows], targets.labels)

    def leaning(self, features_BD: Tensor) -> Tensor:
        """(B,) (d- - d+) / d+, with the distances to both centres; above 0 the positive one is nearer."""
        centres_2D = (self.sums / self.counts.clamp(min=1)[:, None]).to(features_BD.dtype)
        negative_B, positive_B = (features_BD - centres_2D[:, None]).norm(dim=2)
        leaning_B: Tensor = (negative_B - positive_B) / (positive_B + _EPSILON)
        return leaning_B

    def has_both_classes(self) -> Tensor:
        """Scalar bool."""
        return (self.counts > 0).all()

    def remember(self, rows_B: Tensor, labels_B: Tensor, features_BD: Tensor, there_B: Tensor) -> None:
        """Replace what is known of some rows; of rows that are not ``there``, nothing is."""
        self._count(rows_B, -1.0)
        self.labels[rows_B], self.features[rows_B], self.known[rows_B] = labels_B, features_BD, there_B
        self._count(rows_B, 1.0)

    def _count(self, rows_B: Tensor, sign: float) -> None:
        labels_B = self.labels[rows_B] - self.centre
        positive_B = labels_B >= 0 if self.zeros == "positive" else labels_B > 0
        members_2B = (torch.stack([labels_B < 0, positive_B]) & self.known[rows_B]).double()
        self.sums += sign * members_2B @ self.features[rows_B].double()
        self.counts += sign * members_2B.sum(1)


class LabelGenerator(nn.Module):
    """Generates labels of modalities from the second epoch on; before, they are the multimodal ones.

    With delta = (d- - d+) / d+ of a modality's feature and of the fused one, the new label is the mean of
    y delta_m / delta_fusion and y + delta_m - delta_fusion within the range of labels, and the label moves
    there by 2 / (n + 1) of the way in epoch n, counted from 1.

    A row keeps its label where one of the two features has no class to lean to, or the fused one leans so
    little that the ratio means nothing; the reference is saved by clipping alone, or not at all.
    """

    def __init__(self, widths: Mapping[str, int], zeros: Zeros):
        """``widths``: of the features of ``fusion`` and of each modality."""
        super().__init__()
        self.epoch = 0
        self.memories = nn.ModuleDict({name: RowMemory(width, zeros) for name, width in widths.items()})

    def make_room(self, spec: TrainTargets) -> None:
        """For the rows of the train split."""
        self.low, self.high = spec.label_range
        for name in self.memories:
            self._memory(name).make_room(spec.rows, spec.target.centre)

    def _memory(self, name: str) -> RowMemory:
        return cast(RowMemory, self.memories[name])

    def label(self, name: str, targets: Targets) -> Tensor:
        """(B,) the labels of a modality as they are now."""
        return self._memory(name).label(targets)

    @torch.no_grad()
    def update(
        self, features: Mapping[str, Tensor], there: Mapping[str, Tensor], targets: Targets
    ) -> dict[str, Tensor]:
        """Move the labels of a batch, then remember its features.

        Args:
            features: (B, D) of ``fusion`` and each modality. there: (B,) which rows have the modality.

        Returns:
            the monitors ``labels/clipped`` and ``labels/kept``, numbers of labels of this batch.
        """
        clipped, kept = torch.zeros(2, device=targets.labels.device)
        labels = {name: self.label(name, targets) for name in features}
        if self.epoch > 0:
            fused_B = self._memory(FUSION).leaning(features[FUSION])
            usable_B = (fused_B.abs() > _SMALLEST_FUSION) & self._memory(FUSION).has_both_classes()
            for name in features.keys() - {FUSION}:
                memory = self._memory(name)
                moves_B = usable_B & there[name] & memory.has_both_classes()
                proposed_B = _proposed(targets.labels, memory.leaning(features[name]), fused_B)
                moved_B = labels[name].lerp(proposed_B.clamp(self.low, self.high), 2 / (self.epoch + 2))
                labels[name] = torch.where(moves_B, moved_B, labels[name])
                outside_B = (proposed_B < self.low) | (proposed_B > self.high)
                clipped += (moves_B & outside_B).sum()
                kept += (there[name] & ~moves_B).sum()
        for name, features_BD in features.items():
            self._memory(name).remember(targets.rows, labels[name], features_BD, there[name])
        return {"labels/clipped": clipped, "labels/kept": kept}

    def get_extra_state(self) -> Tensor:
        """The epoch; kept on the host."""
        return torch.tensor(self.epoch)

    def set_extra_state(self, state: Tensor) -> None:
        """Continue in the epoch."""
        self.epoch = int(state)


def _proposed(labels_B: Tensor, leaning_B: Tensor, fused_B: Tensor) -> Tensor:
    ratio_B = leaning_B / (fused_B + _EPSILON)
    return 0.5 * ratio_B * labels_B + 0.5 * (labels_B + leaning_B - fused_B)


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

    def prepare(self, spec: TrainTargets) -> None:
        """Make room for a label of each row and modality.

        Raises:
            ConfigError: for ``annotated`` where the data set has no labels of a modality.
        """
        if not spec.target.is_scale:
            rule = f"has heads that predict a number on a scale, and {spec.target.name} is {spec.target.kind}"
            raise unfit("unimodal", rule)
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
