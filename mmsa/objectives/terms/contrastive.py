"""Contrastive terms after MMCL (Lin and Hu, Findings of EMNLP 2022): between modalities, and by sentiment.

After the abstract: no code of MMCL is public, and nothing here claims to reproduce it. Shapes: B rows, D_m
the width of modality m, V views of a batch, E the width in which they are compared.
"""

from __future__ import annotations

from itertools import permutations
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from mmsa.data.targets import Targets
from mmsa.information.bounds import infonce
from mmsa.models.base import RepresentationDims, Representations
from mmsa.objectives.base import TERMS, Term, TermConfig, TermValue
from mmsa.objectives.terms.vectors import modality_pairs

Temperature = Annotated[float, Field(gt=0.0, le=10.0)]


@TERMS.register("infonce")
class CrossModal(Term):
    """Minus the InfoNCE bound on I(x; y), averaged over the ordered pairs of modalities.

    The score of a pair is the cosine between y and its linear prediction from x, over the temperature.
    """

    class Config(TermConfig):
        """Settings of the critic."""

        temperature: Temperature = 0.2

    def __init__(self, config: Config, dims: RepresentationDims):
        super().__init__()
        self.temperature = config.temperature
        modality_pairs("infonce", dims)
        self.pairs = tuple(permutations(dims.unimodal, 2))
        self.predict = nn.ModuleDict(
            {f"{x}_{y}": nn.Linear(dims.unimodal[x], dims.unimodal[y]) for x, y in self.pairs}
        )

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """Minus the mean bound; monitors ``bound/infonce/<x>_<y>`` in nats."""
        vectors = representations.unimodal
        bounds = {}
        for x, y in self.pairs:
            predicted_BD = normalize(self.predict[f"{x}_{y}"](vectors[x]), dim=1)
            scores_BB = predicted_BD @ normalize(vectors[y], dim=1).T
            bounds[f"{x}_{y}"] = infonce(scores_BB, self.temperature, symmetric=True)
        monitors = {f"bound/infonce/{pair}": bound.detach() for pair, bound in bounds.items()}
        return TermValue(-torch.stack(list(bounds.values())).mean(), monitors)


@TERMS.register("supervised_contrastive")
class SupervisedContrastive(Term):
    """Clips of one sentiment come together, others apart (Khosla et al. 2020, outer form, several views).

    The views of a clip are its fused vector and the vectors of its modalities, each through a linear layer of
    its own and normalised; what is positive for a view is every other view with the same rounded label, the
    clip's own included. Modalities that a row lacks have no view.
    """

    class Config(TermConfig):
        """Which labels are the same, and how sharp."""

        bin_width: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 1.0
        """Labels are the same when they round to the same multiple of this."""
        temperature: Temperature = 0.1
        width: Annotated[int, Field(ge=1, le=65_536)] = 64
        """E."""

    never_negative = True

    def __init__(self, config: Config, dims: RepresentationDims):
        super().__init__()
        self.config = config
        widths = (dims.fusion, *dims.unimodal.values())
        self.project = nn.ModuleList(nn.Linear(own, config.width) for own in widths)

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """The mean over the views with a positive."""
        vectors = [representations.fusion, *representations.unimodal.values()]
        views_VE = torch.cat(
            [normalize(project(x_BD), dim=1) for project, x_BD in zip(self.project, vectors, strict=True)]
        )
        there_V = torch.cat([x_BD.detach().any(1) for x_BD in vectors])
        bins_V = (targets.labels / self.config.bin_width).round().repeat(len(vectors))
        return TermValue(
            supervised_contrast(views_VE @ views_VE.T / self.config.temperature, bins_V, there_V)
        )


def supervised_contrast(scores_VV: Tensor, bins_V: Tensor, there_V: Tensor) -> Tensor:
    """Mean over the anchors of -1/|P| sum_p [s_p - logsumexp of the scores of all others].

    Only views that are ``there`` count, and only anchors with a positive; 0 without any.
    """
    itself_VV = torch.eye(len(bins_V), dtype=torch.bool, device=bins_V.device)
    other_VV = there_V & ~itself_VV
    positive_VV = other_VV & (bins_V[:, None] == bins_V)
    log_share_VV = scores_VV - scores_VV.masked_fill(~other_VV, _lowest(scores_VV)).logsumexp(1, keepdim=True)
    count_V = positive_VV.sum(1)
    mean_V = log_share_VV.masked_fill(~positive_VV, 0.0).sum(1) / count_V.clamp(min=1)
    anchor_V = there_V & (count_V > 0)
    return -mean_V.masked_fill(~anchor_V, 0.0).sum() / anchor_V.sum().clamp(min=1)


def _lowest(scores: Tensor) -> float:
    return torch.finfo(scores.dtype).min
