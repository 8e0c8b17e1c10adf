"""The representations of the epoch before, from which neighbours make product batches.

Shapes: N rows of the bank, B of a batch, D_c the width of column c, W of all columns, M anchors, K
neighbours, P = M K rows of a product batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmsa.information.neighbours import Triples, draw_anchors, nearest_neighbours, search_points
from mmsa.seeding import derive_seed

Condition = tuple[str, str, str]
"""The columns x, y and z of I(x; y | z)."""


class FeatureBank(nn.Module):
    """Rows of named columns, detached and on the device they came from.

    What ``remember`` is given arrives aside, and takes the place of the rows at ``turn_over``, so that the
    rows stay the same over an epoch and their neighbours are searched once. Rows, arrivals and the number of
    product batches so far are in the state dict.
    """

    rows: Tensor
    arriving: Tensor

    def __init__(self, widths: Mapping[str, int], seed: int):
        super().__init__()
        self.widths, self.seed = dict(widths), seed
        self.arrived = self.draws = 0
        self.register_buffer("rows", torch.empty(0, sum(widths.values())))
        self.register_buffer("arriving", torch.empty(0, sum(widths.values())))
        self._nearest: dict[tuple[str, int], Tensor] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def remember(self, columns: Mapping[str, Tensor]) -> None:
        """Add a batch of (B, D_c) columns; they become rows at the next ``turn_over``."""
        batch_BW = torch.cat([columns[name].detach() for name in self.widths], 1)
        end = self.arrived + len(batch_BW)
        if end > len(self.arriving):
            grown_NW = self.arriving.new_zeros(max(end, 2 * self.arrived), batch_BW.shape[1])
            grown_NW[: self.arrived] = self.arriving[: self.arrived]
            self.arriving = grown_NW
        self.arriving[self.arrived : end] = batch_BW
        self.arrived = end

    def turn_over(self) -> None:
        """Replace the rows by what has arrived since the last time, if anything has."""
        if self.arrived:
            self.rows = self.arriving[: self.arrived].clone()
            self.arriving = torch.zeros_like(self.rows)
            self.arrived = 0
            self._nearest.clear()

    def product_batches(self, conditions: Mapping[str, Condition], size: int, k: int) -> dict[str, Triples]:
        """About ``size`` samples of p(x|z) p(y, z) for each I(x; y | z) of ``conditions``.

        As ``mmsa.information.neighbours.product_batch``; one draw of anchors serves all of them.

        Raises:
            DataError: for a bank too small for the anchors or the neighbours.
        """
        generator = torch.Generator(self.rows.device)
        generator.manual_seed(derive_seed("product batch", self.seed, self.draws))
        if self.training:
            self.draws += 1
        anchors_M = draw_anchors(len(self), size, k, generator)
        columns = self._columns(self.rows)
        anchored = self._columns(self.rows[anchors_M.repeat_interleave(k)])
        nearest = {z: self.nearest(z, k)[anchors_M].flatten() for _, _, z in conditions.values()}
        return {
            name: Triples(columns[x][nearest[z]], anchored[y], anchored[z])
            for name, (x, y, z) in conditions.items()
        }

    def nearest(self, name: str, k: int) -> Tensor:
        """Indices (N, K) of the rows nearest to each row in a column; searched once and kept.

        An epoch asks for about as many anchors as there are rows, and one search of all of them is faster.
        """
        if (name, k) not in self._nearest:
            everything_N = torch.arange(len(self), device=self.rows.device)
            self._nearest[name, k] = nearest_neighbours(self.search_points(name), everything_N, k)
        return self._nearest[name, k]

    def search_points(self, name: str) -> Tensor:
        """A column as neighbours see it, (N, D_c)."""
        return search_points(self._columns(self.rows)[name], derive_seed("ties", self.seed))

    def triples(self, condition: Condition) -> Triples:
        """The rows as samples of the three columns."""
        columns = self._columns(self.rows)
        return Triples(*(columns[name] for name in condition))

    def _columns(self, rows_NW: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.widths, torch.split(rows_NW, list(self.widths.values()), 1), strict=True))

    def get_extra_state(self) -> Tensor:
        """How many rows have arrived, and product batches been drawn; kept on the host."""
        return torch.tensor([self.arrived, self.draws])

    def set_extra_state(self, state: Tensor) -> None:
        """Continue counting."""
        self.arrived, self.draws = state.tolist()

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """Take over the numbers of rows from the state."""
        for name in ("rows", "arriving"):
            buffer, saved = self.get_buffer(name), state_dict.get(prefix + name)
            if isinstance(saved, Tensor) and saved.shape[1:] == buffer.shape[1:]:
                setattr(self, name, buffer.new_empty(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self._nearest.clear()
