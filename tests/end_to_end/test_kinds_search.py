"""One search to its end for each kind of target, on data of one's own: exported, retrained, near its ceiling.

Labels are drawn with probabilities that are known, so that the ceiling of a metric is what these say of test.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from launched import launched

from mmsa.config import dump_yaml
from mmsa.data.target_spec import TargetSpec
from mmsa.training.metrics import evaluate

SPLITS = np.repeat(["train", "valid", "test"], (1000, 300, 600))
TEST = SPLITS == "test"
LABELS = ("calm", "tense", "glad", "sad", "warm", "cold")
PRIMARY = {
    "binary": "f1_macro",
    "multiclass": "f1_macro",
    "multilabel": "weighted_accuracy",
    "two": "pearson",
}


def planted(kind: str, path: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Write a file; its targets as settings, and the ceilings of their metrics on test."""
    drawn = np.random.default_rng(0)
    cause = drawn.normal(size=(len(SPLITS), 4))
    turned = np.linalg.qr(drawn.normal(size=(6, 6)))[0]
    arrays: dict[str, Any] = {
        "split": SPLITS,
        "audio": (cause[:, :2] @ turned[:2]).astype(np.float32),
        "vision": (cause[:, 2:] @ turned[2:4]).astype(np.float32),
    }
    weights = np.random.default_rng(3).normal(size=(4, len(LABELS)))
    if kind == "multiclass":
        raised = np.exp(6 * cause @ weights)
        told = raised / raised.sum(axis=1, keepdims=True)
        arrays["mood"] = (drawn.random((len(SPLITS), 1)) > told.cumsum(axis=1)).sum(axis=1).astype(np.float32)
        targets = {"mood": (TargetSpec("mood", "multiclass", classes=LABELS), told)}
    elif kind == "multilabel":
        told = 1 / (1 + np.exp(1 - 5 * cause @ weights))
        arrays["moods"] = (drawn.random(told.shape) < told).astype(np.float32)
        targets = {"moods": (TargetSpec("moods", "multilabel", classes=LABELS), told)}
    else:
        told = 1 / (1 + np.exp(-5 * (cause[:, 0] + cause[:, 2])))
        arrays["ill"] = (drawn.random(len(SPLITS)) < told).astype(np.float32)
        targets = {"ill": (TargetSpec("ill", "binary", classes=("no", "yes")), told)}
    if kind == "two":
        score = cause @ (1, -1, 1, 1)
        arrays["score"] = (score + drawn.normal(size=len(SPLITS)) / 2).astype(np.float32)
        targets = {"score": (TargetSpec("score"), score), **targets}
        arrays["ill"][~TEST & (drawn.random(len(SPLITS)) < 0.3)] = np.nan
    np.savez(path, **arrays)
    first = next(iter(targets))
    ceilings = {
        metric if name == first else f"{name}/{metric}": value
        for name, (target, output) in targets.items()
        for metric, value in evaluate(arrays[name][TEST], output[TEST].astype(np.float32), target).items()
    }
    settings = {
        name: {"kind": target.kind} | ({"classes": list(target.classes)} if target.classes else {})
        for name, (target, _) in targets.items()
    }
    return settings, ceilings


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """A script of ``launch/`` in an empty folder: what it prints."""
    monkeypatch.chdir(tmp_path)

    def run(script: str, *arguments: str) -> str:
        assert launched(monkeypatch, script, *arguments) == 0
        return capsys.readouterr().out

    return run


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kind", PRIMARY)
def test_a_search_on_data_of_ones_own_reaches_nine_tenths_of_the_ceiling(
    kind: str, tmp_path: Path, command: Callable[..., str], ray_session: None
) -> None:
    metric = f"valid/{PRIMARY[kind]}"
    targets, ceilings = planted(kind, tmp_path / "own.npz")
    data = {"name": "custom", "path": "own.npz", "modalities": ["audio", "vision"], "targets": targets}
    space = {
        "study": "kinds",
        "base": {
            "data": data,
            "model": {"name": "late_fusion"},
            "optim": {"lr": 0.01},
            "train": {"epochs": 12, "batch_size": 50, "device": "cpu", "threads": 1, "metric": metric},
            "information": {"quantities": []},
        },
        "search": {
            "parameters": {"optim.lr": {"type": "float", "low": 0.003, "high": 0.05, "log": True}},
            "objectives": [{"metric": metric, "direction": "maximize"}],
            "trials": 3,
        },
        "resources": {"cpus_per_worker": 1},
    }
    if kind == "two":
        space["base"]["objective"] = {"tasks": {"ill": {"name": "default"}}}  # type: ignore[index]
    (tmp_path / "space.yaml").write_text(dump_yaml(space))
    said = command(
        "search.py",
        "--space",
        "space.yaml",
        "--no-mlflow",
        "--concurrency",
        "1",
        "--references",
        "constant",
    )
    assert "study kinds: 3 of 3 trials ended" in said
    command("export.py", "--study", "kinds", "--out", "best.yaml")
    told = command("retrain.py", "--config", "best.yaml", "--seeds", "2", "--no-mlflow")
    assert "is reproduced exactly" in told
    asked = [PRIMARY[kind], *(["ill/f1_macro"] if kind == "two" else [])]
    for name in asked:
        (row,) = re.findall(rf"^{name} .*$", told, re.MULTILINE)
        mean, low, high = map(float, re.search(r"([\d.]+) ± [\d.]+ +([\d.]+) to ([\d.]+)", row).groups())  # type: ignore[union-attr]
        print(f"{kind} {name}: {mean:.4f} [{low:.4f}, {high:.4f}] of {ceilings[name]:.4f}")
        assert low <= mean <= high
        assert mean >= 0.9 * ceilings[name], row
        assert low >= 0.85 * ceilings[name], row  # 90 % interval
        assert mean <= 1.02 * ceilings[name] + 0.02, "better than what the probabilities themselves say"
    if kind == "multilabel":
        table = told[told.index("by label") :].splitlines()
        assert [line.split()[0] for line in table[2 : 2 + len(LABELS)]] == list(LABELS)
