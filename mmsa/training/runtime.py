"""Where and how a run computes: device, precision, threads."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from mmsa.errors import ConfigError, Problem
from mmsa.experiment import TrainConfig
from mmsa.models.base import Representations

K = TypeVar("K", bound=str)

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of mallopt, in malloc.h
_KEPT_BYTES = 2**30


def keep_freed_memory() -> None:
    """Keep freed memory in the process, if the allocator is glibc's.

    By default it returns large blocks to the system at once, and each step gets them again page by page,
    zeroed. With the products and gradients of TFN that took a third of an epoch.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)


@dataclass(frozen=True)
class Runtime:
    """What ``train.device``, ``train.precision`` and ``train.threads`` mean on this machine.

    Attributes:
        device: of all tensors.
        autocast: whether training computes forward passes in bfloat16.
        threads: of the CPU; 0 leaves torch's setting.
        steps_between_checks: for finite numbers; on a GPU the host has to wait for each check.
    """

    device: torch.device
    autocast: bool
    threads: int
    steps_between_checks: int

    @classmethod
    def of(cls, config: TrainConfig) -> Runtime:
        """Choose for this machine.

        Raises:
            ConfigError: for a GPU that is not there.
        """
        keep_freed_memory()
        has_gpu = torch.cuda.is_available()
        if config.device == "cuda" and not has_gpu:
            problem = Problem(
                "train.device", "cuda", "no CUDA device is available here", "Write auto or cpu."
            )
            raise ConfigError("train", [problem])
        on_gpu = has_gpu and config.device != "cpu"
        fast_bfloat16 = on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
        autocast = config.precision == "bfloat16" or (config.precision == "auto" and fast_bfloat16)
        device = torch.device("cuda" if on_gpu else "cpu")
        return cls(device, autocast, config.threads, steps_between_checks=50 if on_gpu else 1)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Use the configured threads and deterministic cuDNN kernels within the context."""
        threads, cudnn = torch.get_num_threads(), torch.backends.cudnn
        deterministic, benchmark = cudnn.deterministic, cudnn.benchmark
        torch.set_num_threads(self.threads or threads)
        cudnn.deterministic, cudnn.benchmark = True, False
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            cudnn.deterministic, cudnn.benchmark = deterministic, benchmark

    def forward_context(self) -> torch.autocast:
        """The context of a forward pass in training. Losses are computed outside it, in float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast)


def in_float32(representations: Representations) -> Representations:
    """The representations in the precision in which losses are computed; integers stay integers."""
    return replace(
        representations,
        unimodal=_floats(representations.unimodal),
        fusion=representations.fusion.float(),
        prediction=representations.prediction.float(),
        extra=_floats(representations.extra),
        further=_floats(representations.further),
    )


def _floats(values: Mapping[K, Tensor]) -> dict[K, Tensor]:
    return {name: value.float() if value.is_floating_point() else value for name, value in values.items()}
