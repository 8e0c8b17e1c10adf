"""Input-level information of MMIM: a Barber-Agakov bound on the information between modalities.

I(X; Y) >= E[log q(y|x)] + H(Y), with a Gaussian q whose mean and log-variance are predicted from x. Both
parts have to be of one variable: with the density of the vector and the entropy of its projection to fewer
dimensions, the sum grows without limit as the encoder of Y shrinks its output, and training drives it there.
Shapes: B rows of a batch, D the width of Y, P of what is predicted of it.
"""

from __future__ import annotations

from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from mmsa.data.corpus import ModalityName
from mmsa.data.targets import Targets
from mmsa.errors import ConfigError, Problem
from mmsa.information.densities import gaussian_log_density, gaussian_log_density_mmim_code
from mmsa.models.base import RepresentationDims, Representations
from mmsa.models.layers import initialise_xavier
from mmsa.objectives.base import TERMS, Term, TermConfig, TermValue
from mmsa.objectives.terms.polarity import PolarityEntropy, Projection

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

    def __init__(self, config: Config, dims: RepresentationDims):
        """Build the predictors of the pairs whose modalities are both present.

        Raises:
            ConfigError: where there is no such pair.
        """
        super().__init__()
        self.full = config.likelihood == "full"
        pairs = (*_PAIRS, _VISION_TO_AUDIO) if config.vision_to_audio else _PAIRS
        self.pairs = tuple((x, y) for x, y in pairs if x in dims.unimodal and y in dims.unimodal)
        if not self.pairs:
            raise _no_pair(dims)
        widths = dims.unimodal
        self.entropies = nn.ModuleDict()
        self.predictors = nn.ModuleDict()
        for x, y in self.pairs:
            if y not in self.entropies:
                self.entropies[y] = PolarityEntropy(widths[y], config.projection, config.memory)
            target = self._entropy(y).width if self.full else widths[y]
            self.predictors[f"{x}_{y}"] = GaussianPredictor(widths[x], widths[y], target)

    def _entropy(self, name: ModalityName) -> PolarityEntropy:
        return cast(PolarityEntropy, self.entropies[name])

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """Minus the mean bound; monitors ``bound/barber_agakov/<x>_<y>`` in nats and ``entropy/skipped``."""
        unimodal = representations.unimodal
        ys = dict.fromkeys(y for _, y in self.pairs)
        projected = {y: self._entropy(y).project(unimodal[y]) for y in ys}
        entropies = {y: self._entropy(y)(y_BP, targets.labels) for y, y_BP in projected.items()}
        bounds = {}
        for x, y in self.pairs:
            prediction = self.predictors[f"{x}_{y}"](unimodal[x])
            log_density_B = self._log_density(projected[y] if self.full else unimodal[y], prediction)
            bounds[f"{x}_{y}"] = log_density_B.mean() + entropies[y][0]
        monitors = {"entropy/skipped": torch.stack([skipped for _, skipped in entropies.values()]).sum()}
        if self.full:
            monitors |= {f"bound/barber_agakov/{pair}": bound.detach() for pair, bound in bounds.items()}
        return TermValue(-torch.stack(list(bounds.values())).mean(), monitors)

    def estimator_loss(self, representations: Representations, targets: Targets) -> Tensor:
        """Minus the mean log-likelihood of the pairs."""
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
