"""The same run on a GPU and on a CPU, and a run that continues there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mmsa.config import parse
from mmsa.data.catalogue import open_corpus
from mmsa.experiment import RunConfig
from mmsa.training.loop import epochs

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is available here"),
]
TERMS = {"cpc": {}, "barber_agakov": {}, "mimrl": {}}


def run_config(device: str, **train: Any) -> RunConfig:
    values = {
        "data": {"name": "planted", "rows_train": 96, "rows_valid": 48},
        "model": {"name": "mmim", "fusion": {"name": "mlp", "dropout": 0.0}},
        "objective": {"terms": TERMS, "strategy": {"name": "two_stage"}},
        "train": {"epochs": 2, "batch_size": 32, "device": device, "precision": "float32", **train},
    }
    return parse(RunConfig, values, "tests")


def history(config: RunConfig, **options: Any) -> list[dict[str, float]]:
    corpus = open_corpus(config.data, ("train", "valid"))
    return [*epochs(config, corpus, **options)][-1].history


def test_a_gpu_trains_what_a_cpu_trains() -> None:
    on_cpu, on_gpu = history(run_config("cpu")), history(run_config("cuda"))
    for name in ("valid/mae", "loss/task"):
        assert on_gpu[0][name] == pytest.approx(on_cpu[0][name], rel=2e-3), name


def test_bfloat16_is_near() -> None:
    exact, rough = history(run_config("cuda")), history(run_config("cuda", precision="bfloat16"))
    assert rough[0]["valid/mae"] == pytest.approx(exact[0]["valid/mae"], rel=0.05)


def test_a_run_continues_on_the_gpu(tmp_path: Path) -> None:
    config = run_config("cuda")
    corpus = open_corpus(config.data, ("train", "valid"))
    run = epochs(config, corpus)
    next(run).save(tmp_path)
    whole = [*run][-1].history
    assert [*epochs(config, corpus, resume=tmp_path)][-1].history[-1]["valid/mae"] == pytest.approx(
        whole[-1]["valid/mae"], rel=1e-4
    )
