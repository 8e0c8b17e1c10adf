"""Terms that bring modalities together: by contrast, by their covariances, by the distances between clips.

``infonce`` and ``supervised_contrastive`` are after the abstract of MMCL (Lin and Hu, Findings of EMNLP 2022;
no code of it is public, and nothing here claims to reproduce it), ``coral`` is the shared information of DMSI
(Lai et al., IJCNN 2024), ``relational`` relational distillation (Park et al., CVPR 2019). Shapes: B rows, D_m
the width of modality m, V views of a batch, E the width in which they are compared, D the common width, P
pairs of rows.
"""

from __future__ import annotations

from itertools import permutations
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn, pdist
from torch.nn.functional import normalize, smooth_l1_loss

from mmsa.data.targets import Targets, TrainTargets
from mmsa.information.bounds import infonce
from mmsa.information.surrogates import CORAL
from mmsa.models.base import RepresentationDims, Representations
from mmsa.objectives.base import TERMS, Term, TermConfig, TermValue, Weight
from mmsa.objectives.terms.vectors import modality_pairs, nothing, refuse_labels, unfit

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
        """Labels on a scale are the same when they round to the same multiple of it; classes as they are."""
        temperature: Temperature = 0.1
        width: Annotated[int, Field(ge=1, le=65_536)] = 64
        """E."""

    never_negative = True

    def __init__(self, config: Config, dims: RepresentationDims):
        super().__init__()
        self.config = config
        widths = (dims.fusion, *dims.unimodal.values())
        self.project = nn.ModuleList(nn.Linear(own, config.width) for own in widths)

    def prepare(self, spec: TrainTargets) -> None:
        """Refuse labels of which several hold at once.

        Raises:
            ConfigError: for such.
        """
        refuse_labels("supervised_contrastive", spec, "brings rows of one label together")

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """The mean over the views with a positive."""
        vectors = [representations.fusion, *representations.unimodal.values()]
        views_VE = torch.cat(
            [normalize(project(x_BD), dim=1) for project, x_BD in zip(self.project, vectors, strict=True)]
        )
        there_V = torch.cat([x_BD.detach().any(1) for x_BD in vectors])
        target = targets.train.target
        same_B = (targets.labels / self.config.bin_width).round() if target.is_scale else targets.labels
        bins_V = same_B.repeat(len(vectors))
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


_SMALLEST_MEAN = 1e-6


@TERMS.register("relational")
class RelationalDistance(Term):
    """Clips that are far apart in one modality should be so in the others.

    Distances between the clips of a batch, of vectors of length 1 and in units of their mean, follow those of
    each other modality by a smooth L1 loss with a gradient into the follower only; averaged over the ordered
    pairs of modalities. It was published with a weight of 0.25 on a pair's two directions together.
    """

    class Config(TermConfig):
        """No further settings."""

    never_negative = True

    def __init__(self, config: Config, dims: RepresentationDims):
        super().__init__()
        self.pairs = modality_pairs("relational", dims)

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """The mean loss; 0 for a single row."""
        if len(targets) < 2:
            return TermValue(nothing(representations.unimodal.values()))
        distances = {name: _relative_distances(x_BD) for name, x_BD in representations.unimodal.items()}
        losses = [
            smooth_l1_loss(distances[follower], distances[leader].detach())
            for pair in self.pairs
            for follower, leader in (pair, pair[::-1])
        ]
        return TermValue(torch.stack(losses).mean())


def _relative_distances(x_BD: Tensor) -> Tensor:
    """(P,) distances of all pairs of rows, whose mean is 1."""
    distances_P = pdist(normalize(x_BD, dim=1))
    return distances_P / distances_P.mean().clamp(min=_SMALLEST_MEAN)
