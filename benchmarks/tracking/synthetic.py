"""A study of any number of trials, told to MLflow by the mirror's own writer."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from math import log10
from pathlib import Path

from mmsa.interface import Outcome, PairedDifference, ReferencePoint, SplitCard, StudyCard, TrialCard

_COEFFICIENTS = ("objective.terms.cpc.weight", "objective.terms.barber_agakov.weight")
_FIXED = {"model.name": "mmim", "data.name": "synthetic", "train.epochs": 6, "train.batch_size": 32}
_SPLITS = [SplitCard("train", "0" * 64, 1284, 52), SplitCard("valid", "1" * 64, 229, 10)]


def synthetic_study(
    num_trials: int, name: str = "synthetic", seed: int = 0, with_curves: int | None = None
) -> tuple[StudyCard, list[TrialCard]]:
    """A study whose best trials have a learning rate near 0.003, one in ten pruned and some diverged.

    Only the first ``with_curves`` trials have curves, where that is given: most of the time goes into them.
    """
    chance = random.Random(seed)
    trials = [_trial(number, chance) for number in range(num_trials)]
    bare = [] if with_curves is None else trials[with_curves:]
    trials[len(trials) - len(bare) :] = [replace(trial, epochs={}) for trial in bare]
    gains = {"valid/mae": PairedDifference(0.05, 0.02, 0.08)}
    study = StudyCard(
        name=name,
        identity=f"{seed:032x}",
        data_set="synthetic",
        metrics=("valid/mae",),
        directions=("minimize",),
        num_trials=num_trials,
        space_yaml=f"study: {name}\n",
        tags={"corpus_digest": "77ab", "git_commit": "0f3a"},
        references=[ReferencePoint("ridge/all", "completed", "77ab", {"valid/mae": 0.9}, gains=gains)],
        parameters=("optim.lr", "model.fusion.dropout", *_COEFFICIENTS),
        coefficients=_COEFFICIENTS,
        fixed=_FIXED,
        splits=_SPLITS,
        constants={"valid/mae": 1.4},
        num_epochs=6,
    )
    return study, trials


def _trial(number: int, chance: random.Random) -> TrialCard:
    rate, dropout = 10 ** chance.uniform(-4, -1), chance.uniform(0, 0.5)
    weights = [10 ** chance.uniform(-2, 0) for _ in _COEFFICIENTS]
    value = 0.7 + 0.1 * abs(2.5 + log10(rate)) + 0.05 * weights[0] + chance.gauss(0, 0.02)
    outcome: Outcome = chance.choices(("completed", "pruned", "diverged"), (85, 10, 5))[0]
    last = 6 if outcome == "completed" else 2
    epochs = {
        epoch: {
            "valid/mae": value + 0.3 / epoch,
            "valid/pearson": 0.8 - 0.1 / epoch,
            "train/loss": value + 0.5 / epoch,
            "loss/task": value + 0.4 / epoch,
            "loss/cpc": weights[0] / epoch,
            "bound/cpc/text": 1.0 - 0.5 / epoch,
        }
        for epoch in range(1, last + 1)
    }
    best = epochs[last] if outcome != "diverged" else {}
    reasons = {"pruned": "not among the best after epoch 2", "diverged": "task became nan at step 12"}
    return TrialCard(
        number=number,
        outcome=outcome,
        params={
            "optim.lr": rate,
            "model.fusion.dropout": dropout,
            **dict(zip(_COEFFICIENTS, weights, strict=True)),
        },
        config_yaml=f"optim: {{lr: {rate}}}\n",
        values=(best["valid/mae"],) if outcome == "completed" else (),
        reason=reasons.get(outcome, ""),
        epochs=epochs,
        started=1.8e9 + number,
        finished=1.8e9 + number + 60,
        metrics=best,
        best_epoch=last if best else None,
        standard_error=0.03,
    )


def multiply_trials(database: Path, times: int) -> None:
    """Copy every trial of an SQLite store ``times - 1`` times within the database, each copy a little worse.

    To write a trial takes MLflow fifty statements; a page does not know how its rows came to be.
    """
    with closing(sqlite3.connect(database)) as store, store:
        of_trials = "SELECT run_uuid FROM tags WHERE key = 'mmsa.role' AND value = 'trial'"
        numbers = "SELECT max(CAST(value AS INTEGER)) + 1 FROM tags WHERE key = 'mmsa.trial'"
        (step,) = store.execute(numbers).fetchone()
        store.execute(f"CREATE TEMP TABLE originals AS {of_trials}")
        for copy in range(1, times):
            changed = {
                ("runs", "run_uuid"): f"substr(run_uuid, 1, 28) || printf('x%03d', {copy})",
                ("tags", "value"): f"CASE key WHEN 'mmsa.trial' THEN CAST(value + {copy * step} AS TEXT) "
                f"WHEN 'mlflow.runName' THEN 'trial ' || (substr(value, 7) + {copy * step}) ELSE value END",
                ("runs", "name"): f"'trial ' || (substr(name, 7) + {copy * step})",
                ("latest_metrics", "value"): f"value + {copy} * 0.01",
            }
            for table in ("runs", "tags", "params", "metrics", "latest_metrics"):
                names = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
                cells = [changed.get((table, name), name) for name in names]
                cells[names.index("run_uuid")] = changed["runs", "run_uuid"]
                store.execute(
                    f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(cells)} FROM {table} "
                    "WHERE run_uuid IN (SELECT run_uuid FROM originals)"
                )
