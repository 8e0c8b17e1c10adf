"""Estimators of conditional information I(X; Y | Z).

``cmi_knn`` and its other readings (CMINE, Molavipour et al. 2020) train a classifier between the batch and a
product batch that nearest neighbours make from a feature bank; the logit estimates the log ratio
p(x, y, z) / p(x|z) p(y, z). ``cmi_difference`` and ``cmi_cross_entropy`` need no bank: I(X; Y, Z) - I(X; Z),
and what x saves in describing y once z is known.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from mmsa.config import Named, one_of, refuse
from mmsa.information.bounds import soft_cap
from mmsa.information.critics import MLPConfig, mlp
from mmsa.information.densities import (
    CONDITIONAL_DENSITIES,
    ConditionalDensity,
    DiagonalGaussian,
    conditional_density,
)
from mmsa.information.estimators import (
    ESTIMATORS,
    EstimatorModule,
    Spec,
    Value,
    refuse_fewer_than_two,
    refuse_mismatch,
)
from mmsa.information.gradients import frozen, gather_rows
from mmsa.information.neighbours import Triples, product_batch
from mmsa.information.score_estimators import GanDime
from mmsa.registry import Registry
from mmsa.seeding import derive_seed

CONDITIONAL_ESTIMATORS: Registry[ConditionalEstimator] = Registry("conditional information estimator")


def conditional_jsd(joint_J: Tensor, product_P: Tensor) -> Tensor:
    """Lower bound on the Jensen-Shannon divergence of joint and product batch, ln 2 - cross-entropy.

    Examples:
        >>> conditional_jsd(torch.tensor([2.0, 2.0]), torch.tensor([-2.0]))
        tensor(0.5662)
    """
    return math.log(2) - 0.5 * (F.softplus(-joint_J).mean() + F.softplus(product_P).mean())


def conditional_dv(joint_J: Tensor, product_P: Tensor) -> Tensor:
    """Donsker-Varadhan reading of the logits, in nats.

    Examples:
        >>> conditional_dv(torch.tensor([2.0, 2.0]), torch.tensor([0.0]))
        tensor(2.)
    """
    return joint_J.mean() - (product_P.logsumexp(0) - math.log(len(product_P)))


def conditional_nwj(joint_J: Tensor, product_P: Tensor) -> Tensor:
    """NWJ reading of the logits, which are capped softly, in nats.

    Examples:
        >>> conditional_nwj(torch.tensor([2.0, 2.0]), torch.tensor([0.0]))
        tensor(2.)
    """
    return 1 + soft_cap(joint_J).mean() - soft_cap(product_P).exp().mean()


def conditional_mimrl_code(joint_J: Tensor, product_P: Tensor) -> Tensor:
    """Formula of MIMRL's released code, 1 + 1/2 mean log r(joint) - 1/2 mean *log* r(product).

    Here r = g / (1 - g + 1e-6), with g the sigmoid of the logit clamped to +-10. An ideal classifier gives
    1 + 1/2 (KL(p || q) + KL(q || p)), so that the number is no information.

    Examples:
        >>> conditional_mimrl_code(torch.zeros(2), torch.zeros(1))  # of independent variables
        tensor(1.)
    """

    def log_ratio(logits: Tensor) -> Tensor:
        clamped = logits.clamp(-10, 10)
        return F.logsigmoid(clamped) - torch.log(torch.sigmoid(-clamped) + 1e-6)

    return 1 + 0.5 * log_ratio(joint_J).mean() - 0.5 * log_ratio(product_P).mean()


class ConditionalEstimator(EstimatorModule, ABC):
    """Base class of all estimators of I(X; Y | Z).

    An estimator is built from its ``Config`` and the numbers of features of x, y and z.

    Attributes:
        needs_bank: Whether it reads the bank. If not, any triples will do.
    """

    needs_bank: ClassVar[bool] = False

    def forward(self, triples: Triples, bank: Triples) -> Value:
        """Estimate the conditional information of one batch.

        Args:
            triples: The batch, one row per sample.
            bank: Samples to make product batches of, detached and the same in all processes.

        Raises:
            DataError: If the inputs are not matrices with the same number of rows, or the bank is too small.
        """
        return self.estimate(*self._checked(triples, bank))

    @abstractmethod
    def estimate(self, triples: Triples, bank: Triples) -> Value:
        """Do the work of ``forward`` on checked inputs in the precision of the parameters."""

    @abstractmethod
    def inner_loss(self, triples: Triples, bank: Triples) -> Tensor | None:
        """Return the loss that fits the inner parameters to detached inputs, or None if there are none."""

    def _checked(self, triples: Triples, bank: Triples) -> tuple[Triples, Triples]:
        for samples in (triples, bank):
            refuse_mismatch(x=samples.x, y=samples.y, z=samples.z)
        convert = self.in_precision_of_parameters
        return Triples(*convert(*triples)), Triples(*convert(*bank))


class NeighbourConfig(Named):
    """Settings shared by all readings of the neighbour classifier."""

    classifier: MLPConfig = MLPConfig()
    k: Annotated[int, Field(ge=1, le=100)] = 2
    """Neighbours per anchor. The product batch holds (batch size / k) different (y, z)."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the choice of anchors."""


