"""One batch spread over several processes.

The convention of the whole package: each process computes the rows that belong to its own samples, gathers
the rows of all, and reduces them to the *same* scalar. After the gradients are averaged over the processes,
as ``DistributedDataParallel`` does, value and gradient are those of one process that held the whole batch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _GatherRows(torch.autograd.Function):
    """Concatenation over processes; the gradient of a row is the sum over the processes that used it."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int], group: dist.ProcessGroup) -> Tensor:
        ctx.counts, ctx.group = counts, group
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded, group=group)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        summed = grad_outputs[0].contiguous().clone()
        dist.all_reduce(summed, group=ctx.group)
        rank = dist.get_rank(ctx.group)
        start = sum(ctx.counts[:rank])
        return summed[start : start + ctx.counts[rank]], None, None


def gather_rows(rows: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """The rows of all processes of ``group`` in rank order, with gradient; ``rows`` itself without a group.

    Processes may hold different numbers of rows.
    """
    if group is None:
        return rows
    own_count = torch.tensor([len(rows)], device=rows.device)
    counts = [torch.empty_like(own_count) for _ in range(dist.get_world_size(group))]
    dist.all_gather(counts, own_count, group=group)
    gathered: Tensor = _GatherRows.apply(rows, torch.cat(counts).tolist(), group)  # type: ignore[no-untyped-call]
    return gathered


def sum_over(value: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """The sum of a detached scalar over the processes of ``group``."""
    total = value.detach().clone()
    if group is not None:
        dist.all_reduce(total, group=group)
    return total
