"""Covariance alignment between modalities, the shared information of DMSI (Lai et al., IJCNN 2024).

Shapes: B rows, D_m the width of modality m, D the common width.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from mmsa.data.targets import Targets
from mmsa.information.surrogates import CORAL
from mmsa.models.base import RepresentationDims, Representations
from mmsa.objectives.base import TERMS, Term, TermConfig, TermValue, Weight
from mmsa.objectives.terms.vectors import modality_pairs, nothing, unfit


@TERMS.register("coral")
class CovarianceAlignment(Term):
    """Squared distance of two modalities' covariances / 4 D^2 (Deep CORAL), summed over weighted pairs.

    DMSI's figure aligns audio with vision and leaves text free; its weights and exact scaling are not
    published. Divided by 4 D^2 the distance is small, and a weight far above 1 no exaggeration.
    """

    class Config(TermConfig):
        """What each pair weighs, and in what space it is compared."""

        text_audio: Weight = 0.0
        """Pairs whose modalities are not both present are left out."""
        text_vision: Weight = 0.0
        audio_vision: Weight = 1.0
        projection: Literal["frozen", "trained", "none"] = "frozen"
        """What brings the modalities to one width: a random orthogonal projection that stays as it is, one
        trained with the model (which lowers the loss by shrinking, too), or nothing."""
        width: Annotated[int, Field(ge=1, le=65_536)] = 16
        """D of the projections."""

    never_negative = True

    def __init__(self, config: Config, dims: RepresentationDims):
        """Build the projections of the modalities in the pairs.

        Raises:
            ConfigError: where no pair has a weight, or widths differ without a projection.
        """
        super().__init__()
        weights = {(x, y): getattr(config, f"{x}_{y}") for x, y in modality_pairs("coral", dims)}
        self.weights = {pair: weight for pair, weight in weights.items() if weight > 0}
        if not self.weights:
            rule = f"has a weight above 0 for no pair among {', '.join(dims.unimodal)}"
            pair = "_".join(next(iter(weights)))
            raise unfit("coral", rule, f"Raise objective.terms.coral.{pair}, or leave the term out.")
        widths = {name: dims.unimodal[name] for pair in self.weights for name in pair}
        if config.projection == "none" and len(set(widths.values())) > 1:
            rule = f"compares vectors of different widths without a projection: {widths}"
            raise unfit("coral", rule, "Give the encoders' output one value, or write projection: frozen.")
        self.project = nn.ModuleDict({name: _projection(config, width) for name, width in widths.items()})
        self.distance = CORAL(CORAL.Config(), config.width, config.width)

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """The weighted sum of distances; 0 for a single row, which has no covariance."""
        projected = {
            name: project(representations.unimodal[name])  # type: ignore[index]
            for name, project in self.project.items()
        }
        if len(targets) < 2:
            return TermValue(nothing(projected.values()))
        distances = [
            weight * self.distance.statistic(projected[x], projected[y])
            for (x, y), weight in self.weights.items()
        ]
        return TermValue(torch.stack(distances).sum())

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """``main``: trained projections."""
        return {"main": [parameter for parameter in self.parameters() if parameter.requires_grad]}


def _projection(config: CovarianceAlignment.Config, width: int) -> nn.Module:
    if config.projection == "none":
        return nn.Identity()
    projection = nn.Linear(width, config.width, bias=False)  # covariances do not see a bias
    nn.init.orthogonal_(projection.weight)
    return projection.requires_grad_(config.projection == "trained")
