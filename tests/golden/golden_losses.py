"""Losses of every model and term at a fixed seed, on planted data: what a refactoring must not change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from mmsa.config import parse
from mmsa.data import open_corpus
from mmsa.data.batches import Batches
from mmsa.data.inputs import InputSpec
from mmsa.data.targets import TrainTargets
from mmsa.experiment import RunConfig
from mmsa.models import build_model
from mmsa.objectives import Objective

FILE = Path(__file__).with_name("losses.json")
DATA = {"name": "planted", "rows_train": 60, "rows_valid": 5, "rows_test": 5}
CASES: dict[str, dict[str, Any]] = {
    "late_fusion": {"model": {"name": "late_fusion"}},
    "mimrl_model": {
        "model": {
            "name": "mimrl",
            "text": {"name": "linear", "output": 12},
            "audio": {"name": "mimrl", "output": 12},
            "vision": {"name": "conv", "output": 12},
            "fusion": {"name": "cubemlp", "length": 12, "width": 12, "steps": [6, 3], "widths": [12, 12]},
        }
    },
    "tfn": {"model": {"name": "late_fusion", "text": {"name": "mlp"}, "fusion": {"name": "tfn"}}},
    "lmf": {"model": {"name": "late_fusion", "fusion": {"name": "lmf"}}},
    "misa": {
        "model": {"name": "late_fusion", "fusion": {"name": "misa", "width": 16, "feedforward": 32}},
        "objective": {
            "terms": {
                "cmd": {},
                "orthogonality": {},
                "reconstruction": {},
                "similarity": {},
                "hsic": {"kernel": "gaussian"},
            }
        },
    },
    "alignment": {
        "model": {"name": "late_fusion"},
        "objective": {"terms": {"coral": {}, "infonce": {}, "supervised_contrastive": {}, "relational": {}}},
    },
    "mult": {
        "model": {"name": "late_fusion", "fusion": {"name": "mult", "width": 8, "heads": 2, "levels": 1}}
    },
    "mfn": {
        "model": {
            "name": "late_fusion",
            "fusion": {"name": "mfn", "steps": 5, "text": 8, "audio": 8, "vision": 8, "memory": 8},
        }
    },
    "mmim": {
        "model": {"name": "mmim", "audio": {"name": "gru", "layers": 2, "bidirectional": True}},
        "objective": {"terms": {"cpc": {}, "barber_agakov": {}}},
    },
    "mmim_as_in_its_code": {
        "model": {"name": "mmim", "vision": {"name": "mlp"}},
        "objective": {
            "terms": {
                "cpc": {"direction": "mmim_code"},
                "barber_agakov": {"likelihood": "mmim_code", "vision_to_audio": True},
            }
        },
    },
    "self_mm": {"model": {"name": "self_mm"}, "objective": {"terms": {"unimodal": {}}}},
    "dmsi": {
        "model": {"name": "dmsi"},
        "objective": {
            "terms": {"coral": {}, "unimodal": {"zeros": "positive"}},
            "weighting": {"name": "uncertainty"},
        },
    },
    "average": {
        "model": {"name": "late_fusion", "text": {"name": "gru"}, "fusion": {"name": "average"}},
        "objective": {"terms": {"dependency": {}}},
    },
    "information": {
        "model": {"name": "late_fusion"},
        "objective": {
            "terms": {
                "raised": {
                    "term": "information",
                    "between": ["fusion", "text"],
                    "estimator": {"name": "infonce", "critic": {"name": "prediction"}, "temperature": 0.2},
                },
                "lowered": {
                    "term": "information",
                    "between": ["text", "audio"],
                    "estimator": {"name": "club"},
                    "sense": "minimise",
                    "normalise": False,
                },
                "conditional": {
                    "term": "information",
                    "between": ["text", "audio"],
                    "given": "label",
                    "estimator": {"name": "cmi_knn"},
                    "normalise": False,
                },
            }
        },
    },
    "mimrl": {"model": {"name": "late_fusion"}, "objective": {"terms": {"mimrl": {"weight": 100.0}}}},
    "mimrl_as_in_its_code": {
        "model": {"name": "late_fusion"},
        "objective": {
            "terms": {
                "mimrl": {
                    "weight": 100.0,
                    "pairs": "sum",
                    "complementary": 0.01,
                    "estimator": {"name": "nwj", "critic": {"name": "joint"}},
                    "conditional": {"name": "cmi_knn_mimrl_code"},
                }
            }
        },
    },
}


def losses(case: str) -> list[dict[str, float]]:
    """Each loss on three epochs of three steps of plain gradient descent, on a CPU in float32."""
    config = parse(RunConfig, {"data": DATA, **CASES[case]}, case)
    corpus = open_corpus(config.data, ("train",))
    torch.manual_seed(0)
    model = build_model(config.model, InputSpec.of(corpus))
    objective = Objective(config.objective, model.dims, TrainTargets.of(corpus))
    model.request(objective.requests)
    parameters = [p for p in (*model.parameters(), *objective.parameters()) if p.requires_grad]
    batches = Batches(corpus["train"], 20)
    steps = []
    for epoch in range(3):
        objective.start_epoch(epoch)
        for batch in batches.epoch(epoch):
            representations = model(batch)
            value = objective(representations, batch.targets)
            estimators = objective.estimator_losses(representations, batch.targets)
            found = dict(value.losses) | {f"estimator/{name}": loss for name, loss in estimators.items()}
            steps.append({name: float(loss.detach()) for name, loss in found.items()})
            total = torch.stack([value.total(), *estimators.values()]).sum()
            gradients = torch.autograd.grad(total, parameters, materialize_grads=True)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.data -= 0.01 * gradient
    return steps


def recorded() -> dict[str, list[dict[str, float]]]:
    """What the file says."""
    values: dict[str, list[dict[str, float]]] = json.loads(FILE.read_text(encoding="utf-8"))
    return values


def record() -> None:
    """Write what the code says now into the file."""
    values = {
        case: [{name: round(loss, 6) for name, loss in step.items()} for step in losses(case)]
        for case in CASES
    }
    FILE.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
