"""Where gradients of an estimator go, over one process or several, and how large they are.

The convention of the whole package for a batch that is spread over processes: each of them computes the rows
that belong to its own samples, gathers the rows of all, and reduces them to the *same* scalar. After the
gradients are averaged over the processes, as ``DistributedDataParallel`` does, value and gradient are those
of one process that held the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup


class _GatherRows(torch.autograd.Function):
    """Concatenation over processes. The gradient of a row is summed over the processes that used it."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int], group: dist.ProcessGroup) -> Tensor:
        ctx.counts, ctx.group = counts, group
        # all_gather needs equal shapes, and the last batch of an epoch may not divide evenly.
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded, group=group)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        # Every process computed the whole objective, so each holds a part of every row's gradient.
        summed = grad_outputs[0].contiguous().clone()
        dist.all_reduce(summed, group=ctx.group)
        rank = dist.get_rank(ctx.group)
        start = sum(ctx.counts[:rank])
        return summed[start : start + ctx.counts[rank]], None, None


def gather_rows(rows: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """Concatenate the rows of all processes of ``group`` in rank order, with gradients.

    Processes may hold different numbers of rows. Without a group, ``rows`` is returned as it is.
    """
    if group is None:
        return rows
    own_count = torch.tensor([len(rows)], device=rows.device)
    counts = [torch.empty_like(own_count) for _ in range(dist.get_world_size(group))]
    dist.all_gather(counts, own_count, group=group)
    gathered: Tensor = _GatherRows.apply(rows, torch.cat(counts).tolist(), group)  # type: ignore[no-untyped-call]
    return gathered


def sum_over(value: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """Sum a detached scalar over the processes of ``group``."""
    total = value.detach().clone()
    if group is not None:
        dist.all_reduce(total, group=group)
    return total


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Compute without gradients with respect to the parameters of ``module``; inputs keep theirs."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


class GradientNormaliser(nn.Module):
    """Divide a loss by the running size of its gradient, so that one range of coefficients fits every loss.

    Objectives differ in scale by orders of magnitude (a Jensen-Shannon divergence stays below 0.69, CLUB goes
    to tens of nats), and their gradients differ again with batch size and critic. After the division, a
    coefficient of 1 moves each representation by a gradient of unit root-mean-square length per sample,
    whatever the estimator, the batch size and the number of processes. The running mean of squares includes
    the current batch, so that no batch is amplified beyond 1 / sqrt(``rate``). A gradient below ``floor`` is
    regarded as noise and not amplified.

    With ``members`` it has a running mean for each of several losses that are computed together (``each``).
    """

    mean_square: Tensor
    steps: Tensor

    def __init__(self, rate: float = 0.01, floor: float = 1e-4, members: int | None = None):
        super().__init__()
        self.rate, self.floor = rate, floor
        shape = () if members is None else (members,)
        self.register_buffer("mean_square", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("steps", torch.zeros(shape, dtype=torch.int64))

    def forward(
        self, loss: Tensor, representations: tuple[Tensor, ...], group: ProcessGroup | None = None
    ) -> Tensor:
        """Return ``loss`` divided by the running size of its gradient.

        Args:
            loss: A mean over samples, computed from ``representations``.
            representations: The (N, D) inputs of the estimator, none of which is computed from another.
                Those without a gradient are ignored.
            group: The processes that the batch is spread over.
        """
        reached = [value for value in representations if value.requires_grad]
        if self.training and loss.requires_grad and reached:
            self._update(torch.autograd.grad(loss, reached, retain_graph=True), group)
        return loss / self._size(self.mean_square, self.steps).to(loss.dtype)

    def each(self, losses_G: Tensor, inputs: Sequence[tuple[Tensor, ...]]) -> Tensor:
        """Return ``losses_G``, each divided by the running size of its own gradient.

        Args:
            losses_G: Means over samples, of the first G members.
            inputs: The (N, D) inputs of each, which no other member has: views of what they share.
        """
        count = len(losses_G)
        mean_square_G, steps_G = self.mean_square[:count], self.steps[:count]
        if self.training and losses_G.requires_grad:
            # No two losses have an input in common, so one backward pass tells the gradients of all apart.
            places = [place for place, own in enumerate(inputs) for value in own if value.requires_grad]
            reached = [value for own in inputs for value in own if value.requires_grad]
            gradients = torch.autograd.grad(losses_G.sum(), reached, retain_graph=True, allow_unused=True)
            squared_G = torch.zeros_like(mean_square_G)
            for place, gradient in zip(places, gradients, strict=True):
                if gradient is not None:
                    squared_G[place] += gradient.double().square().sum() * len(gradient)
            mean_square_G.lerp_(squared_G, self.rate)
            steps_G += 1
        return losses_G / self._size(mean_square_G, steps_G).to(losses_G.dtype)

    def _size(self, mean_square: Tensor, steps: Tensor) -> Tensor:
        # The running mean starts at 0, which would make the first losses far too large (as in Adam).
        correction = 1 - (1 - self.rate) ** steps.clamp(min=1)
        size = (mean_square / correction).sqrt().clamp(min=self.floor)
        return torch.where(steps > 0, size, 1.0)

    def _update(self, gradients: tuple[Tensor, ...], group: ProcessGroup | None) -> None:
        """Add one batch to the running mean.

        The squared gradient per sample is N^2 / N times the squared gradient of the mean over samples.
        """
        squared = torch.stack([gradient.double().square().sum() for gradient in gradients]).sum()
        samples = squared.new_tensor(len(gradients[0]))
        processes = 1 if group is None else group.size()
        # Each of W processes holds W times its part of the gradient, as they are averaged later: hence W^2.
        mean_square = sum_over(squared, group) / processes**2 * sum_over(samples, group)
        self.mean_square.lerp_(mean_square, self.rate)
        self.steps += 1
