"""The hierarchical information of MMIM (Han et al., EMNLP 2021).

At the level of the fusion, ``cpc`` predicts each modality from the fused vector, by contrast. At the level of
the inputs, ``barber_agakov`` bounds I(X; Y) >= E[log q(y|x)] + H(Y), with a Gaussian q whose mean and
log-variance are predicted from x, and H from one Gaussian for each polarity of the label. Both parts have to
be of one variable: with the density of the vector and the entropy of its projection to fewer dimensions, the
sum grows without limit as the encoder of Y shrinks its output, and training drives it there.

Shapes: B rows of a batch, D_m the width of modality m, D the width of Y, P of its projection.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from mmsa.config import Block
from mmsa.data.corpus import ModalityName
from mmsa.data.target_spec import TargetSpec
from mmsa.data.targets import Targets, TrainTargets
from mmsa.errors import ConfigError, Problem
from mmsa.information.bounds import infonce
from mmsa.information.densities import (
    class_gaussian_entropy,
    gaussian_log_density,
    gaussian_log_density_mmim_code,
)
from mmsa.information.gradients import GradientNormaliser
from mmsa.information.target.mimrl import FUSION, Between
from mmsa.models.base import RepresentationDims, Representations
from mmsa.models.layers import initialise_xavier
from mmsa.objectives.base import TERMS, InformationCoefficient, Term, TermConfig, TermValue, Weight
from mmsa.objectives.terms.vectors import by_name, nothing, refuse_labels, weighted_mean


class CPCWeights(Block):
    """One coefficient for each modality; that of an absent modality has no effect."""

    text: Weight = 1.0
    audio: Weight = 1.0
    vision: Weight = 1.0


class BarberAgakovWeights(Block):
    """One coefficient for each pair; that of a pair that is not there has no effect."""

    text_audio: Weight = 1.0
    text_vision: Weight = 1.0
    vision_audio: Weight = 1.0
    """With ``vision_to_audio``."""


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
        fusion: CPCWeights = CPCWeights()
        """Of I(F; m), between the fused vector and each modality, relative to each other."""
        normalise: bool = False
        """Divide each bound by the running size of its gradient, so that one range of weights fits all."""

        @property
        def contributes(self) -> bool:
            """Whether any coefficient is above 0, and the weight."""
            return self.weight > 0 and any(weight > 0 for _, weight in self.fusion)

    @classmethod
    def coefficients(
        cls, config: Config, modalities: Collection[ModalityName]
    ) -> list[InformationCoefficient]:
        """The coefficient of each modality."""
        return [
            InformationCoefficient(
                f"fusion.{name}",
                "fusion",
                "fusion",
                weight,
                {Between(FUSION, name): 1 / len(modalities)},
                {"": "infonce"},
            )
            for name, weight in config.fusion
            if name in modalities
        ]

    def __init__(self, config: Config, dims: RepresentationDims):
        super().__init__()
        self.direction, self.temperature = config.direction, config.temperature
        self.members = len(dims.unimodal)
        self.weights = {name: w for name, w in config.fusion if name in dims.unimodal and w > 0}
        self.heads = nn.ModuleDict(
            {
                name: _prediction(dims.fusion, width, config.layers)
                for name, width in dims.unimodal.items()
                if name in self.weights
            }
        )
        initialise_xavier(self.parameters())
        self.normalisers = _normalisers(self.heads if config.normalise else ())

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """Minus the weighted mean bound; monitors ``bound/cpc/<modality>`` in nats."""
        if not self.weights:
            return TermValue(nothing([representations.fusion]))
        fusion_BD = representations.fusion.view_as(representations.fusion)
        bounds, losses = {}, {}
        for name, head in self.heads.items():
            vector_BD = by_name(representations.unimodal)[name]
            vector_BD = vector_BD.view_as(vector_BD)
            bounds[name] = losses[name] = self._bound(vector_BD, head(fusion_BD))
            if name in self.normalisers:
                losses[name] = self.normalisers[name](bounds[name], (fusion_BD, vector_BD))
        monitors = {f"bound/cpc/{name}": bound.detach() for name, bound in bounds.items()}
        return TermValue(-weighted_mean(losses, self.weights, self.members), monitors)

    def _bound(self, vector_BD: Tensor, predicted_BD: Tensor) -> Tensor:
        cosine_BB = normalize(vector_BD, dim=-1) @ normalize(predicted_BD, dim=-1).T
        if self.direction == "paper":
            cosine_BB = cosine_BB.T
        return infonce(cosine_BB, self.temperature, symmetric=self.direction == "both")


def _normalisers(names: Iterable[str]) -> nn.ModuleDict:
    return nn.ModuleDict({name: GradientNormaliser() for name in names})


def _prediction(fusion: int, width: int, layers: int) -> nn.Sequential:
    deeper = [part for _ in range(layers - 1) for part in (nn.Tanh(), nn.Linear(width, width))]
    return nn.Sequential(nn.Linear(fusion, width), *deeper)


_LARGEST_LOG_VARIANCE = 10.0
_PAIRS: tuple[tuple[ModalityName, ModalityName], ...] = (("text", "audio"), ("text", "vision"))
_VISION_TO_AUDIO: tuple[ModalityName, ModalityName] = ("vision", "audio")


class GaussianPredictor(nn.Module):
    """q(y|x): two networks of one hidden layer give the mean and the log-variance of each dimension of y.

    The log-variance lies within +-10, which it approaches smoothly: a constant y has a finite density, and a
    predictor that was sure and is wrong still gets a gradient.
    """

    def __init__(self, x_dim: int, hidden: int, y_dim: int):
        super().__init__()
        self.mean = _one_hidden_layer(x_dim, hidden, y_dim)
        self.log_variance = _one_hidden_layer(x_dim, hidden, y_dim)
        initialise_xavier(self.parameters())

    def forward(self, x_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, (B, P) each."""
        raw_BP = self.log_variance(x_BD) / _LARGEST_LOG_VARIANCE
        return self.mean(x_BD), _LARGEST_LOG_VARIANCE * raw_BP.tanh()


