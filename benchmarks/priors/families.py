"""What the benchmark of priors searches: families of planted surfaces, and real trials on planted data."""

from __future__ import annotations

import json
import math
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from mmsa.config import parse
from mmsa.experiment import RunConfig
from mmsa.interface import Scalar
from mmsa.search.space.parameters import CategoricalParameter, FloatParameter
from mmsa.search.space.space import Space
from mmsa.search.stops import embed

Point = Mapping[str, Scalar]
Surface = Callable[[Point], float]

RECORDED = Path(__file__).parent / "recorded.json"
NUM_WEIGHTS = 6
CHOICES = ("a", "b", "c")
WEIGHTS = Space(
    {
        f"weight{index}": FloatParameter(type="float", low=1e-3, high=1.0, log=True, zero=0.1)
        for index in range(NUM_WEIGHTS)
    }
    | {"estimator": CategoricalParameter(type="categorical", choices=CHOICES)}
)
SETTINGS = Space(
    {
        "optim.lr": FloatParameter(type="float", low=1e-5, high=0.3, log=True),
        "optim.weight_decay": FloatParameter(type="float", low=1e-4, high=10.0, log=True),
        "model.fusion.dropout": FloatParameter(type="float", low=0.0, high=0.9),
        "train.batch_size": CategoricalParameter(type="categorical", choices=(10, 40, 160)),
    }
)
_BASE = {
    "model": {"name": "late_fusion"},
    "train": {"epochs": 4, "device": "cpu", "threads": 1},
}
DATA = {
    "first": {"name": "planted", "seed": 1, "rows_train": 200, "rows_valid": 200},
    "second": {"name": "planted", "seed": 2, "rows_train": 300, "rows_valid": 200},
}
_TRIALS = 120  # recorded of each data set


@dataclass(frozen=True)
class Optimum:
    """Where a planted surface is lowest: position of each weight on its logarithmic range, and the choice."""

    positions: tuple[float, ...]
    choice: str

    @classmethod
    def anywhere(cls, random: np.random.Generator) -> Optimum:
        """Not at the ends of the ranges."""
        return cls(tuple(random.uniform(0.1, 0.9, NUM_WEIGHTS)), str(random.choice(CHOICES)))

    def related(self, random: np.random.Generator) -> Optimum:
        """That of another data set, for which nearly the same is good."""
        moved = np.clip(np.array(self.positions) + random.normal(0, 0.1, NUM_WEIGHTS), 0.05, 0.95)
        return Optimum(tuple(moved), self.choice)

    def contradictory(self) -> Optimum:
        """That of a data set for which half a range away, and another choice, is good."""
        moved = (np.array(self.positions) + 0.5) % 1.0
        return Optimum(tuple(moved), CHOICES[(CHOICES.index(self.choice) + 1) % len(CHOICES)])

    def regret(self, point: Point) -> float:
        """A quadratic in the positions, steeper in some; a weight of 0 is like the smallest."""
        total = 0.3 * (point["estimator"] != self.choice)
        for index, best in enumerate(self.positions):
            weight = float(point[f"weight{index}"])
            position = 0.0 if weight == 0 else 1 + math.log10(weight) / 3
            total += (1 + index % 3) * (position - best) ** 2
        return total


class Recorded:
    """Real trials of a data set: a point has the value of the recorded trial nearest to it."""

    def __init__(self, name: str):
        rows = json.loads(RECORDED.read_text(encoding="utf-8"))[name]
        self.points: list[dict[str, Scalar]] = [row["point"] for row in rows]
        self.values = np.array([row["value"] for row in rows])
        self._embedded = embed(SETTINGS, self.points)

    def value(self, point: Point) -> float:
        """The best valid MAE of the nearest trial."""
        distances = np.abs(self._embedded - embed(SETTINGS, [point])).sum(axis=1)
        return float(self.values[distances.argmin()])

    def sorted(self) -> list[dict[str, Scalar]]:
        """All points, best first."""
        return [self.points[index] for index in self.values.argsort(kind="stable")]


def record_trials(processes: int) -> None:
    """Train ``_TRIALS`` random points of ``SETTINGS`` on each data set and write their values."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    points = [SETTINGS.suggest(study.ask()) for _ in range(_TRIALS)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        recorded = {name: pool.starmap(_train, [(data, p) for p in points]) for name, data in DATA.items()}
    rows = {
        name: [{"point": p, "value": value} for p, value in zip(points, values, strict=True)]
        for name, values in recorded.items()
    }
    RECORDED.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _train(data: Mapping[str, Any], point: Point) -> float:
    """The best valid MAE; that of a run which diverges is the largest that any has."""
    from mmsa.config import with_overrides
    from mmsa.data import open_corpus
    from mmsa.errors import TrainingDiverged
    from mmsa.training import run

    config = with_overrides(parse(RunConfig, {"data": data, **_BASE}, "benchmark"), point)
    try:
        return run(config, open_corpus(config.data, ("train", "valid"))).metrics["valid/mae"]
    except TrainingDiverged:
        return 3.0


def best_part(points: Sequence[Point], values: Sequence[float], part: float) -> list[Point]:
    """The points of the lowest values."""
    order = np.argsort(values, kind="stable")[: max(4, math.ceil(part * len(values)))]
    return [points[index] for index in order]
