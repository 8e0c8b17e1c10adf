"""The training of a frozen configuration with one seed, as ``retrain`` and ``compare`` do it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmsa.data.corpus import Corpus
from mmsa.experiment import RunConfig
from mmsa.training.bundle import save_bundle
from mmsa.training.loop import Progress, run
from mmsa.training.predictor import Result

Say = Callable[[str], None]


def train_seed(config: RunConfig, corpus: Corpus, bundle: Path, cache: Path, prefix: str, say: Say) -> Result:
    """Train on train, select the epoch on valid, and keep the model.

    Args:
        config: with the seed.
        corpus: its train and valid splits.
        bundle: folder for the model.
        cache: folder that keeps encoded text between runs.
        prefix: of every line of progress.
        say: is given a line for each epoch.

    Raises:
        TrainingDiverged: when a number stops being finite.
    """
    metric = config.train.metric

    def tell(progress: Progress) -> None:
        value, best = progress.metrics[metric], progress.best[metric]
        say(f"{prefix} epoch {progress.epoch}: {metric} {value:.4f} (best {best:.4f}, {progress.best_epoch})")

    result = run(config, corpus, tell, cache=cache)
    save_bundle(result, bundle)
    return result
