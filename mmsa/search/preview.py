"""What a search would do, without doing it: ``--dry-run``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import optuna

from mmsa.config import dump_yaml, with_overrides
from mmsa.objectives import warnings
from mmsa.search.corpora import prepare
from mmsa.search.misfits import refuse_misfits
from mmsa.search.reported import reported_lines
from mmsa.search.scalars import Scalar
from mmsa.search.study_config import StudyConfig
from mmsa.training import count_parameters, count_steps, time_step

_NUM_SAMPLES = 3


def dry_run(config: StudyConfig, cache: Path) -> Iterator[str]:
    """Paragraphs to print, each as soon as it is known; no study is read or written.

    Raises:
        DataError: for missing or damaged data, after the paragraphs that do not need it.
        ConfigError: for combinations that do not fit each other or the data, at the same place.
    """
    yield f"base configuration:\n\n{_indented(dump_yaml(config.base.model_dump()))}\n"
    yield from (f"warning: {warning}" for warning in warnings(config.base.objective))
    yield from reported_lines(config.reported)
    yield f"searched parameters: {len(config.space.parameters)}"
    for position, point in enumerate(samples(config), start=1):
        text = dump_yaml(point) if point else "as the base"
        yield f"sampled configuration {position}:\n\n{_indented(text)}\n"
    corpus = prepare(config.base, cache)
    refuse_misfits(config, corpus)
    parameters = count_parameters(config.base, corpus, cache=cache)
    yield f"data: {corpus.name}, {len(corpus['train'])} rows to train on, {len(corpus['valid'])} to validate"
    yield f"trained parameters: {parameters:,} (base configuration)"
    as_a_trial = with_overrides(config.base, {"train.threads": config.threads})
    seconds = time_step(as_a_trial, corpus, cache=cache)
    steps, trials = count_steps(config.base, corpus, cache=cache), config.search.trials
    total = timedelta(seconds=round(seconds * steps * trials))
    yield (
        f"cost at most: {1000 * seconds:.3g} ms/step x {steps:,} steps x {trials:,} trials = {total} "
        "of one worker, if no trial stops early"
    )


def samples(config: StudyConfig) -> list[Mapping[str, Scalar]]:
    """A few points of the space, as the sampler chooses them while it knows nothing yet."""
    study = optuna.create_study(
        directions=[objective.direction for objective in config.search.objectives],
        sampler=config.build_sampler(num_trials=0),
    )
    return [config.space.suggest(study.ask()) for _ in range(_NUM_SAMPLES)]


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else line for line in text.splitlines())
