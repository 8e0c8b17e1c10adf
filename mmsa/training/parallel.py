"""One run in several processes, each of which computes its share of every batch.

Each process runs the model on its own rows. The outputs are then gathered, and every process computes the
same objective on the whole batch. So terms need to know nothing of this, and a coefficient means the same
with any number of processes. Gradients of parameters are averaged over the processes, as
``DistributedDataParallel`` does. Shapes: B rows of the whole batch, S rows of a share, W columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmsa.errors import ConfigError, Problem, WorkerLost
from mmsa.models.base import Representations
from mmsa.seeding import random_state, restore_random_state


@contextmanager
def _answered() -> Iterator[None]:
    """Translate errors of collectives: they have many types and always mean that another process is gone."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise WorkerLost(f"a process that trains the same run died, or does not answer: {error}") from error


@dataclass(frozen=True)
class Team:
    """The processes that train a run together; a single process without a ``group``.

    All of them call the same methods in the same order, with arguments that differ only in their own rows.

    Raises:
        WorkerLost: from every method that communicates, if another process died or does not answer within the
            time-out of the group.
    """

    group: dist.ProcessGroup | None = None

    @property
    def size(self) -> int:
        """The number of processes."""
        return 1 if self.group is None else dist.get_world_size(self.group)

    @property
    def rank(self) -> int:
        """The number of this process. Process 0 writes checkpoints and decides."""
        return 0 if self.group is None else dist.get_rank(self.group)

    @property
    def share(self) -> slice:
        """This process's share of a batch: every ``size``-th row, so that long and short rows spread out."""
        return slice(None) if self.group is None else slice(self.rank, None, self.size)

    @contextmanager
    def own_randomness(self, seed: int) -> Iterator[None]:
        """Draw random numbers for own rows, such as dropout, without advancing the common generator.

        All processes must draw alike outside the context: the objective is computed by each of them.
        """
        if self.group is None:
            yield
            return
        common = random_state()
        torch.manual_seed(seed + self.rank)
        try:
            yield
        finally:
            restore_random_state(common)

    def gather(self, own: Representations, num_rows: int) -> Representations:
        """The representations of the whole batch of ``num_rows``, in its order, from those of the shares.

        A loss of these, computed by every process, gives each process the gradient of its own rows.
        """
        if self.group is None:
            return own
        tensors = [own.fusion, own.prediction, *own.unimodal.values(), *own.extra.values()]
        own_SW = torch.cat(
            [tensor.flatten(1) if tensor.ndim > 1 else tensor[:, None] for tensor in tensors], 1
        )
        whole_BW: Tensor = _GatherShares.apply(own_SW, num_rows, self)  # type: ignore[no-untyped-call]
        columns = torch.split(whole_BW, [tensor[0].numel() for tensor in tensors], 1)
        fusion, prediction, *others = [
            part.reshape(num_rows, *tensor.shape[1:]).to(tensor.dtype)
            for part, tensor in zip(columns, tensors, strict=True)
        ]
        unimodal = dict(zip(own.unimodal, others, strict=False))
        return Representations(
            unimodal, fusion, prediction, dict(zip(own.extra, others[len(unimodal) :], strict=True))
        )

    def shares(self, own_SW: Tensor, num_rows: int) -> Tensor:
        """(B, W) rows of the whole batch, in its order, detached."""
        padded = own_SW.new_zeros(-(-num_rows // self.size), own_SW.shape[1])
        padded[: len(own_SW)] = own_SW.detach()
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        with _answered():
            dist.all_gather(parts, padded, group=self.group)
        return torch.stack(parts, 1).flatten(0, 1)[:num_rows]  # row i of rank r is row i * size + r of all

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its mean over the processes."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.group is None or not gradients:
            return
        means = self.sum(torch.cat([gradient.flatten() for gradient in gradients])) / self.size
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, mean in zip(gradients, torch.split(means, sizes), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the processes."""
        if self.group is not None:
            values = values.clone()
            with _answered():
                dist.all_reduce(values, group=self.group)
        return values

    def first(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """The numbers of the first process, so that all decide alike; their own may differ in last bits."""
        values = torch.tensor(list(numbers.values()), dtype=torch.float64)
        if self.group is not None:
            with _answered():
                dist.broadcast(values, dist.get_global_rank(self.group, 0), group=self.group)
        return dict(zip(numbers, values.tolist(), strict=True))

    def all(self, condition: bool) -> bool:
        """Whether ``condition`` holds in every process."""
        return int(self.sum(torch.tensor(int(condition)))) == self.size

    def refuse_misfit(self, model: nn.Module, smallest_batch: int) -> None:
        """Refuse a run that cannot be shared.

        Raises:
            ConfigError: for batches with fewer rows than processes, or layers that look at a whole batch.
        """
        problems = []
        if smallest_batch < self.size:
            rule = f"gives batches of {smallest_batch} rows, too few for {self.size} workers"
            problems.append(Problem("train.batch_size", smallest_batch, rule, "Write a larger one."))
        if self.size > 1 and any(isinstance(module, _BatchNorm) for module in model.modules()):
            rule = "normalises over a batch, of which each of several workers sees a part only"
            problems.append(Problem("model", type(model).__name__, rule, "Write resources: {workers: 1}."))
        if problems:
            raise ConfigError("train", problems)


ALONE = Team()
"""A run in a single process."""


class _GatherShares(torch.autograd.Function):
    """Gathers shares without communication in the backward pass.

    All processes compute the same loss of the whole batch, so each already has the gradient of its own rows.
    It is multiplied by the number of processes because gradients of parameters are averaged over them.
    """

    @staticmethod
    def forward(ctx: Any, own_SW: Tensor, num_rows: int, team: Team) -> Tensor:
        ctx.team = team
        return team.shares(own_SW, num_rows)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        return grad_outputs[0][ctx.team.share] * ctx.team.size, None, None
