"""The fresh seeds of all compared configurations, and who leaves before the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmsa.config import with_overrides
from mmsa.data.corpus import Corpus
from mmsa.results.crossed import Crossed
from mmsa.results.entrants import Candidate, Entrant
from mmsa.results.sealed import Say
from mmsa.results.seeds import kept_seed
from mmsa.results.verdict import RACE_AFTER, out_of_the_race


def train_all(
    compared: Sequence[Candidate],
    corpus: Corpus,
    seeds: Sequence[int],
    folder: Path,
    cache: Path,
    metric: str,
    lower: bool,
    say: Say,
) -> list[Entrant]:
    """Train all configurations that stay in the race, seed by seed, so that all have as many.

    Args:
        compared: the configurations.
        corpus: train and valid, the same for all.
        seeds: likewise.
        folder: keeps finished seeds.
        cache: keeps encoded text between runs.
        metric: that decides who leaves the race.
        lower: whether less of it is better.
        say: is given lines of progress.
    """
    entrants = [Entrant(candidate, []) for candidate in compared]
    for number, seed in enumerate(seeds, 1):
        for entrant in entrants:
            if entrant.left_race or entrant.diverged:
                continue
            name, config = entrant.candidate.name, entrant.candidate.config
            # Measuring information changes nothing of a run, and nobody reads it here.
            config = with_overrides(config, {"seed": seed, "information.quantities": []})
            bundle = folder / entrant.candidate.digest[:12] / f"seed-{seed}"
            prefix = f"{name}, seed {number}/{len(seeds)} ({seed})"
            entrant.seeds.append(kept_seed(config, corpus, bundle, cache, prefix, say))
        if number == RACE_AFTER < len(seeds):
            _race([entrant for entrant in entrants if not entrant.diverged], corpus, metric, lower, say)
    return entrants


def _race(entrants: Sequence[Entrant], corpus: Corpus, metric: str, lower: bool, say: Say) -> None:
    """Take configurations out of the race that are far behind."""
    if len(entrants) < 2:
        return
    contenders = [entrant.contender for entrant in entrants]
    gone = out_of_the_race(crossed_valid(entrants, corpus), contenders, metric, lower=lower)
    for entrant in entrants:
        entrant.left_race = entrant.candidate.name in gone
    for name in gone:
        say(f"{name} leaves the race: its whole 99 % interval lies behind the best")


def crossed_valid(entrants: Sequence[Entrant], corpus: Corpus) -> Crossed:
    """Metrics of all seeds on valid. No seed of the entrants may have diverged."""
    valid = corpus["valid"]
    predictions = {
        entrant.candidate.name: np.stack([kept.predictions for kept in entrant.seeds]) for entrant in entrants
    }
    return Crossed(valid.labels, valid.groups, corpus.target, predictions)
