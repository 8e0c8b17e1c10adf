"""One run in several processes, each of which computes its share of every batch.

Each process runs the model on its own rows. The outputs are then gathered, and every process computes the
same objective on the whole batch. So terms need to know nothing of this, and a coefficient means the same
with any number of processes. Gradients of parameters are averaged over the processes, as
``DistributedDataParallel`` does. Shapes: B rows of the whole batch, S rows of a share, W columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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

BUCKET = 8 * 2**20
"""Bytes of gradients that travel together: enough that latency does not count, a fraction of BERT's."""


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
        further = own.further.values()
        tensors = [own.fusion, own.prediction, *own.unimodal.values(), *own.extra.values(), *further]
        own_SW = torch.cat(
            [tensor.flatten(1) if tensor.ndim > 1 else tensor[:, None] for tensor in tensors], 1
        )
        whole_BW: Tensor = _GatherShares.apply(own_SW, num_rows, self)  # type: ignore[no-untyped-call]
        columns = torch.split(whole_BW, [tensor[0].numel() for tensor in tensors], 1)
        fusion, prediction, *others = [
            part.reshape(num_rows, *tensor.shape[1:]).to(tensor.dtype)
            for part, tensor in zip(columns, tensors, strict=True)
        ]
        rest = iter(others)  # in the order in which they were put together
        unimodal = {name: next(rest) for name in own.unimodal}
        extra = {name: next(rest) for name in own.extra}
        return Representations(unimodal, fusion, prediction, extra, dict(zip(own.further, rest, strict=True)))

    def shares(self, own_SW: Tensor, num_rows: int) -> Tensor:
        """(B, W) rows of the whole batch, in its order, detached."""
        padded = own_SW.new_zeros(-(-num_rows // self.size), own_SW.shape[1])
        padded[: len(own_SW)] = own_SW.detach()
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        with _answered():
            dist.all_gather(parts, padded, group=self.group)
        return torch.stack(parts, 1).flatten(0, 1)[:num_rows]  # row i of rank r is row i * size + r of all

    @contextmanager
    def averaging(self, parameters: Sequence[nn.Parameter], bucket: int = BUCKET) -> Iterator[None]:
        """Around a backward pass: gradients of ``parameters`` become their means over the processes.

        While the pass computes the gradients of lower layers, those of upper ones travel.

        Args:
            parameters: the same in all processes, with a gradient in all of them or in none.
            bucket: bytes of gradients that travel together.
        """
        if self.group is None:
            yield
            return
        buckets = _Buckets(self.group, parameters, bucket)
        try:
            yield
            buckets.finish()
        finally:
            buckets.remove_hooks()

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


class _Buckets:
    """Gradients that travel in buckets, each as soon as a backward pass has computed all of it.

    The pass runs from the loss to the inputs, so buckets are filled from the last parameter on. They leave in
    that order in every process, whatever order the gradients arrive in: collectives pair up by their number.
    """

    def __init__(self, group: dist.ProcessGroup, parameters: Sequence[nn.Parameter], size: int):
        self._group = group
        self._buckets: list[list[nn.Parameter]] = []
        room = 0
        for parameter in reversed(parameters):
            num_bytes = parameter.numel() * parameter.element_size()
            if num_bytes > room or not self._buckets:
                self._buckets.append([])
                room = size
            self._buckets[-1].append(parameter)
            room -= num_bytes
        self._bucket_of = {p: number for number, bucket in enumerate(self._buckets) for p in bucket}
        self._missing = [len(bucket) for bucket in self._buckets]
        self._sent: list[tuple[list[Tensor], Tensor, dist.Work | None]] = []
        self._hooks = [
            p.register_post_accumulate_grad_hook(self._arrived)  # type: ignore[no-untyped-call]
            for p in parameters
        ]

    def _arrived(self, parameter: Tensor) -> None:
        self._missing[self._bucket_of[parameter]] -= 1  # type: ignore[index]
        while len(self._sent) < len(self._buckets) and not self._missing[len(self._sent)]:
            self._send()

    def _send(self) -> None:
        """Send the next bucket; parameters that the loss does not depend on have no gradient to send."""
        gradients = [p.grad for p in self._buckets[len(self._sent)] if p.grad is not None]
        if not gradients:
            self._sent.append(([], torch.empty(0), None))
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        with _answered():
            work = dist.all_reduce(flat, group=self._group, async_op=True)
        self._sent.append((gradients, flat, work))

    def finish(self) -> None:
        """Wait for all buckets, and put the means into the gradients."""
        while len(self._sent) < len(self._buckets):
            self._send()
        for gradients, flat, work in self._sent:
            if work is None:
                continue
            with _answered():
                work.wait()
            flat /= dist.get_world_size(self._group)
            sizes = [gradient.numel() for gradient in gradients]
            for gradient, mean in zip(gradients, torch.split(flat, sizes), strict=True):
                gradient.copy_(mean.view_as(gradient))

    def remove_hooks(self) -> None:
        """Let later backward passes do as they like."""
        for hook in self._hooks:
            hook.remove()
