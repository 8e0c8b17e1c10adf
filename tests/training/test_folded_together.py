"""Two real processes that train the folds of one run together."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from two_processes import in_two_processes

from mmsa.config import parse
from mmsa.data import open_corpus
from mmsa.experiment import RunConfig
from mmsa.training import Team, epochs

CONFIG = parse(
    RunConfig,
    {
        "data": {"name": "planted", "rows_train": 45, "rows_valid": 21, "folds": {"k": 3}},
        "model": {
            "name": "late_fusion",
            **{name: {"name": "mlp", "dropout": 0.0} for name in ("text", "audio", "vision")},
            "fusion": {"name": "mlp", "dropout": 0.0},
        },
        "train": {"epochs": 3, "batch_size": 15, "threads": 1, "device": "cpu", "modality_dropout": 0.3},
        "information": {"quantities": []},
    },
    "tests",
)


def work(rank: int, folder: str) -> dict[str, Any]:
    team, corpus = Team(dist.group.WORLD), open_corpus(CONFIG.data)
    checkpoint = Path(folder) / "checkpoint"
    progress = epochs(CONFIG, corpus, team=team)
    next(progress).save(checkpoint)
    dist.barrier()
    *_, last = progress
    *_, again = epochs(CONFIG, corpus, team=team, resume=checkpoint)
    return {
        "history": list(last.history),
        "resumed": list(again.history),
        "held_out": torch.from_numpy(last.valid_predictions),
    }


@pytest.mark.slow
def test_two_processes_train_folds_as_one_does_and_continue_exactly(tmp_path: Path) -> None:
    first, second = in_two_processes(work, tmp_path)
    assert first["history"] == second["history"] == first["resumed"] == second["resumed"]
    assert torch.equal(first["held_out"], second["held_out"])
    alone = list(islice(epochs(CONFIG, open_corpus(CONFIG.data)), 3))[-1]
    for ours, theirs in zip(alone.history, first["history"], strict=True):
        assert ours["valid/mae"] == pytest.approx(theirs["valid/mae"], rel=1e-4)
