"""What a trial costs in each study storage: TPE with 20 parameters, a report after each of 9 epochs.

Reference: the same loop in memory, where all the time is the sampler's. What a storage adds to it is its own
cost. All storages are measured in one run, in turns, because the machine's speed changes from minute to
minute; the figures to trust are the ratios.

    python benchmarks/storage.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import optuna
from figures import Figure, record
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

PARAMETERS, EPOCHS, TRIALS, TURNS = 20, 9, 40, 5


def journal(folder: Path) -> BaseStorage:
    return JournalStorage(JournalFileBackend(str(folder / "study.journal")))


def sqlite(folder: Path) -> BaseStorage:
    return RDBStorage(f"sqlite:///{folder / 'study.db'}")


def seconds_per_trial(storage: BaseStorage, seed: int) -> float:
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True)
    study = optuna.create_study(storage=storage, study_name=f"turn-{seed}", sampler=sampler)
    started = time.perf_counter()
    for _ in range(TRIALS):
        trial = study.ask()
        point = [trial.suggest_float(f"parameter.{i}", 0.0, 1.0) for i in range(PARAMETERS)]
        value = sum((x - 0.5) ** 2 for x in point)
        for epoch in range(1, EPOCHS + 1):
            trial.set_user_attr(f"epoch/{epoch}", {"valid/mae": value})
            trial.report(value / epoch, epoch)
        study.tell(trial, value)
    return (time.perf_counter() - started) / TRIALS


def seconds_to_reopen(storage: Callable[[Path], BaseStorage], folder: Path) -> float:
    started = time.perf_counter()
    opened = storage(folder)
    for turn in range(TURNS):
        optuna.load_study(storage=opened, study_name=f"turn-{turn}").get_trials(deepcopy=False)
    return time.perf_counter() - started


def measure() -> tuple[dict[str, float], dict[str, float]]:
    turns: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        opened = {"memory": InMemoryStorage(), "journal": journal(folder), "sqlite": sqlite(folder)}
        for turn in range(TURNS):
            for kind, storage in opened.items():
                turns.setdefault(kind, []).append(seconds_per_trial(storage, seed=turn))
        reopened = {kind.__name__: seconds_to_reopen(kind, folder) for kind in (journal, sqlite)}
    return {kind: median(seconds) for kind, seconds in turns.items()}, reopened


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seconds, reopened = measure()
    own = {kind: seconds[kind] - seconds["memory"] for kind in ("journal", "sqlite")}
    loop = f"{PARAMETERS} parameters, {EPOCHS} epochs, mean of {TRIALS} trials, median of {TURNS} turns"
    figures = {
        f"{kind}/ms_per_trial": Figure(1000 * value, "ms", f"{loop}; sampler included")
        for kind, value in seconds.items()
    }
    figures |= {
        f"{kind}/ms_to_reopen": Figure(
            1000 * value, "ms", f"{TURNS} studies of {TRIALS} such trials, all read"
        )
        for kind, value in reopened.items()
    }
    figures["sqlite_over_journal/own_cost"] = Figure(
        own["sqlite"] / own["journal"], "x", "cost beyond the same loop in memory", goal=1.0, better="higher"
    )
    print(record("storage", figures).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
