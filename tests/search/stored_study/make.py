"""Make the study that ``test_stored_study.py`` continues: ``python tests/search/stored_study/make.py``.

It is made by the commit *before* a change that a running study has to survive, and is not made anew after it.
A driver is killed in its third trial; a copy of the study is then continued by the same code, and what its
trials come to is kept beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import mmsa
from mmsa.data.planted import Planted
from mmsa.search.definition.load import load_space
from mmsa.search.execution.executor import SearchOptions, run_search
from mmsa.search.locks import ProcessLock
from mmsa.search.study.journal import JOURNAL, _running, _store_digests, digests_of
from mmsa.search.study.view import read_study

FOLDER = Path(__file__).parent
NAME = "stored"
INTERRUPTED = (2, 3)
"""The trial that is interrupted, and the epoch after which the driver dies."""


class Killer:
    """An observer that ends its own process."""

    def __getattr__(self, event: str) -> Any:
        return lambda *_: None

    def trial_epoch(self, number: int, epoch: int, metrics: object) -> None:
        if (number, epoch) == INTERRUPTED:
            os.kill(os.getpid(), signal.SIGKILL)


def search(*observers: Any) -> None:
    options = SearchOptions(Path("runs"), cpus=1, concurrency=1, checkpoint_seconds=0.0)
    run_search(load_space("space.yaml"), options, observers, print)


def main() -> None:
    write_data(FOLDER / "planted.npz")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("planted.npz", "space.yaml"):
            shutil.copy(FOLDER / name, folder)
        os.chdir(folder)
        subprocess.run([sys.executable, __file__, "killed"], check=False)
        wait_for_workers(Path("runs"))
        shutil.rmtree(FOLDER / "runs", ignore_errors=True)
        shutil.copytree(
            "runs", FOLDER / "runs", ignore=shutil.ignore_patterns("ray", "cache", "lock", "*.lease")
        )
        scrub(FOLDER / "runs" / NAME / JOURNAL)
        search()
        trials = [
            {
                "outcome": trial.outcome,
                "overrides": trial.overrides,
                "values": trial.values,
                "best_epoch": trial.best_epoch,
                "epochs": {epoch: metrics["valid/mae"] for epoch, metrics in trial.epochs.items()},
            }
            for trial in read_study(NAME, Path("runs")).trials()
        ]
        (FOLDER / "trials.json").write_text(json.dumps(trials, indent=1) + "\n", encoding="utf-8")
        os.chdir(FOLDER)


def write_data(path: Path) -> None:
    """Planted rows in a file: a drawing made anew may differ in its last bits on another machine."""
    config = Planted.Config(
        rows_train=40, rows_valid=20, rows_test=10, audio_frames=(1, 1), vision_frames=(1, 1)
    )
    corpus = Planted(config).open(["train", "valid", "test"])
    splits = [corpus[name] for name in ("train", "valid", "test")]
    columns = {
        name: np.concatenate([getattr(split, name).values for split in splits])
        for name in ("text", "audio", "vision")
    }
    np.savez_compressed(
        path,
        **columns,
        id=np.concatenate([split.ids for split in splits]),
        video_id=np.concatenate([split.groups for split in splits]),
        label=np.concatenate([split.labels for split in splits]),
        split=np.repeat(["train", "valid", "test"], [len(split) for split in splits]),
    )


def wait_for_workers(runs: Path) -> None:
    """Workers outlive a killed driver for some seconds."""
    for lock in runs.glob("*/trials/*/lock"):
        ProcessLock(lock, patience=60.0).release()


def scrub(journal: Path) -> None:
    """Take this machine out of the journal, and bring the digests beside it up to date."""
    text = journal.read_text(encoding="utf-8")
    text = text.replace(str(Path(mmsa.__file__).parent), "mmsa").replace(socket.gethostname(), "host")
    journal.write_text(text, encoding="utf-8")
    digests_of(journal).unlink()
    lines = [line + b"\n" for line in journal.read_bytes().split(b"\n")[:-1]]
    _store_digests(journal, list(_running(lines)))


if __name__ == "__main__":
    search(Killer()) if "killed" in sys.argv else main()
