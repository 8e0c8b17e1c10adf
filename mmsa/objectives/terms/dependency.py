"""Dependency of the modalities in the fused vector (Colombo et al., "Improving Multimodal fusion via Mutual
Dependency Maximisation", EMNLP 2021). After the paper: no code is public.

Shapes: B rows, D the width of the fused vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from mmsa.data.targets import Targets
from mmsa.information.conditional import conditional_dv, conditional_nwj
from mmsa.information.critics import MLPConfig, mlp
from mmsa.models.base import RepresentationDims, Representations
from mmsa.objectives.base import TERMS, Term, TermConfig, TermValue
from mmsa.objectives.terms.vectors import modality_pairs, nothing


def wasserstein(joint_B: Tensor, shuffled_B: Tensor) -> Tensor:
    """Kantorovich-Rubinstein reading; its statistic must be 1-Lipschitz."""
    return joint_B.mean() - shuffled_B.mean()


_MEASURES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "kl": conditional_dv,
    "f": conditional_nwj,
    "wasserstein": wasserstein,
}


@TERMS.register("dependency")
class Dependency(Term):
    """Minus a lower bound on D(p || q), p of fused vectors and q of those fused from shuffled modalities.

    In q each modality of a row comes from another row of the batch. The bound reads a statistic T of both,
    which is the group ``estimator``. It is in nats for ``kl`` and ``f``; ``wasserstein`` has the unit of the
    fused vector.
    """

    class Config(TermConfig):
        """The measure, and the network T."""

        measure: Literal["kl", "f", "wasserstein"] = "kl"
        """``kl``: E_p T - ln E_q e^T (Donsker-Varadhan); ``f``: E_p T - E_q e^(T - 1) (NWJ);
        ``wasserstein``: E_p T - E_q T with spectrally normalised layers."""
        statistic: MLPConfig = MLPConfig()

    requests = frozenset({"shuffled"})

    def __init__(self, config: Config, dims: RepresentationDims):
        super().__init__()
        modality_pairs("dependency", dims)
        self.measure = config.measure
        self.bound = _MEASURES[config.measure]
        self.statistic = mlp(config.statistic, dims.fusion, 1)
        if config.measure != "f":
            self.statistic[-1].register_parameter("bias", None)  # differences do not see it
        if config.measure == "wasserstein":
            for layer in self.statistic:
                if isinstance(layer, nn.Linear):
                    spectral_norm(layer)

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """Minus the bound; monitor ``bound/dependency``, in nats, except for ``wasserstein``."""
        vectors = (representations.fusion, representations.extra["shuffled"])
        if len(targets) < 2:
            return TermValue(nothing(vectors))
        bound = self.bound(*self.statistic(torch.cat(vectors)).squeeze(1).chunk(2))
        monitors = {} if self.measure == "wasserstein" else {"bound/dependency": bound.detach()}
        return TermValue(-bound, monitors)

    def estimator_loss(self, representations: Representations, targets: Targets) -> Tensor | None:
        """Minus the bound."""
        return self(representations, targets).loss if len(targets) > 1 else None

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """``estimator``: the statistic."""
        return {"estimator": list(self.statistic.parameters())}
