"""Product batches for conditional information: y and z of an anchor, with the x of its neighbours in z.

Everything stays on the device of the bank: distances are one matrix product, and no index visits the host.
Shapes: N samples of the bank, M anchors, K neighbours, P = M K rows of a product batch, B rows of a batch,
D_c the width of column c, W of all columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsa.errors import DataError
from mmsa.seeding import derive_seed

_BLOCK = 64
_TIE_NOISE = 1e-3
_ANCHORS_AT_ONCE = 256
_FEW_COLUMNS = 32


class Triples(NamedTuple):
    """Samples of (x, y, z), one row each.

    Attributes:
        x: (N, D_x).
        y: (N, D_y).
        z: (N, D_z), what is known already.
    """

    x: Tensor
    y: Tensor
    z: Tensor


def nearest_neighbours(points_ND: Tensor, anchors_M: Tensor, k: int) -> Tensor:
    """Find the K points nearest to each anchor, itself excluded, in Euclidean distance.

    Among equally distant points any may be chosen.

    Args:
        points_ND: The points.
        anchors_M: Indices of the anchors.
        k: K.

    Returns:
        (M, K) indices of the neighbours.

    Examples:
        >>> nearest_neighbours(torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([0, 2]), k=1)
        tensor([[1],
                [1]])
    """
    centred_ND = points_ND - points_ND.mean(0)
    if centred_ND.shape[1] <= _FEW_COLUMNS:
        # Rows of one class are told apart by the noise on their ties alone, whose square is about what
        # float32 keeps of the products: few of them would be neighbours of all.
        centred_ND = centred_ND.double()
    width = max(1, min(_BLOCK, len(points_ND) // k))
    padding = -len(points_ND) % width
    squares_L = F.pad(centred_ND.square().sum(1), (0, padding), value=torch.inf)
    points_LD = F.pad(centred_ND, (0, 0, 0, padding))
    nearest = []
    for part_M in torch.split(anchors_M, _ANCHORS_AT_ONCE):
        distance_ML = torch.addmm(squares_L, points_LD[part_M], points_LD.T, alpha=-2)
        nearest.append(_smallest(distance_ML.scatter_(1, part_M[:, None], torch.inf), k, width))
    return torch.cat(nearest)


def _smallest(values_ML: Tensor, k: int, width: int) -> Tensor:
    """Return indices (M, K) of the K smallest values of each row, whose length is a multiple of ``width``."""
    # They lie in the K blocks of ``width`` columns with the smallest minima, and a minimum is much cheaper
    # than the selection that topk makes over a whole row.
    blocks_MBW = values_ML.reshape(len(values_ML), -1, width)
    chosen_MK = blocks_MBW.amin(2).topk(k, largest=False).indices
    candidates_MKW = blocks_MBW.gather(1, chosen_MK[:, :, None].expand(-1, -1, width))
    within_MK = candidates_MKW.flatten(1).topk(k, largest=False).indices
    return chosen_MK.gather(1, within_MK // width) * width + within_MK % width


def standardise(features_ND: Tensor) -> Tensor:
    """Divide each feature by its standard deviation. Constant features become 0.

    Examples:
        >>> standardise(torch.tensor([[0.0, 3.0], [4.0, 3.0]]))
        tensor([[0., 0.],
                [2., 0.]])
    """
    deviation_D = features_ND.std(0, correction=0)
    return torch.where(deviation_D > 0, features_ND / deviation_D, 0.0)


def search_points(features_ND: Tensor, seed: int) -> Tensor:
    """Prepare features for a search of neighbours: standardised, and rows of few values without ties.

    Few values have one feature, such as a score, and several that take few values together: half as many as
    there are rows or fewer, as classes do.
    """
    points_ND = standardise(features_ND)
    # Without noise, all anchors with one label would get the same few x; a thousandth of the deviation gives
    # equal labels random neighbours among themselves, a permutation within the class, and changes no other
    # order.
    noise_N1 = torch.randn((len(points_ND), 1), generator=torch.Generator().manual_seed(seed))
    noisy_ND = points_ND + _TIE_NOISE * noise_N1.to(points_ND)
    if features_ND.shape[1] == 1:
        return noisy_ND
    return torch.where(_mostly_tied(points_ND), noisy_ND, points_ND)


def _mostly_tied(points_ND: Tensor) -> Tensor:
    """Whether rows take few values for their number, found on the device: a step must not wait for it."""
    columns = torch.arange(1, points_ND.shape[1] + 1, device=points_ND.device)
    sums_N = (points_ND * columns.sqrt()).sum(1).sort().values  # the same of equal rows, and hardly of others
    return 2 * (1 + (sums_N.diff() != 0).sum()) <= len(points_ND)


def product_batch(bank: Triples, size: int, k: int, generator: torch.Generator) -> Triples:
    """Draw about ``size`` samples of p(x|z) p(y, z) by nearest neighbours (CMINE, Molavipour et al. 2020).

    ``size`` // k anchors (y, z) are drawn without replacement. Each is paired with the x of its k nearest
    neighbours in standardised z. Neighbours stop being local beyond about ten dimensions of z: the batch then
    drifts from p(x|z) p(y, z) towards p(x) p(y, z), and the conditional information is overestimated.

    Raises:
        DataError: If the bank is too small for the anchors or the neighbours.

    Examples:
        >>> column = torch.arange(4.0)[:, None]
        >>> batch = product_batch(Triples(column, column, column), 4, 2, torch.Generator().manual_seed(0))
        >>> batch.y.shape, bool((batch.x != batch.y).all())
        (torch.Size([4, 1]), True)
    """
    anchors_M = draw_anchors(len(bank.z), size, k, generator)
    points_ND = search_points(bank.z, derive_seed("ties", generator.initial_seed()))
    neighbours_MK = nearest_neighbours(points_ND, anchors_M, k)
    repeated_P = anchors_M.repeat_interleave(k)
    return Triples(bank.x[neighbours_MK.flatten()], bank.y[repeated_P], bank.z[repeated_P])


def draw_anchors(count: int, size: int, k: int, generator: torch.Generator) -> Tensor:
    """Draw ``size`` // k different samples out of ``count``, at least one, on the device of the generator.

    Raises:
        DataError: If there are too few samples for the anchors, or for k neighbours.
    """
    anchors = max(1, size // k)
    if count < max(anchors, k + 1):
        raise DataError(
            f"a bank of {count} samples cannot give {anchors} anchors with {k} neighbours each; "
            "fill it with more batches, or lower k or the batch size"
        )
    return torch.randperm(count, generator=generator, device=generator.device)[:anchors]


Condition = tuple[str, str, str]
"""The columns x, y and z of I(x; y | z)."""


class FeatureBank(nn.Module):
    """Representations of the epoch before, as rows of named columns, detached and on their device.

    Batches given to ``remember`` are collected separately and replace the rows at ``turn_over``, so that the
    rows stay the same during an epoch and their neighbours are searched once. Rows, collected batches and the
    number of product batches so far are in the state dict.
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
        """Collect a batch of (B, D_c) columns, which become rows at the next ``turn_over``."""
        batch_BW = torch.cat([columns[name].detach() for name in self.widths], 1)
        end = self.arrived + len(batch_BW)
        if end > len(self.arriving):
            grown_NW = self.arriving.new_zeros(max(end, 2 * self.arrived), batch_BW.shape[1])
            grown_NW[: self.arrived] = self.arriving[: self.arrived]
            self.arriving = grown_NW
        self.arriving[self.arrived : end] = batch_BW
        self.arrived = end

    def turn_over(self) -> None:
        """Replace the rows by what was collected since the last time, if anything was."""
        if self.arrived:
            self.rows = self.arriving[: self.arrived].clone()
            self.arriving = torch.zeros_like(self.rows)
            self.arrived = 0
            self._nearest.clear()

    def product_batches(
        self, conditions: Mapping[str, Condition], size: int, k: int, seed: int | None = None
    ) -> dict[str, Triples]:
        """Draw about ``size`` samples of p(x|z) p(y, z) for each I(x; y | z) of ``conditions``.

        This is ``product_batch`` with one draw of anchors for all of them, by ``seed`` or that of the bank.

        Raises:
            DataError: If the bank is too small for the anchors or the neighbours.
        """
        generator = torch.Generator(self.rows.device)
        generator.manual_seed(derive_seed("product batch", self.seed if seed is None else seed, self.draws))
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
        """Return indices (N, K) of the rows nearest to each row in a column. They are searched once."""
        # An epoch asks for about as many anchors as there are rows, and one large search is the faster one.
        if (name, k) not in self._nearest:
            everything_N = torch.arange(len(self), device=self.rows.device)
            self._nearest[name, k] = nearest_neighbours(self.search_points(name), everything_N, k)
        return self._nearest[name, k]

    def search_points(self, name: str) -> Tensor:
        """Return a column as the search for neighbours sees it, (N, D_c)."""
        return search_points(self._columns(self.rows)[name], derive_seed("ties", self.seed))

    def triples(self, condition: Condition) -> Triples:
        """Return the rows as samples of the three columns."""
        columns = self._columns(self.rows)
        return Triples(*(columns[name] for name in condition))

    def _columns(self, rows_NW: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.widths, torch.split(rows_NW, list(self.widths.values()), 1), strict=True))

    def get_extra_state(self) -> Tensor:
        """Return how many rows were collected, and how many product batches drawn, on the host."""
        return torch.tensor([self.arrived, self.draws])

    def set_extra_state(self, state: Tensor) -> None:
        """Continue counting."""
        self.arrived, self.draws = state.tolist()

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """Take over the number of rows from the state, which differs from batch to batch."""
        for name in ("rows", "arriving"):
            buffer, saved = self.get_buffer(name), state_dict.get(prefix + name)
            if isinstance(saved, Tensor) and saved.shape[1:] == buffer.shape[1:]:
                setattr(self, name, buffer.new_empty(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self._nearest.clear()