def _one_hidden_layer(x_dim: int, hidden: int, y_dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(x_dim, hidden), nn.ReLU(), nn.Linear(hidden, y_dim))


@TERMS.register("barber_agakov")
class BarberAgakovTerm(Term):
    """Minus the bound, in nats, averaged over the pairs text -> audio and text -> vision (MMIM section 3.3).

    MMIM sums over its two pairs: its coefficient beta is a weight of 2 beta here, where the weight means the
    same when a modality is absent. The predictors are the group ``estimator``, fitted by ``estimator_loss``;
    the main loss passes through them into the encoders.
    """

    class Config(TermConfig):
        """Settings of likelihood and entropy."""

        likelihood: Literal["full", "mmim_code"] = "full"
        """``full``: the Gaussian log-density of the projected vector, the variable whose entropy is added;
        ``mmim_code``: the quadratic part alone, of the vector before projection. It bounds nothing."""
        projection: Projection = "frozen"
        """What reduces a vector before its density and entropy are estimated: a random projection that stays
        as it is (what MMIM's code comes to), one trained with the model, or none."""
        memory: Annotated[int, Field(ge=0, le=16)] = 1
        """Batches before this one that the entropy looks at as well."""
        vision_to_audio: bool = False
        """Add the pair vision -> audio."""
        invariant: BarberAgakovWeights = BarberAgakovWeights()
        """Of the bound of each pair, relative to each other."""
        normalise: bool = False
        """Divide each bound by the running size of its gradient, so that one range of weights fits all."""

        @property
        def contributes(self) -> bool:
            """Whether the coefficient of a pair is above 0, and the weight."""
            weights = dict(self.invariant)
            return self.weight > 0 and any(weights[f"{x}_{y}"] > 0 for x, y in self.pairs())

        def pairs(self) -> tuple[tuple[ModalityName, ModalityName], ...]:
            """The pairs x -> y that the term may have."""
            return (*_PAIRS, _VISION_TO_AUDIO) if self.vision_to_audio else _PAIRS

    @classmethod
    def coefficients(
        cls, config: Config, modalities: Collection[ModalityName]
    ) -> list[InformationCoefficient]:
        """The coefficient of each pair."""
        weights = dict(config.invariant)
        pairs = [(x, y) for x, y in config.pairs() if {x, y} <= set(modalities)]
        return [
            InformationCoefficient(
                f"invariant.{x}_{y}",
                "input",
                "invariant",
                weights[f"{x}_{y}"],
                {Between(x, y): 1 / len(pairs)},
                {"": "barber_agakov"},
            )
            for x, y in pairs
        ]

    def __init__(self, config: Config, dims: RepresentationDims):
        """Build the predictors of the pairs whose modalities are both present.

        Raises:
            ConfigError: where there is no such pair.
        """
        super().__init__()
        self.full = config.likelihood == "full"
        there = [(x, y) for x, y in config.pairs() if x in dims.unimodal and y in dims.unimodal]
        if not there:
            raise _no_pair(dims)
        weights = dict(config.invariant)
        self.members = len(there)
        self.pairs = tuple((x, y) for x, y in there if weights[f"{x}_{y}"] > 0)
        self.weights = {f"{x}_{y}": weights[f"{x}_{y}"] for x, y in self.pairs}
        widths = dims.unimodal
        self.entropies = nn.ModuleDict()
        self.predictors = nn.ModuleDict()
        for x, y in self.pairs:
            if y not in self.entropies:
                self.entropies[y] = PolarityEntropy(widths[y], config.projection, config.memory)
            target = self._entropy(y).width if self.full else widths[y]
            self.predictors[f"{x}_{y}"] = GaussianPredictor(widths[x], widths[y], target)
        self.normalisers = _normalisers(self.weights if config.normalise else ())

    def prepare(self, spec: TrainTargets) -> None:
        """Learn which classes the entropy is a mean over.

        Raises:
            ConfigError: for labels of which several hold at once: rows are in no single class.
        """
        refuse_labels("barber_agakov", spec, "adds the entropies of vectors of each class")
        for name in dict.fromkeys(y for _, y in self.pairs):
            self._entropy(name).count_classes(spec.target)

    def _entropy(self, name: ModalityName) -> PolarityEntropy:
        return cast(PolarityEntropy, self.entropies[name])

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """Minus the weighted mean; monitors ``bound/barber_agakov/<x>_<y>`` and ``entropy/skipped``."""
        if not self.pairs:
            return TermValue(nothing(representations.unimodal.values()))
        unimodal = {name: vector.view_as(vector) for name, vector in representations.unimodal.items()}
        ys = dict.fromkeys(y for _, y in self.pairs)
        projected = {y: self._entropy(y).project(unimodal[y]) for y in ys}
        entropies = {y: self._entropy(y)(y_BP, targets.sides) for y, y_BP in projected.items()}
        bounds = {}
        for x, y in self.pairs:
            prediction = self.predictors[f"{x}_{y}"](unimodal[x])
            log_density_B = self._log_density(projected[y] if self.full else unimodal[y], prediction)
            bounds[f"{x}_{y}"] = log_density_B.mean() + entropies[y][0]
        monitors = {"entropy/skipped": torch.stack([skipped for _, skipped in entropies.values()]).sum()}
        if self.full:
            monitors |= {f"bound/barber_agakov/{pair}": bound.detach() for pair, bound in bounds.items()}
        if self.normalisers:
            bounds = {
                f"{x}_{y}": self.normalisers[f"{x}_{y}"](bounds[f"{x}_{y}"], (unimodal[x], unimodal[y]))
                for x, y in self.pairs
            }
        return TermValue(-weighted_mean(bounds, self.weights, self.members), monitors)

    def estimator_loss(self, representations: Representations, targets: Targets) -> Tensor | None:
        """Minus the mean log-likelihood of the pairs, None without any."""
        if not self.pairs:
            return None
        log_likelihoods = []
        for x, y in self.pairs:
            target_BP = representations.unimodal[y]
            if self.full:
                target_BP = self._entropy(y).project(target_BP).detach()
            prediction = self.predictors[f"{x}_{y}"](representations.unimodal[x])
            log_likelihoods.append(self._log_density(target_BP, prediction).mean())
        return -torch.stack(log_likelihoods).mean()

    def _log_density(self, target_BP: Tensor, prediction: tuple[Tensor, Tensor]) -> Tensor:
        density = gaussian_log_density if self.full else gaussian_log_density_mmim_code
        return density(target_BP, *prediction)

    def start_epoch(self, epoch: int) -> None:
        """Forget the batches of the epoch before, whose vectors are stale."""
        for name in dict.fromkeys(y for _, y in self.pairs):
            self._entropy(name).forget()

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """``estimator``: the predictors; ``main``: a trained projection."""
        projections = [parameter for parameter in self.entropies.parameters() if parameter.requires_grad]
        return {"estimator": list(self.predictors.parameters()), "main": projections}


