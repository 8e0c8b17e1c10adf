"""The one opening of test for all compared configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Corpus, Split
from mmsa.data.ledger import LEDGER, Ledger, OpenedBeside, Opening
from mmsa.data.rows import Rows
from mmsa.interface import direction_of
from mmsa.results.compared import OpenedTest
from mmsa.results.crossed import Crossed
from mmsa.results.entrants import Entrant
from mmsa.results.sealed import earlier_openings, open_test
from mmsa.results.verdict import gain, leader
from mmsa.training.bundle import load_bundle
from mmsa.training.constants import best_constants, constant_metrics
from mmsa.training.metrics import evaluate, target_metric

PREDICTIONS = "test.npz"
"""Name of the file with the predictions of all models on test: an array of seeds by rows for each name."""


def open_for_all(
    entrants: Sequence[Entrant],
    take: str,
    corpus: Corpus,
    *,
    study: str,
    metric: str,
    lower: bool,
    overrides: Mapping[str, Any],
    runs: Path,
    folder: Path,
) -> OpenedTest:
    """Open test once for all models of all configurations, after the verdict; what they predict is kept.

    Args:
        entrants: none of whose seeds diverged.
        take: name of the one that the verdict takes.
        corpus: train and valid.
        study: whose configurations they are.
        metric: that decided on valid.
        lower: whether less of it is better.
        overrides: of every configuration.
        runs: folder of all runs, with the ledger.
        folder: of this comparison.
    """
    whole = {entrant.candidate.name: entrant for entrant in entrants}
    taken, others = whole[take], {name: entrant for name, entrant in whole.items() if name != take}
    ledger = Ledger(runs / LEDGER)
    rows = Rows.of(corpus, "test").rows
    opening = Opening(
        data_set=corpus.name,
        config_digest=taken.candidate.digest,
        corpus_digest=corpus.digest,
        study=study,
        trial=taken.candidate.trial,
        seeds=[kept.seed for kept in taken.seeds],
        overrides=dict(overrides),
        test_rows=rows.text(),
        config=taken.candidate.config.model_dump(mode="json"),
        beside=[_beside(entrant) for entrant in others.values()],
    )
    earlier, elsewhere = earlier_openings(ledger, opening, rows)
    test = open_test(ledger, opening, taken.candidate.config)
    told = {
        name: [load_bundle(kept.bundle, runs / "cache").predict_all(test) for kept in entrant.seeds]
        for name, entrant in whole.items()
    }
    predictions = {
        name: np.stack([own[corpus.target.name] for own in outputs]) for name, outputs in told.items()
    }
    further = {name: _further(corpus, test, outputs) for name, outputs in told.items()}
    crossed = Crossed(test.labels, test.groups, corpus.target, predictions)
    by_seed = {name: {of: crossed.by_seed(name, of) for of in crossed.metrics} for name in whole}
    measured = {name: _by_model({**metrics, **further[name]}) for name, metrics in by_seed.items()}
    beside = [replace(_beside(entrant), metrics=measured[name]) for name, entrant in others.items()]
    ledger.measure(opening, test.digest, measured[take], beside)
    _keep(folder, predictions)
    sign = 1.0 if lower else -1.0
    models = {
        (name, kept.seed): sign * value
        for name, entrant in whole.items()
        for kept, value in zip(entrant.seeds, by_seed[name][metric], strict=True)
    }
    return OpenedTest(
        opening=opening.id,
        date=opening.date,
        test_digest=test.digest,
        num_rows=len(test),
        num_groups=len(np.unique(test.groups)),
        means={name: {of: crossed.mean(name, of).paired() for of in crossed.metrics} for name in whole},
        by_seed=by_seed,
        gains={
            name: {
                of: gain(crossed, take, name, of, lower=direction_of(of) == "minimize").paired()
                for of in crossed.metrics
            }
            for name in others
        },
        constants=best_constants(constant_metrics(corpus["train"].labels, test.labels, corpus.target)),
        earlier=earlier,
        elsewhere={other or "": count for other, count in elsewhere.items()},
        take=take,
        chosen_on_test=leader(crossed, list(whole), metric, lower=lower),
        best_single=min(models, key=models.__getitem__),
        further=further,
    )


def _further(
    corpus: Corpus, test: Split, outputs: Sequence[Mapping[str, NDArray[np.float32]]]
) -> dict[str, list[float]]:
    """Metrics of each model of the targets beside the primary one that it predicts."""
    found: dict[str, list[float]] = {}
    for target in corpus.targets[1:]:
        for own in outputs:
            if target.name in own:
                metrics = evaluate(test.further_targets[target.name], own[target.name], target)
                for name, value in metrics.items():
                    found.setdefault(target_metric(corpus, target, name), []).append(value)
    return found


def _keep(folder: Path, predictions: Mapping[str, NDArray[np.float32]]) -> None:
    with (folder / PREDICTIONS).open("wb") as file:
        np.savez(file, **dict(predictions))  # type: ignore[arg-type]


def _beside(entrant: Entrant) -> OpenedBeside:
    return OpenedBeside(
        trial=entrant.candidate.trial,
        config_digest=entrant.candidate.digest,
        config=entrant.candidate.config.model_dump(mode="json"),
        seeds=[kept.seed for kept in entrant.seeds],
    )


def _by_model(by_metric: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    """Metrics of each seed from the seeds of each metric."""
    return [dict(zip(by_metric, values, strict=True)) for values in zip(*by_metric.values(), strict=True)]
