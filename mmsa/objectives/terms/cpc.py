"""Fusion-level information of MMIM: contrastive prediction of each modality from the fused vector.

Shapes: B rows of a batch, D_m the width of modality m.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from mmsa.data.targets import Targets
from mmsa.information.bounds import infonce
from mmsa.models.base import RepresentationDims, Representations
from mmsa.models.layers import initialise_xavier
from mmsa.objectives.base import TERMS, Term, TermConfig, TermValue


@TERMS.register("cpc")
class CPC(Term):
    """Minus the InfoNCE bound on I(fusion; modality), averaged over the modalities (MMIM section 3.4).

    The score of a pair is the cosine between the modality vector and its prediction from the fusion. MMIM
    sums over its three modalities: its coefficient alpha is a weight of 3 alpha here, where the weight means
    the same when a modality is absent.
    """

    class Config(TermConfig):
        """Settings of the critic."""

        direction: Literal["both", "paper", "mmim_code"] = "both"
        """``paper``: a fused vector against the batch's modality vectors; ``mmim_code``: a modality vector
        against the batch's fused vectors; ``both``: the mean of the two."""
        temperature: Annotated[float, Field(gt=0.0, le=10.0)] = 1.0
        """Divides the cosines; 1 as published, where the bound of a batch of B cannot exceed
        ln B - ln(1 + (B - 1) exp(-2 / temperature))."""
        layers: Annotated[int, Field(ge=1, le=4)] = 1
        """Linear layers of each prediction, with tanh in between. MMIM's code has tanh after the first only,
        so that three layers or more say no more than two."""

    def __init__(self, config: Config, dims: RepresentationDims):
        super().__init__()
        self.config = config
        self.heads = nn.ModuleDict(
            {name: _prediction(dims.fusion, width, config.layers) for name, width in dims.unimodal.items()}
        )
        initialise_xavier(self.parameters())

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """Minus the mean bound; monitors ``bound/cpc/<modality>`` in nats."""
        bounds = {
            name: self._bound(vector_BD, self.heads[name](representations.fusion))
            for name, vector_BD in representations.unimodal.items()
        }
        monitors = {f"bound/cpc/{name}": bound.detach() for name, bound in bounds.items()}
        return TermValue(-torch.stack(list(bounds.values())).mean(), monitors)

    def _bound(self, vector_BD: Tensor, predicted_BD: Tensor) -> Tensor:
        cosine_BB = normalize(vector_BD, dim=-1) @ normalize(predicted_BD, dim=-1).T
        if self.config.direction == "paper":
            cosine_BB = cosine_BB.T
        return infonce(cosine_BB, self.config.temperature, symmetric=self.config.direction == "both")


def _prediction(fusion: int, width: int, layers: int) -> nn.Sequential:
    deeper = [part for _ in range(layers - 1) for part in (nn.Tanh(), nn.Linear(width, width))]
    return nn.Sequential(nn.Linear(fusion, width), *deeper)
