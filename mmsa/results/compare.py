"""Is the best trial really the best? Its like and the defaults over fresh seeds, then test once for all.

Everything is decided on valid of the fresh seeds: the values that the search selected by flatter what was
selected. The verdict is written down before test is opened, and test can change nothing of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmsa.data.catalogue import open_corpus
from mmsa.data.corpus import Corpus
from mmsa.data.ledger import LEDGER, Ledger
from mmsa.data.validation import raise_data_error
from mmsa.errors import ConfigError, Problem, StudyError
from mmsa.interface import VALID
from mmsa.results.candidates import candidates
from mmsa.results.compared import (
    COMPARED,
    PAGE,
    RESULT,
    ComparedConfig,
    Comparison,
    EarlierComparison,
    OpenedTest,
)
from mmsa.results.crossed import Crossed
from mmsa.results.entrants import Candidate, Entrant
from mmsa.results.export import exported_trial
from mmsa.results.opened import open_for_all
from mmsa.results.race import crossed_valid, train_all
from mmsa.results.sealed import Say, check_same_data, check_test
from mmsa.results.verdict import judge
from mmsa.search.study.view import StudyView
from mmsa.seeding import derive_seed
from mmsa.training.constants import best_constants, constant_metrics
from mmsa.training.metrics import metric_names
from mmsa.training.selection import undecidable

FEWEST_SEEDS = 5
"""Fewer would have a 95 % interval of more than three standard errors to each side."""


def compare(
    study: StudyView,
    *,
    top: int,
    num_seeds: int,
    overrides: Mapping[str, Any],
    runs: Path,
    say: Say,
    open_sealed: bool = True,
) -> Comparison:
    """Compare the ``top`` best configurations of a study and the defaults over the same fresh seeds.

    Finished seeds are kept in ``runs``/compared/<study>: the same call again goes on from there, and with
    more seeds or configurations trains what is missing. For the same models test is not opened again.

    Args:
        study: as it stands.
        top: how many, beside the defaults; at least 1.
        num_seeds: fresh seeds, at least ``FEWEST_SEEDS``.
        overrides: changes of every configuration by dotted path, such as where the data lie.
        runs: folder of all runs.
        say: is given lines of progress.
        open_sealed: whether test is opened, once for all and after the verdict.

    Raises:
        StudyError: where there is nothing to compare, fewer than two configurations can be trained, or the
            study chooses by a target that is not the first.
        ConfigError: for too few seeds, or overrides that do not fit.
        DataError: as ``retrain``.
    """
    if num_seeds < FEWEST_SEEDS:
        rule = f"are fewer than the {FEWEST_SEEDS} that a comparison needs to tell seeds from settings"
        raise ConfigError("compare", [Problem("--seeds", num_seeds, rule, f"Write {FEWEST_SEEDS} or more.")])
    compared = candidates(study, top, overrides)
    corpus = _open(study, compared, overrides, open_sealed, say)
    metric, lower = _deciding(study, corpus)
    raise_data_error(corpus.name, undecidable(corpus, [VALID + metric]))
    Ledger(runs / LEDGER).openings()  # one that cannot be written to is told before the first epoch
    folder = runs / COMPARED / study.name
    seeds = [derive_seed("compare", study.name, number) for number in range(1, num_seeds + 1)]
    say(
        f"{len(compared)} configurations, {num_seeds} fresh seeds; finished ones are kept in {folder}: "
        "if this command is stopped, the same one goes on"
    )
    entrants = train_all(compared, corpus, seeds, folder, runs / "cache", metric, lower, say)
    comparison = _judged(study, entrants, corpus, seeds, metric, lower)
    if earlier := _opened_before(runs, comparison):
        say(f"test was opened for these very models on {earlier.date}: it is not opened again")
        comparison = replace(comparison, test=earlier)
    _write(folder, comparison)  # before test is opened: what it says cannot change the verdict
    if open_sealed and not earlier:
        opened = open_for_all(
            [entrant for entrant in entrants if not entrant.diverged],
            comparison.verdict.take,
            corpus,
            study=study.name,
            metric=metric,
            lower=lower,
            overrides=overrides,
            runs=runs,
            folder=folder,
        )
        comparison = replace(comparison, test=opened)
        _write(folder, comparison)
    return comparison


def _open(
    study: StudyView,
    compared: Sequence[Candidate],
    overrides: Mapping[str, Any],
    open_sealed: bool,
    say: Say,
) -> Corpus:
    """Train and valid, after all checks that need no training."""
    first = compared[0]
    other = next((c.name for c in compared if c.config.data != first.config.data), None)
    if other is not None:
        raise StudyError(
            f"{first.name} and {other} of study {study.name!r} read their data in different ways, so that "
            "no difference between them is one of models: compare a study that does not search data settings"
        )
    corpus = open_corpus(first.config.data)
    if corpus.repeats > 1:
        raise StudyError(
            f"study {study.name!r} deals its rows to folds {corpus.repeats} times, and each row has several "
            "predictions: compare with --set data.folds.repeats=1"
        )
    assert first.trial is not None  # only defaults may lack one, and they come last
    exported = exported_trial(study, study.trial(first.trial))
    check_same_data(exported, overrides, corpus)
    if open_sealed:
        check_test(exported, first.config, overrides, corpus, say)
    return corpus


def _deciding(study: StudyView, corpus: Corpus) -> tuple[str, bool]:
    """The metric that decides, without a prefix, and whether less of it is better.

    It is the first objective that predictions on valid have, or else what epochs are chosen by.
    """
    train = study.config.base.train
    known = {VALID + name for name in metric_names(corpus.suite)}
    for objective in study.config.search.objectives:
        if objective.metric in known:
            return objective.metric.removeprefix(VALID), objective.direction == "minimize"
    if train.metric not in known:
        raise StudyError(
            f"study {study.name!r} chooses by {train.metric}, and a comparison decides by the first target, "
            f"{corpus.target.name}: search anew with the other one as the first (data.target), or retrain "
            "trials one by one (launch/export.py --trial N, then launch/retrain.py)"
        )
    return train.metric.removeprefix(VALID), train.direction == "minimize"


def _judged(
    study: StudyView,
    entrants: Sequence[Entrant],
    corpus: Corpus,
    seeds: Sequence[int],
    metric: str,
    lower: bool,
) -> Comparison:
    """The comparison on valid."""
    whole = [entrant for entrant in entrants if not entrant.diverged]
    if len(whole) < 2:
        reasons = "; ".join(f"{e.candidate.name}: {e.diverged}" for e in entrants if e.diverged)
        raise StudyError(
            f"fewer than two configurations of study {study.name!r} train without diverging with every fresh "
            f"seed, so that there is nothing to compare ({reasons}). Compare more of them with --top"
        )
    crossed, valid = crossed_valid(whole, corpus), corpus["valid"]
    verdict = judge(crossed, [entrant.contender for entrant in whole], metric, lower=lower)
    constants = best_constants(constant_metrics(corpus["train"].labels, valid.labels, corpus.target))
    same = study.config.search.objectives[0].metric == VALID + metric
    return Comparison(
        study=study.name,
        data_set=corpus.name,
        metric=metric,
        lower=lower,
        num_rows=len(valid),
        num_groups=len(np.unique(valid.groups)),
        seeds=list(seeds),
        configs=[_compared(entrant, crossed, corpus, searched=same) for entrant in entrants],
        verdict=verdict,
        constant=constants.get(metric),
        tested=study.tested,
    )


def _compared(entrant: Entrant, crossed: Crossed, corpus: Corpus, *, searched: bool) -> ComparedConfig:
    candidate, metrics = entrant.candidate, [] if entrant.diverged else crossed.metrics
    beside = tuple(f"{VALID}{target.name}/" for target in corpus.targets[1:])
    further = [] if entrant.diverged else [n for n in entrant.seeds[0].metrics if n.startswith(beside)]
    return ComparedConfig(
        name=candidate.name,
        trial=candidate.trial,
        config_digest=candidate.digest,
        params=candidate.params,
        seeds=[kept.seed for kept in entrant.seeds],
        by_seed={name: crossed.by_seed(candidate.name, name) for name in metrics},
        means={name: crossed.mean(candidate.name, name).paired() for name in metrics},
        searched=candidate.searched if searched else None,
        parameters=entrant.seeds[0].num_parameters,
        changes=candidate.changes,
        left_race=entrant.left_race,
        diverged=entrant.diverged,
        further={n.removeprefix(VALID): [kept.metrics[n] for kept in entrant.seeds] for n in further},
    )


def _opened_before(runs: Path, comparison: Comparison) -> OpenedTest | None:
    """What test said of the same models under the same verdict; None if it was not asked."""
    earlier = EarlierComparison.of(runs, comparison.study)
    models = [(config.config_digest, [*config.seeds]) for config in comparison.configs]
    if earlier is None or (earlier.models, earlier.take) != (models, comparison.verdict.take):
        return None
    return earlier.test


def _write(folder: Path, comparison: Comparison) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(comparison.to_dict(), indent=2) + "\n"
    for name, content in ((RESULT, text), (PAGE, comparison.markdown())):
        partial = folder / f".{name}"
        partial.write_text(content, encoding="utf-8")
        partial.replace(folder / name)
