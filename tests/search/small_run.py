"""A run without randomness of its own in each process, so that any number of them does the same."""

from mmsa.config import parse
from mmsa.experiment import RunConfig

CONFIG = parse(
    RunConfig,
    {
        "data": {"name": "planted", "rows_train": 45, "rows_valid": 21},
        "model": {
            "name": "late_fusion",
            "text": {"name": "mlp", "dropout": 0.0},
            "audio": {"name": "mlp", "dropout": 0.0},
            "vision": {"name": "mlp", "dropout": 0.0},
            "fusion": {"name": "mlp", "dropout": 0.0},
        },
        "objective": {"terms": {"infonce": {"weight": 0.1}}},
        "train": {"epochs": 4, "batch_size": 15, "device": "cpu", "threads": 1},
    },
    "test",
)
