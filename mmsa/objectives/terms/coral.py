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
from mmsa.objectives.base import TERMS, Term, TermConfig, TermValue
from mmsa.objectives.terms.vectors import modality_pairs, nothing, unfit


@TERMS.register("coral")
class CovarianceAlignment(Term):
    """Squared distance of two modalities' covariances / 4 D^2 (Deep CORAL), averaged over chosen pairs.

    DMSI's figure aligns audio with vision and leaves text free; its exact scaling is not published.
    """

    class Config(TermConfig):
        """Which pairs, and in what space."""

        pairs: Annotated[
            tuple[Literal["text_audio", "text_vision", "audio_vision"], ...],
            Field(strict=False, min_length=1),
        ] = ("audio_vision",)
        """Those whose modalities are not both present are left out."""
        projection: Literal["frozen", "trained", "none"] = "frozen"
        """What brings the modalities to one width: a random orthogonal projection that stays as it is, one
        trained with the model (which lowers the loss by shrinking, too), or nothing."""
        width: Annotated[int, Field(ge=1)] = 16
        """D of the projections."""

    never_negative = True

    def __init__(self, config: Config, dims: RepresentationDims):
        """Build the projections of the modalities in the pairs.

        Raises:
            ConfigError: where no pair is present, or widths differ without a projection.
        """
        super().__init__()
        self.pairs = tuple((x, y) for x, y in modality_pairs("coral", dims) if f"{x}_{y}" in config.pairs)
        if not self.pairs:
            rule = f"aligns {', '.join(config.pairs)}, and the data set brings {', '.join(dims.unimodal)}"
            raise unfit("coral", rule, "Choose other objective.terms.coral.pairs, or leave the term out.")
        widths = {name: dims.unimodal[name] for pair in self.pairs for name in pair}
        if config.projection == "none" and len(set(widths.values())) > 1:
            rule = f"compares vectors of different widths without a projection: {widths}"
            raise unfit("coral", rule, "Give the encoders' output one value, or write projection: frozen.")
        self.project = nn.ModuleDict({name: _projection(config, width) for name, width in widths.items()})
        self.distance = CORAL(CORAL.Config(), config.width, config.width)

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """The mean distance; 0 for a single row, which has no covariance."""
        projected = {
            name: project(representations.unimodal[name])  # type: ignore[index]
            for name, project in self.project.items()
        }
        if len(targets) < 2:
            return TermValue(nothing(projected.values()))
        distances = [self.distance.statistic(projected[x], projected[y]) for x, y in self.pairs]
        return TermValue(torch.stack(distances).mean())

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """``main``: trained projections."""
        return {"main": [parameter for parameter in self.parameters() if parameter.requires_grad]}


def _projection(config: CovarianceAlignment.Config, width: int) -> nn.Module:
    if config.projection == "none":
        return nn.Identity()
    projection = nn.Linear(width, config.width, bias=False)  # covariances do not see a bias
    nn.init.orthogonal_(projection.weight)
    return projection.requires_grad_(config.projection == "trained")
