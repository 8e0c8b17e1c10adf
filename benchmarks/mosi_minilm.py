"""CMU-MOSI, text and audio, official folds: what a searched configuration gives on test.

Through the real commands: searches ``search_spaces/mosi_minilm.yaml``, exports the best trial, retrains
it over 3 seeds, first as found (frozen text features), then with the encoder fine-tuned. Two floors on
the same split: a linear probe on frozen mean + CLS features, and the same encoder plainly fine-tuned on
text alone. The recipe of the fine-tuning is the one with the lowest valid MAE of those tried.

    MMSA_DATA=<folder with mosi_utterance.npz> python benchmarks/mosi_minilm.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from figures import Figure, record

from mmsa.data.ledger import LEDGER, Ledger

ROOT = Path(__file__).parent.parent
STUDY = "mosi-minilm"
FINE_TUNED = {
    "model.text.finetune": "true",
    "model.text.pooling": "cls",
    "model.text.dropout": "0.3",
    "objective.terms.cpc.weight": "0.0",
    "objective.terms.barber_agakov.weight": "0.0",
    "optim.lr": "0.0005",
    "optim.lr_pretrained": "0.0002",
    "optim.layer_decay": "0.85",
    "optim.weight_decay": "0.01",
    "optim.weight_decay_pretrained": "0.01",
    "train.average": "0.99",
    "train.epochs": "12",
    "train.patience": "12",
    "train.batch_size": "32",
}
GOALS = {"mae": (0.76, "lower"), "pearson": (0.79, "higher"), "acc2_negative_positive": (0.84, "higher")}
PROBE = {"mae": 0.983, "pearson": 0.685, "acc2_negative_positive": 0.787}
PLAIN = {"mae": 0.79, "pearson": 0.78, "acc2_negative_positive": 0.83}


def launch(script: str, *arguments: str | Path) -> float:
    """Seconds that the command took."""
    started = time.perf_counter()
    subprocess.run([sys.executable, ROOT / "launch" / script, *arguments], check=True)
    return time.perf_counter() - started


def last_test(runs: Path) -> dict[str, float]:
    """Mean over fresh seeds of each test metric of the latest opening."""
    return Ledger(runs / LEDGER).openings()[-1].means()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--threads", default="4", help="of fine-tuning")
    args = parser.parse_args()
    best = args.runs / f"{STUDY}-best.yaml"

    search_s = launch("search.py", "--space", "mosi_minilm.yaml", "--runs", args.runs)
    launch("export.py", "--study", STUDY, "--runs", args.runs, "--out", best)
    launch("retrain.py", "--config", best, "--runs", args.runs, "--seeds", "3")
    frozen = last_test(args.runs)
    changes = [part for key, value in FINE_TUNED.items() for part in ("--set", f"{key}={value}")]
    fine_tuning = ["--config", best, "--runs", args.runs, "--seeds", "3", "--threads", args.threads, *changes]
    tuned_s = launch("retrain.py", *fine_tuning)
    tuned = last_test(args.runs)

    figures = {
        "search_minutes": Figure(search_s / 60, "minutes", "32 trials with ASHA, start-up included", 20),
        "retrain_minutes": Figure(tuned_s / 60, "minutes", "3 seeds with the encoder fine-tuned"),
    }
    for name, (goal, better) in GOALS.items():
        plain = f"same encoder plainly fine-tuned on text alone, one seed: {PLAIN[name]}"
        probe = f"linear probe on frozen mean + CLS features: {PROBE[name]}"
        figures[f"test/{name}"] = Figure(tuned[name], "mean of 3 seeds", plain, goal, better)  # type: ignore[arg-type]
        figures[f"frozen/test/{name}"] = Figure(frozen[name], "mean of 3 seeds", probe, PROBE[name], better)  # type: ignore[arg-type]
    print(record("mosi_minilm", figures).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
