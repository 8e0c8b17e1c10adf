"""What a finished run leaves behind."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmsa.data import Split
from mmsa.experiment import RunConfig
from mmsa.information import Measurement
from mmsa.training.predictor import Predictor


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        config: what was run.
        best_epoch: the epoch that ``train.metric`` chose, counted from 1.
        metrics: all metrics of that epoch, ``information/…`` among them.
        history: the metrics of every epoch.
        seconds: of training and evaluation, those before a resumption included.
        num_parameters: trained ones, of model and objective.
        counters: ``epochs`` run and optimiser ``steps`` made.
        predictor: the model with the weights of the best epoch.
        information: of those weights on the valid split, by name.
    """

    config: RunConfig
    best_epoch: int
    metrics: dict[str, float]
    history: list[dict[str, float]]
    seconds: float
    num_parameters: int
    counters: dict[str, int]
    predictor: Predictor = field(repr=False)
    information: dict[str, Measurement] = field(default_factory=dict)

    def predict(self, split: Split) -> NDArray[np.float32]:
        """(N,) predictions of the best weights for raw rows, see ``Predictor.predict``."""
        return self.predictor.predict(split)

    def save(self, directory: Path) -> None:
        """Write all but the weights to ``directory``/result.json; ``save_bundle`` writes the model."""
        record = {
            "config": self.config.model_dump(mode="json"),
            "best_epoch": self.best_epoch,
            "metrics": self.metrics,
            "history": self.history,
            "seconds": self.seconds,
            "num_parameters": self.num_parameters,
            "counters": self.counters,
            "information": {name: measured.to_dict() for name, measured in self.information.items()},
        }
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(record, indent=2, allow_nan=False) + "\n"
        (directory / "result.json").write_text(text, encoding="utf-8")
