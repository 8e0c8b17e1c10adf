"""Estimators that score pairs with a critic. For sources see the functions in ``mmsa.information.bounds``."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from mmsa.config import Named, one_of
from mmsa.information import bounds
from mmsa.information.critics import CRITICS, MLPConfig, SeparableCritic, mlp
from mmsa.information.estimators import ESTIMATORS, Estimator, Spec, Value, refuse_fewer_than_two
from mmsa.information.gradients import gather_rows

LOG_2 = math.log(2)


class ScoreConfig(Named):
    """Settings shared by every estimator with a critic."""

    critic: Annotated[Named, one_of(CRITICS)] = SeparableCritic.Config()


class ScoreEstimator(Estimator):
    """Base class: an objective on the score matrix, which is maximised, and a reading of it."""

    def __init__(self, config: ScoreConfig, x_dim: int, y_dim: int):
        super().__init__()
        self.critic = CRITICS[config.critic.name](config.critic, x_dim, y_dim)

    def scores(self, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """Return the (N, N) score matrix of the whole batch. Each process scores its own rows."""
        columns_CE = gather_rows(self.critic.embed_y(y_ND), self.group)
        refuse_fewer_than_two(len(columns_CE))
        return gather_rows(self.critic.score(self.critic.embed_x(x_ND), columns_CE), self.group)

    def estimate(self, x_ND: Tensor, y_ND: Tensor) -> Value:
        """Return the negative objective as the loss."""
        scores_NN = self.scores(x_ND, y_ND)
        objective = self.objective(scores_NN, x_ND, y_ND)
        with torch.no_grad():
            monitor = self.reading(scores_NN, objective)
        return Value(-objective, monitor.detach(), self.ceiling(len(scores_NN)))

    def objective(self, scores_NN: Tensor, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """Return what is maximised, a scalar.

        Args:
            scores_NN: The scores of the whole batch.
            x_ND: The rows of this process.
            y_ND: Their partners.
        """
        raise NotImplementedError

    def reading(self, scores_NN: Tensor, objective: Tensor) -> Tensor:
        """Return the monitor. Unless the estimator reads something else, it is the objective."""
        return objective


@ESTIMATORS.register("infonce")
class InfoNCE(ScoreEstimator):
    """InfoNCE, the objective of CPC. Of all bounds it has the least variance, and it cannot exceed ln N."""

    class Config(ScoreConfig):
        """Softmax of InfoNCE."""

        name: Literal["infonce"] = "infonce"
        temperature: Annotated[float, Field(gt=0.0, le=10.0)] = 1.0
        """Divides the scores; should be well below 1 with a critic that gives cosines."""
        symmetric: bool = False
        """Average the softmax over y for each x with the one over x for each y."""

    spec = Spec("loss", "lower", "gather", ceiling=math.log)

    def __init__(self, config: Config, x_dim: int, y_dim: int):
        super().__init__(config, x_dim, y_dim)
        self.temperature, self.symmetric = config.temperature, config.symmetric

    def objective(self, scores_NN: Tensor, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """The bound."""
        return bounds.infonce(scores_NN, self.temperature, self.symmetric)

    def ceiling(self, n: int) -> float:
        """ln n, less what limited scores cannot reach: ln(1 + (n - 1) e^(-range / temperature))."""
        return math.log(n) - math.log1p((n - 1) * math.exp(-self.critic.score_range / self.temperature))


@ESTIMATORS.register("infonce_anchor")
class InfoNCEAnchor(ScoreEstimator):
    """InfoNCE with an anchor class, which learns the density ratio itself and reads it. It has no ceiling."""

    class Config(ScoreConfig):
        """Weight of the anchor."""

        name: Literal["infonce_anchor"] = "infonce_anchor"
        anchor: Annotated[float, Field(gt=0.0, le=100.0)] = 1.0
        """Weight of the class "none of the candidates", against 1 for each candidate."""

    spec = Spec("loss", "plugin", "mean", reversible=True)

    def __init__(self, config: Config, x_dim: int, y_dim: int):
        super().__init__(config, x_dim, y_dim)
        self.anchor = config.anchor

    def objective(self, scores_NN: Tensor, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """Log-likelihood of the classifier."""
        return bounds.infonce_anchor(scores_NN, self.anchor)

    def reading(self, scores_NN: Tensor, objective: Tensor) -> Tensor:
        """The mean log ratio of the joint pairs."""
        return bounds.plugin(scores_NN)


@ESTIMATORS.register("jsd")
class JensenShannon(ScoreEstimator):
    """Jensen-Shannon divergence of joint and product pairs (DIM), which is not on the scale of information.

    ``gan_dime`` and ``jsd_lb`` train the same critic and read it differently. Their states are
    interchangeable.
    """

    class Config(ScoreConfig):
        """No settings beyond the critic."""

        name: Literal["jsd"] = "jsd"

    spec = Spec("loss", "surrogate", "mean", ceiling=lambda n: LOG_2, reversible=True)

    def objective(self, scores_NN: Tensor, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """The divergence."""
        return bounds.jsd(scores_NN)


@ESTIMATORS.register("gan_dime")
class GanDime(JensenShannon):
    """The critic of ``jsd``, read as the mean log ratio of the joint pairs (Letizia et al. 2024)."""

    class Config(ScoreConfig):
        """No settings beyond the critic."""

        name: Literal["gan_dime"] = "gan_dime"

    spec = Spec("loss", "plugin", "mean", reversible=True)

    def reading(self, scores_NN: Tensor, objective: Tensor) -> Tensor:
        """The mean log ratio of the joint pairs."""
        return bounds.plugin(scores_NN)


@ESTIMATORS.register("jsd_lb")
class JensenShannonLowerBound(JensenShannon):
    """The critic of ``jsd``, read as the least information that its divergence allows."""

    class Config(ScoreConfig):
        """No settings beyond the critic."""

        name: Literal["jsd_lb"] = "jsd_lb"

    spec = Spec("loss", "lower", "mean")

    def reading(self, scores_NN: Tensor, objective: Tensor) -> Tensor:
        """The bound."""
        return bounds.jsd_lower_bound(objective).to(objective.dtype)


@ESTIMATORS.register("nwj")
class NWJ(ScoreEstimator):
    """NWJ, an unbiased lower bound whose variance grows as e^information; not usable above about 5 nats."""

    class Config(ScoreConfig):
        """No settings beyond the critic."""

        name: Literal["nwj"] = "nwj"

    spec = Spec("loss", "lower", "mean")

    def objective(self, scores_NN: Tensor, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """The bound."""
        return bounds.nwj(scores_NN)


class BaselineConfig(ScoreConfig):
    """A critic and a learned baseline."""

    baseline: MLPConfig = MLPConfig()
    """The network a(x)."""


class BaselineEstimator(ScoreEstimator):
    """Base of the bounds with a learned baseline log a(x)."""

    def __init__(self, config: BaselineConfig, x_dim: int, y_dim: int):
        super().__init__(config, x_dim, y_dim)
        self.baseline = mlp(config.baseline, x_dim, 1)

    def log_baseline(self, x_ND: Tensor) -> Tensor:
        """Return log a(x) of the whole batch, (N,)."""
        return gather_rows(self.baseline(x_ND).squeeze(1), self.group)


@ESTIMATORS.register("tuba")
class TUBA(BaselineEstimator):
    """NWJ with a learned baseline, which reduces its variance."""

    class Config(BaselineConfig):
        """Critic and baseline."""

        name: Literal["tuba"] = "tuba"

    spec = Spec("loss", "lower", "mean")

    def objective(self, scores_NN: Tensor, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """The bound."""
        return bounds.tuba(scores_NN, self.log_baseline(x_ND))


@ESTIMATORS.register("interpolated")
class Interpolated(BaselineEstimator):
    """Trades the bias of InfoNCE for the variance of TUBA. For estimation, use a small alpha."""

    class Config(BaselineConfig):
        """Critic, baseline and where between them."""

        name: Literal["interpolated"] = "interpolated"
        alpha: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
        """1 is InfoNCE, 0 is TUBA."""

    spec = Spec("loss", "lower", "mean")

    def __init__(self, config: Config, x_dim: int, y_dim: int):
        super().__init__(config, x_dim, y_dim)
        self.alpha = config.alpha

    def objective(self, scores_NN: Tensor, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """The bound."""
        return bounds.interpolated(scores_NN, self.log_baseline(x_ND), self.alpha)

    def ceiling(self, n: int) -> float:
        """ln n at alpha 1; 1 + ln(n / alpha) below, which a batch can reach but no mean of batches."""
        if self.alpha == 0:
            return math.inf
        return math.log(n) if self.alpha == 1 else 1 + math.log(n / self.alpha)


@ESTIMATORS.register("dv")
class DonskerVaradhan(ScoreEstimator):
    """Donsker-Varadhan. On small batches it is biased upwards, and its variance explodes."""

    class Config(ScoreConfig):
        """No settings beyond the critic."""

        name: Literal["dv"] = "dv"

    spec = Spec("loss", "lower", "logmeanexp")

    def objective(self, scores_NN: Tensor, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """The bound."""
        return bounds.dv(scores_NN)


@ESTIMATORS.register("mine")
class MINE(ScoreEstimator):
    """Donsker-Varadhan with the gradient's denominator averaged over batches."""

    class Config(ScoreConfig):
        """How far the average reaches back."""

        name: Literal["mine"] = "mine"
        rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
        """Weight of the current batch in the running average of E_q e^f."""

    spec = Spec("loss", "lower", "logmeanexp")
    log_average: Tensor
    steps: Tensor

    def __init__(self, config: Config, x_dim: int, y_dim: int):
        super().__init__(config, x_dim, y_dim)
        self.rate = config.rate
        self.register_buffer("log_average", torch.tensor(-math.inf))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def objective(self, scores_NN: Tensor, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """The bound; while training, with MINE's gradient."""
        if not self.training:
            return bounds.dv(scores_NN)
        return bounds.mine(scores_NN, self._counted_in(bounds.logmeanexp_off_diagonal(scores_NN.detach())))

    def _counted_in(self, log_mean: Tensor) -> Tensor:
        """Add one batch to the running average, and return its log, corrected for the start at 0."""
        # In the log domain: e^f of an early, badly scaled critic would overflow the average for good.
        kept, added = math.log1p(-self.rate) if self.rate < 1 else -math.inf, math.log(self.rate)
        self.log_average.copy_(torch.logaddexp(self.log_average + kept, log_mean + added))
        self.steps += 1
        return self.log_average - torch.log1p(-((1 - self.rate) ** self.steps))


@ESTIMATORS.register("smile")
class SMILE(ScoreEstimator):
    """Trains a Jensen-Shannon critic and reads a clipped Donsker-Varadhan value, which bounds neither way."""

    class Config(ScoreConfig):
        """Where the partition function is clipped."""

        name: Literal["smile"] = "smile"
        clip: Annotated[float, Field(gt=0.0, le=50.0)] = 5.0
        """Scores of product pairs are clipped to [-clip, clip]: small values overestimate, large vary."""

    spec = Spec("loss", "plugin", "logmeanexp", reversible=True)

    def __init__(self, config: Config, x_dim: int, y_dim: int):
        super().__init__(config, x_dim, y_dim)
        self.clip = config.clip

    def objective(self, scores_NN: Tensor, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """SMILE's value with the Jensen-Shannon gradient."""
        # Straight through: the value is the clipped one, the gradient that of the divergence, which does not
        # vanish where scores are clipped.
        trained = bounds.jsd(scores_NN)
        return trained + (bounds.smile(scores_NN, self.clip) - trained).detach()


@ESTIMATORS.register("flo")
class FLO(ScoreEstimator):
    """Fenchel-Legendre bound, in which a second network u(x, y) replaces the log-partition function."""

    class Config(ScoreConfig):
        """Critic and second network."""

        name: Literal["flo"] = "flo"
        pointwise: MLPConfig = MLPConfig()
        """The network u(x, y)."""

    spec = Spec("loss", "lower", "mean")

    def __init__(self, config: Config, x_dim: int, y_dim: int):
        super().__init__(config, x_dim, y_dim)
        self.pointwise = mlp(config.pointwise, x_dim + y_dim, 1)

    def objective(self, scores_NN: Tensor, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """The bound."""
        pointwise_N = self.pointwise(torch.cat([x_ND, y_ND], 1)).squeeze(1)
        return bounds.flo(scores_NN, gather_rows(pointwise_N, self.group))