@CONDITIONAL_ESTIMATORS.register("cmi_knn")
class NeighbourClassifier(ConditionalEstimator):
    """Classifier of joint against product batch, read as the mean log ratio of the joint one (CMINE's LDR).

    Gradients reach a representation through the joint half only. The draw of a product batch depends on the
    seed and the number of batches so far, hence not on the process that makes it.
    """

    class Config(NeighbourConfig):
        """Classifier and neighbours."""

        name: Literal["cmi_knn"] = "cmi_knn"

    spec = Spec("loss", "plugin", "mean", reversible=True)
    needs_bank = True

    def __init__(self, config: NeighbourConfig, x_dim: int, y_dim: int, z_dim: int):
        super().__init__()
        self.k, self.seed = config.k, config.seed
        self.classifier = mlp(config.classifier, x_dim + y_dim + z_dim, 1)
        self.draws = 0

    def get_extra_state(self) -> Tensor:
        """Return how many product batches were drawn in training, on the host, where it seeds the next."""
        return torch.tensor(self.draws)

    def set_extra_state(self, state: Tensor) -> None:
        """Continue the sequence of draws."""
        self.draws = int(state)

    def logits(self, triples: Triples, bank: Triples) -> tuple[Tensor, Tensor]:
        """Return logits of the joint batch (J,) and of a product batch (P,). Each process does its part."""
        joint_J = gather_rows(self._logit(triples), self.group)
        refuse_fewer_than_two(len(joint_J))
        generator = torch.Generator(bank.z.device)
        generator.manual_seed(derive_seed("product batch", self.seed, self.draws))
        if self.training:
            self.draws += 1
        product = product_batch(bank, len(joint_J), self.k, generator)
        rank, processes = (0, 1) if self.group is None else (self.group.rank(), self.group.size())
        own = Triples(*(part.tensor_split(processes)[rank] for part in product))
        return joint_J, gather_rows(self._logit(own), self.group)

    def _logit(self, triples: Triples) -> Tensor:
        logit_N1: Tensor = self.classifier(torch.cat(triples, 1))
        return logit_N1.squeeze(1)

    def estimate(self, triples: Triples, bank: Triples) -> Value:
        """Return the cross-entropy of the classifier as the loss."""
        joint_J, product_P = self.logits(triples, bank)
        loss = -conditional_jsd(joint_J, product_P)
        monitor = self.reading(joint_J.detach(), product_P.detach())
        return Value(loss, monitor, self.ceiling(len(joint_J)))

    @staticmethod
    def reading(joint_J: Tensor, product_P: Tensor) -> Tensor:
        """The monitor."""
        return joint_J.mean()

    def inner_loss(self, triples: Triples, bank: Triples) -> Tensor | None:
        """None: the classifier is fitted by the loss."""
        return None


