"""The training of a frozen configuration with one seed, as ``retrain`` and ``compare`` do it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mmsa.data.corpus import Corpus
from mmsa.errors import TrainingDiverged
from mmsa.experiment import RunConfig
from mmsa.interface import decimals
from mmsa.results.entrants import KeptSeed
from mmsa.results.sealed import Say
from mmsa.training.bundle import save_bundle
from mmsa.training.folded import refit
from mmsa.training.loop import Progress, run
from mmsa.training.predictor import Result

_RECORD, _PREDICTIONS = "seed.json", "valid.npy"


class Watcher(Protocol):
    """Watches a retraining; never raises, since watching must not end what is watched."""

    def begin(
        self, config: RunConfig, corpus: Corpus, seeds: Sequence[int], selected: int | None, study: str | None
    ) -> None:
        """The first seed is about to be trained; ``selected`` is the one that a search of ``study`` chose."""

    def epoch(self, seed: int, number: int, metrics: Mapping[str, float]) -> None:
        """An epoch of a seed is over; counted from 1."""


def train_seed(
    config: RunConfig,
    corpus: Corpus,
    bundle: Path,
    cache: Path,
    prefix: str,
    say: Say,
    watch: Watcher | None = None,
) -> Result:
    """Train on train, select the epoch on valid, and keep the model.

    With folds the models of the folds select the epoch, and say how good the configuration is. What is kept
    is one model of all rows of development, trained for that many epochs, or with ``final: bag`` their mean.

    Args:
        config: with the seed.
        corpus: its train and valid splits.
        bundle: folder for the model.
        cache: folder that keeps encoded text between runs.
        prefix: of every line of progress.
        say: is given a line for each epoch.
        watch: is told of each epoch.

    Raises:
        TrainingDiverged: when a number stops being finite.
    """
    metric = config.train.metric

    def tell(progress: Progress) -> None:
        value, best = progress.metrics[metric], progress.best[metric]
        say(
            f"{prefix} epoch {progress.epoch}: {metric} {decimals(value)} "
            f"(best {decimals(best)}, {progress.best_epoch})"
        )
        if watch is not None:
            watch.epoch(config.seed, progress.epoch, progress.metrics)

    result = run(config, corpus, tell, cache=cache)
    if corpus.folds and config.data.folds.final == "refit":  # type: ignore[attr-defined]
        say(f"{prefix} refit on all {len(corpus['train'])} rows for {result.best_epoch} epochs")
        result = refit(config, corpus, result, cache=cache)
    save_bundle(result, bundle)
    return result


def kept_seed(
    config: RunConfig, corpus: Corpus, bundle: Path, cache: Path, prefix: str, say: Say
) -> KeptSeed:
    """Train as ``train_seed`` does, or read what an earlier call left. A training that diverges is kept too.

    Nothing is left of a training that was interrupted.
    """
    known = _read_seed(config, corpus, bundle)
    if known is not None:
        say(f"{prefix} is kept from before: {config.train.metric} {_told(known, config)}")
        return known
    try:
        result = train_seed(config, corpus, bundle, cache, prefix, say)
    except TrainingDiverged as error:
        say(f"{prefix} diverged: {error}")
        kept = KeptSeed(config.seed, bundle, {}, np.empty(0, np.float32), 0, str(error))
    else:
        # With folds the model that is kept has learned from the rows of valid.
        predictions_N = result.predict(corpus["valid"]) if result.held_out is None else result.held_out
        kept = KeptSeed(config.seed, bundle, result.metrics, predictions_N, result.num_parameters)
    _write_seed(kept, config, corpus)
    return kept


def _told(kept: KeptSeed, config: RunConfig) -> str:
    return kept.diverged or decimals(kept.metrics[config.train.metric])


def _identity(config: RunConfig, corpus: Corpus) -> dict[str, Any]:
    return {"config": config.model_dump(mode="json"), "corpus_digest": corpus.digest}


def _write_seed(kept: KeptSeed, config: RunConfig, corpus: Corpus) -> None:
    record = {
        **_identity(config, corpus),
        "metrics": dict(kept.metrics),
        "num_parameters": kept.num_parameters,
        "diverged": kept.diverged,
    }
    kept.bundle.mkdir(parents=True, exist_ok=True)
    np.save(kept.bundle / _PREDICTIONS, kept.predictions)
    # Last, and in one step: a folder with this file is whole.
    partial = kept.bundle / f".{_RECORD}"
    partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    partial.replace(kept.bundle / _RECORD)


def _read_seed(config: RunConfig, corpus: Corpus, bundle: Path) -> KeptSeed | None:
    """What is kept in a folder; None if that is nothing, or of another configuration or other data."""
    try:
        record = json.loads((bundle / _RECORD).read_text(encoding="utf-8"))
        predictions_N = np.load(bundle / _PREDICTIONS)
        if {name: record[name] for name in _identity(config, corpus)} != _identity(config, corpus):
            return None
        diverged = str(record["diverged"])
        if predictions_N.shape != (0 if diverged else len(corpus["valid"]),):
            return None
        return KeptSeed(
            config.seed, bundle, record["metrics"], predictions_N, record["num_parameters"], diverged
        )
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return None