def _no_pair(dims: RepresentationDims) -> ConfigError:
    rule = f"has no pair among the modalities of the data set ({', '.join(dims.unimodal)})"
    if {"audio", "vision"} <= set(dims.unimodal):
        next_step = "Set vision_to_audio: true, or leave the term out."
    else:
        next_step = "Leave the term out, or add a modality: it needs text with audio or vision."
    return ConfigError(
        "objective", [Problem("objective.terms.barber_agakov", "text -> ...", rule, next_step)]
    )


Projection = Literal["frozen", "trained", "none"]
_REDUCTION = 4


_OF_A_SCALE: tuple[float, ...] = (1.0, -1.0)


class PolarityEntropy(nn.Module):
    """Projects a vector, and estimates the projection's entropy on this batch and the ``memory`` before it.

    On a scale, rows above its centre are one class, below it the other, and rows at it do not count; or rows
    from its threshold on are one, the rest the other. Of classes each is one. Remembered rows are detached,
    with one buffer for each batch, newest first; they are (B, P + 1), the side in the last column.

    Attributes:
        sides: What the last column may be: a side of a scale, or a class.
        width: P. The projection is linear to D / 4 and tanh as in MMIM's code, or nothing.
    """

    def __init__(self, dim: int, projection: Projection, memory: int):
        super().__init__()
        self.memory = memory
        self.sides = _OF_A_SCALE
        self.width = dim if projection == "none" else max(1, dim // _REDUCTION)
        self.projection = (
            nn.Identity() if projection == "none" else nn.Sequential(nn.Linear(dim, self.width), nn.Tanh())
        )
        initialise_xavier(self.projection.parameters())
        self.projection.requires_grad_(projection == "trained")
        for age in range(memory):
            self.register_buffer(f"batch_{age}", torch.empty(0, self.width + 1))

    def project(self, vector_BD: Tensor) -> Tensor:
        """(B, P)."""
        projected_BP: Tensor = self.projection(vector_BD)
        return projected_BP

    def count_classes(self, target: TargetSpec) -> None:
        """Tell classes apart by what ``Targets.sides`` is of this target."""
        if not target.is_scale:
            self.sides = tuple(map(float, range(len(target.classes))))

    def forward(self, projected_BP: Tensor, sides_B: Tensor) -> tuple[Tensor, Tensor]:
        """Entropy in nats, and how many of the classes had too few rows to count; remembers the batch.

        The memory changes in training mode only.
        """
        side_B1 = (sides_B.sign() if self.sides == _OF_A_SCALE else sides_B)[:, None]
        batch_BP1 = torch.cat([projected_BP, side_B1], dim=1)
        remembered = [self.get_buffer(f"batch_{age}") for age in range(self.memory)]
        rows_NP1 = torch.cat([batch_BP1, *remembered])
        if self.training:
            self._remember([batch_BP1.detach(), *remembered[:-1]])
        return class_gaussian_entropy(rows_NP1[:, :-1], *(rows_NP1[:, -1] == side for side in self.sides))

    def forget(self) -> None:
        """Empty the memory."""
        self._remember([self.get_buffer(f"batch_{age}")[:0] for age in range(self.memory)])

    def _remember(self, batches: list[Tensor]) -> None:
        for age in range(self.memory):
            setattr(self, f"batch_{age}", batches[age])

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """Take over the number of remembered rows from the state, which changes from batch to batch."""
        for age in range(self.memory):
            buffer = self.get_buffer(f"batch_{age}")
            saved = state_dict.get(f"{prefix}batch_{age}")
            if isinstance(saved, Tensor) and saved.shape[1:] == buffer.shape[1:]:
                setattr(self, f"batch_{age}", buffer.new_empty(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)