@CONDITIONAL_ESTIMATORS.register("cmi_knn_dv")
class NeighbourDonskerVaradhan(NeighbourClassifier):
    """Classifier of ``cmi_knn``, read by Donsker-Varadhan."""

    class Config(NeighbourConfig):
        """Classifier and neighbours."""

        name: Literal["cmi_knn_dv"] = "cmi_knn_dv"

    spec = Spec("loss", "lower", "mean")

    @staticmethod
    def reading(joint_J: Tensor, product_P: Tensor) -> Tensor:
        """The bound."""
        return conditional_dv(joint_J, product_P)


@CONDITIONAL_ESTIMATORS.register("cmi_knn_nwj")
class NeighbourNWJ(NeighbourClassifier):
    """Classifier of ``cmi_knn``, read by NWJ."""

    class Config(NeighbourConfig):
        """Classifier and neighbours."""

        name: Literal["cmi_knn_nwj"] = "cmi_knn_nwj"

    spec = Spec("loss", "lower", "mean")

    @staticmethod
    def reading(joint_J: Tensor, product_P: Tensor) -> Tensor:
        """The bound."""
        return conditional_nwj(joint_J, product_P)


@CONDITIONAL_ESTIMATORS.register("cmi_knn_mimrl_code")
class NeighbourMIMRLCode(NeighbourClassifier):
    """Procedure of MIMRL: a classifier fitted separately, and read by a formula that is no information."""

    class Config(NeighbourConfig):
        """Classifier and neighbours."""

        name: Literal["cmi_knn_mimrl_code"] = "cmi_knn_mimrl_code"

    spec = Spec("loss", "surrogate", "mean", unit=None)

    def estimate(self, triples: Triples, bank: Triples) -> Value:
        """Return minus the released formula as the loss."""
        with frozen(self.classifier):
            joint_J, product_P = self.logits(triples, bank)
            value = self.reading(joint_J, product_P)
        return Value(-value, value.detach(), self.ceiling(len(joint_J)))

    @staticmethod
    def reading(joint_J: Tensor, product_P: Tensor) -> Tensor:
        """The released formula."""
        return conditional_mimrl_code(joint_J, product_P)

    def inner_loss(self, triples: Triples, bank: Triples) -> Tensor:
        """Return the cross-entropy of the classifier."""
        return -conditional_jsd(*self.logits(*self._checked(triples, bank)))

    def inner_parameters(self) -> list[nn.Parameter]:
        """Those of the classifier."""
        return list(self.classifier.parameters())


