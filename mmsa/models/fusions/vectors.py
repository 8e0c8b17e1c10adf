"""Fusions of one vector for each modality: side by side, averaged, or as an outer product (TFN, LMF).

TFN: Zadeh et al., EMNLP 2017. LMF: Liu et al., ACL 2018. Shapes: B rows, W_m the width of modality m, K
modalities, D the fused width, R the rank.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import pad

from mmsa.config import Named
from mmsa.data.corpus import ModalityName
from mmsa.models.base import Encoded
from mmsa.models.encoders import Dropout, Width
from mmsa.models.fusions.base import FUSIONS, Fused, Fusion, refused
from mmsa.models.layers import UniformDropout, initialise_xavier


@FUSIONS.register("mlp")
class MLPFusion(Fusion):
    """concat - dropout - linear - tanh - linear - tanh: the fusion network of MMIM (``SubNet``).

    What comes out of the first layer is offered as ``hidden``. Self-MM has ReLU instead of tanh.
    """

    class Config(Named):
        """Settings of the perceptron."""

        name: Literal["mlp"] = "mlp"
        width: Width = 128
        """Of both layers, ``d_prjh`` in MMIM's code."""
        dropout: Dropout = 0.1
        """On the concatenated vectors, ``dropout_prj`` in MMIM's code."""
        activation: Literal["tanh", "relu"] = "tanh"
        """After both layers."""

    def __init__(self, config: Config, widths: Mapping[ModalityName, int]):
        super().__init__(config, widths)
        self.output = config.width
        self.extra = {"hidden": config.width}
        activation = nn.Tanh() if config.activation == "tanh" else nn.ReLU()
        self.layers = nn.Sequential(
            UniformDropout(config.dropout),
            nn.Linear(sum(widths.values()), config.width),
            activation,
            nn.Linear(config.width, config.width),
            activation,
        )

    def forward(self, encoded: Mapping[ModalityName, Encoded]) -> Fused:
        """(B, D) of the second layer, and of the first."""
        hidden_BD = self.layers[:3](torch.cat([part.vector for part in encoded.values()], dim=-1))
        return Fused(self.layers[3:](hidden_BD), {"hidden": hidden_BD})


@FUSIONS.register("average")
class AverageFusion(Fusion):
    """sum_m w_m h_m, where the weights of the modalities that a row has add up to 1.

    A linear head on it predicts the same average of what it predicts from each modality: late fusion with one
    head that all have in common, as MLA needs it (strategy ``alternating``).
    """

    class Config(Named):
        """Where the weights come from."""

        name: Literal["average"] = "average"
        weights: Literal["learnt", "entropy"] = "learnt"
        """``learnt``: the softmax of a scalar for each modality, the same for all rows. ``entropy``: MLA's,
        w_m proportional to exp(-H_m), H_m the entropy of what the head predicts from modality m of the row:
        whoever is sure counts. A number that is predicted has no entropy."""

    averages = True
    fewest = 2

    def __init__(self, config: Config, widths: Mapping[ModalityName, int]):
        """Equal weights, if they are learnt.

        Raises:
            ConfigError: for modality vectors of different widths.
        """
        super().__init__(config, widths)
        if len(set(widths.values())) > 1:
            rule = f"averages vectors of one width, and these are of {dict(widths)}"
            raise refused(config, rule, "Give the output of every encoder of the model one value.")
        self.output = next(iter(widths.values()))
        self.by_entropy = config.weights == "entropy"
        if not self.by_entropy:
            self.mixture = nn.Parameter(torch.zeros(len(widths)))

    def forward(self, encoded: Mapping[ModalityName, Encoded], entropies_BK: Tensor | None = None) -> Fused:
        """(B, D); zero for a row without any modality. Entropies in nats, where weights come from them."""
        vectors_BKD = torch.stack([part.vector for part in encoded.values()], dim=1)
        there_BK = torch.stack([part.lengths > 0 for part in encoded.values()], dim=1)
        if (entropies_BK is not None) != self.by_entropy:
            raise TypeError("entropies are for weights that come from them")
        scores = -entropies_BK if entropies_BK is not None else cast(Tensor, self.mixture)
        logits_BK = scores.masked_fill(~there_BK, torch.finfo(scores.dtype).min)
        return Fused((logits_BK.softmax(1)[..., None] * vectors_BKD).sum(1))


@FUSIONS.register("tfn")
class TFN(Fusion):
    """The outer product of all [1; h_m] through two linear layers with ReLU.

    The published sub-networks that bring each modality to a small vector first are the encoders here: give
    ``output`` of each as little as the product of all needs. The published sizes are 128, 32 and 32. The
    first layer has ``width`` weights for each cell of the product, of which MMSA's settings for MOSEI have
    282,897 and those for CH-SIMS 1,094,049; ``--dry-run`` says what they take.
    """

    class Config(Named):
        """Settings of the layers behind the product."""

        name: Literal["tfn"] = "tfn"
        width: Width = 64
        dropout: Dropout = 0.5
        """On the product."""

    fewest = 2

    def __init__(self, config: Config, widths: Mapping[ModalityName, int]):
        super().__init__(config, widths)
        self.output = config.width
        cells = math.prod(width + 1 for width in widths.values())
        self.numbers_per_row = cells
        self.layers = nn.Sequential(
            UniformDropout(config.dropout),
            nn.Linear(cells, config.width),
            nn.ReLU(),
            nn.Linear(config.width, config.width),
            nn.ReLU(),
        )

    def forward(self, encoded: Mapping[ModalityName, Encoded]) -> Fused:
        """(B, D)."""
        first, *others = (pad(part.vector, (1, 0), value=1.0) for part in encoded.values())
        product_BC = first
        for factor in others:
            product_BC = torch.einsum("bc,bw->bcw", product_BC, factor).flatten(1)
        return Fused(self.layers(product_BC))


@FUSIONS.register("lmf")
class LMF(Fusion):
    """sum_r w_r prod_m ([1; h_m] W_mr) + b: TFN's product with a weight tensor of rank R.

    Unlike the released code, whose optimiser is given neither w nor b, everything here is trained.
    """

    class Config(Named):
        """Settings of the factors."""

        name: Literal["lmf"] = "lmf"
        width: Width = 64
        rank: Annotated[int, Field(ge=1, le=64)] = 3
        dropout: Dropout = 0.3
        """On the modality vectors."""

    fewest = 2

    def __init__(self, config: Config, widths: Mapping[ModalityName, int]):
        super().__init__(config, widths)
        self.output = config.width
        self.dropout = UniformDropout(config.dropout)
        self.factors = nn.ModuleDict(
            {
                name: nn.ParameterList(torch.empty(width + 1, config.width) for _ in range(config.rank))
                for name, width in widths.items()
            }
        )
        self.weights = nn.Parameter(torch.empty(1, config.rank))
        self.bias = nn.Parameter(torch.zeros(config.width))
        initialise_xavier(self.parameters())

    def forward(self, encoded: Mapping[ModalityName, Encoded]) -> Fused:
        """(B, D)."""
        product_RBD = torch.ones((), device=self.bias.device)
        for name, part in encoded.items():
            factors_RWD = torch.stack(list(cast(nn.ParameterList, self.factors[name])))
            product_RBD = product_RBD * (pad(self.dropout(part.vector), (1, 0), value=1.0) @ factors_RWD)
        return Fused(torch.einsum("r,rbd->bd", self.weights[0], product_RBD) + self.bias)
