"""What one trial gets of the machines."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mmsa.config import Block
from mmsa.experiment import PositiveInt


class Resources(Block):
    """What one trial gets."""

    workers: PositiveInt = 1
    """Processes that train one trial together, each with a share of every batch."""
    gpus_per_worker: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    cpus_per_worker: PositiveInt = 1
    silent_minutes: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 60.0
    """Longer than any epoch takes, start-up included. A trial that reports nothing for so long hangs: its
    processes are ended, and it goes on from its checkpoint as after a crash."""