@CONDITIONAL_ESTIMATORS.register("cmi_difference")
class Difference(ConditionalEstimator):
    """I(X; Y, Z) - I(X; Z), with two critics of the same kind. Their errors do not cancel."""

    class Config(Named):
        """The estimator of both terms."""

        name: Literal["cmi_difference"] = "cmi_difference"
        estimator: Annotated[Named, one_of(ESTIMATORS)] = GanDime.Config()
        """A plug-in estimator. Two bounds at the same ceiling would differ by nothing."""

        @model_validator(mode="after")
        def _is_a_plugin(self) -> Difference.Config:
            spec = ESTIMATORS[self.estimator.name].spec
            if not _is_plugin_loss(spec):
                known = [name for name in ESTIMATORS if _is_plugin_loss(ESTIMATORS[name].spec)]
                raise refuse(
                    self.estimator.name,
                    "is not a plug-in estimator; the difference of two bounds means nothing",
                    f"Use one of {', '.join(known)}.",
                    at=("estimator", "name"),
                )
            return self

    spec = Spec("loss", "plugin", "gather")

    def __init__(self, config: Config, x_dim: int, y_dim: int, z_dim: int):
        super().__init__()
        build = ESTIMATORS[config.estimator.name]
        self.whole = build(config.estimator, x_dim, y_dim + z_dim)
        self.condition = build(config.estimator, x_dim, z_dim)

    def estimate(self, triples: Triples, bank: Triples) -> Value:
        """Raise I(X; Y, Z) and lower I(X; Z). The bank is not used."""
        whole = self.whole(triples.x, torch.cat([triples.y, triples.z], 1))
        with frozen(self.condition):
            condition = self.condition(triples.x, triples.z)
        return Value(whole.loss - condition.loss, whole.monitor - condition.monitor, whole.ceiling)

    def inner_loss(self, triples: Triples, bank: Triples) -> Tensor:
        """Return the loss of the critic of I(X; Z), and of what either estimator fits separately."""
        triples, _ = self._checked(triples, bank)
        together_ND = torch.cat([triples.y, triples.z], 1)
        losses = [
            self.condition(triples.x, triples.z).loss,
            self.condition.inner_loss(triples.x, triples.z),
            self.whole.inner_loss(triples.x, together_ND),
        ]
        return torch.stack([loss for loss in losses if loss is not None]).sum()

    def inner_parameters(self) -> list[nn.Parameter]:
        """Parameters of I(X; Z), and the inner ones of I(X; Y, Z)."""
        return [*self.condition.parameters(), *self.whole.inner_parameters()]


def _is_plugin_loss(spec: Spec) -> bool:
    return (spec.role, spec.kind) == ("loss", "plugin")


@CONDITIONAL_ESTIMATORS.register("cmi_cross_entropy")
class CrossEntropyDifference(ConditionalEstimator):
    """E log q(y|x, z) - E log q(y|z), the cross-entropy of y without x less that with x.

    The entropy of y cancels, so that the batch sets no ceiling and no bank is needed. It is meant for a y of
    few features, such as the label. Read on rows that neither density was fitted to, it is the held-out gain.
    That errs by what q(y|x, z) misses less what q(y|z) misses, hence it is no bound. For classes see
    ``mmsa.information.target.decompose``.
    """

    class Config(Named):
        """The densities of both terms."""

        name: Literal["cmi_cross_entropy"] = "cmi_cross_entropy"
        conditional: Annotated[Named, one_of(CONDITIONAL_DENSITIES)] = DiagonalGaussian.Config()

    spec = Spec("loss", "plugin", "mean")

    def __init__(self, config: Config, x_dim: int, y_dim: int, z_dim: int):
        super().__init__()
        self.whole: ConditionalDensity = conditional_density(config.conditional, x_dim + z_dim, y_dim)
        self.rest: ConditionalDensity = conditional_density(config.conditional, z_dim, y_dim)

    def estimate(self, triples: Triples, bank: Triples) -> Value:
        """Return the negative saving as the loss. The inner loss fits q(y|z), and the bank is not used."""
        x_ND, y_ND, z_ND = triples
        with frozen(self.rest):
            without_N = self.rest.log_density(z_ND, y_ND)
        saving_N = self.whole.log_density(torch.cat([x_ND, z_ND], 1), y_ND) - without_N
        saving_N = gather_rows(saving_N, self.group)
        refuse_fewer_than_two(len(saving_N))
        saving = saving_N.mean()
        return Value(-saving, saving.detach(), self.ceiling(len(saving_N)))

    def inner_loss(self, triples: Triples, bank: Triples) -> Tensor:
        """Return -mean log q(y|z)."""
        (_, y_ND, z_ND), _ = self._checked(triples, bank)
        return -gather_rows(self.rest.log_density(z_ND, y_ND), self.group).mean()

    def inner_parameters(self) -> list[nn.Parameter]:
        """Those of q(y|z)."""
        return list(self.rest.parameters())
