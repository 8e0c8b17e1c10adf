"""Conditional information as what x saves in describing y, once z is known."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from mmsa.config import Named, one_of
from mmsa.information.conditional import CONDITIONAL_ESTIMATORS, ConditionalEstimator
from mmsa.information.conditional_densities import (
    CONDITIONAL_DENSITIES,
    ConditionalDensity,
    DiagonalGaussian,
    conditional_density,
)
from mmsa.information.distributed import gather_rows
from mmsa.information.estimators import Spec, Value, refuse_fewer_than_two
from mmsa.information.gradients import frozen
from mmsa.information.neighbours import Triples


@CONDITIONAL_ESTIMATORS.register("cmi_cross_entropy")
class CrossEntropyDifference(ConditionalEstimator):
    """E log q(y|x, z) - E log q(y|z): cross-entropy of y without x, less that with x.

    The entropy of y cancels, so no ceiling comes from the batch and no bank is needed; meant for a y of few
    features, such as the label. Read on rows that fitted neither density it is the held-out gain, which errs
    by what q(y|x, z) misses less what q(y|z) misses, hence is no bound. For classes see
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
        """The negative saving as a loss; q(y|z) is fitted apart, and the bank is not used."""
        x_ND, y_ND, z_ND = triples
        with frozen(self.rest):
            without_N = self.rest.log_density(z_ND, y_ND)
        saving_N = self.whole.log_density(torch.cat([x_ND, z_ND], 1), y_ND) - without_N
        saving_N = gather_rows(saving_N, self.group)
        refuse_fewer_than_two(len(saving_N))
        saving = saving_N.mean()
        return Value(-saving, saving.detach(), self.ceiling(len(saving_N)))

    def inner_loss(self, triples: Triples, bank: Triples) -> Tensor:
        """-mean log q(y|z)."""
        (_, y_ND, z_ND), _ = self._checked(triples, bank)
        return -gather_rows(self.rest.log_density(z_ND, y_ND), self.group).mean()

    def inner_parameters(self) -> list[nn.Parameter]:
        """Those of q(y|z)."""
        return list(self.rest.parameters())
