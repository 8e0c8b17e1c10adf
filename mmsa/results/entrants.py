"""What a comparison compares: configurations of a study, each with its trained seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmsa.experiment import RunConfig
from mmsa.results.verdict import Contender


@dataclass(frozen=True)
class Candidate:
    """A configuration of a study.

    Attributes:
        name: ``trial 7``, or ``defaults``.
        trial: its number; None for defaults that no trial completed.
        config: complete, with the seed of the search.
        digest: of the configuration without its seed.
        params: what was chosen for it, by dotted path, as people read it.
        searched: the first objective as the search saw it; None without a completed trial.
        changes: number of settings that differ from the defaults.
    """

    name: str
    trial: int | None
    config: RunConfig
    digest: str
    params: Mapping[str, str]
    searched: float | None
    changes: int


@dataclass(frozen=True)
class KeptSeed:
    """What remains of a training with one seed.

    Attributes:
        seed: of the training.
        bundle: folder of the model.
        metrics: of the best epoch; empty if training diverged.
        predictions: (N,) of the best epoch on the valid split; empty likewise.
        num_parameters: how many numbers were trained.
        diverged: why there is no model; empty for one that was trained to its end.
    """

    seed: int
    bundle: Path
    metrics: Mapping[str, float]
    predictions: NDArray[np.float32]
    num_parameters: int
    diverged: str = ""


@dataclass
class Entrant:
    """A configuration that is compared, and its seeds so far.

    Attributes:
        candidate: the configuration.
        seeds: in the order of all.
        left_race: whether it gets no more.
    """

    candidate: Candidate
    seeds: list[KeptSeed]
    left_race: bool = False

    @property
    def diverged(self) -> str:
        """Why one of its seeds has no model; empty if all have one."""
        return next((kept.diverged for kept in self.seeds if kept.diverged), "")

    @property
    def contender(self) -> Contender:
        """What the verdict reads of it; it must have a seed."""
        parameters = self.seeds[0].num_parameters
        return Contender(self.candidate.name, parameters, self.candidate.changes)
