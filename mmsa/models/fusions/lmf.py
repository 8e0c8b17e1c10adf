"""Low-rank fusion: Liu et al., "Efficient Low-rank Multimodal Fusion", ACL 2018."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from torch import nn
from torch.nn.functional import pad

from mmsa.config import Named
from mmsa.data.corpus import ModalityName
from mmsa.models.encoded import Encoded
from mmsa.models.encoders import Dropout, Width
from mmsa.models.fusions.base import FUSIONS, Fused, Fusion
from mmsa.models.layers import UniformDropout, initialise_xavier


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
