"""Spaces that hold combinations of encoders, fusion, terms and strategy that make no sense."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mmsa.config import with_overrides
from mmsa.data import Corpus
from mmsa.data.inputs import InputSpec
from mmsa.data.targets import TargetSpec
from mmsa.errors import ConfigError, Problem
from mmsa.experiment import RunConfig
from mmsa.search.corpora import text_encoding
from mmsa.search.definition.information import information_problems
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.space.scalars import Scalar
from mmsa.training import refuse_misfit
from mmsa.training.metrics import metric_names
from mmsa.training.selection import PREFIX, undecidable

_MATTERS = ("model.", "objective.")


def refuse_misfits(config: StudyConfig, encoded: Corpus) -> None:
    """Build the base, and each extreme value of each searched setting of model and objective.

    Values that have the text encoded in another way are left to their trials, and so are combinations of
    several extremes.

    Args:
        encoded: the corpus with its text encoded for the base.

    Raises:
        ConfigError: with everything that does not fit; when the base does not, with that alone, and with
            objectives and bounds that no trial measures, or that cannot choose on these data.
    """
    inputs, targets = InputSpec.of(encoded), TargetSpec.of(encoded)
    found = _misfits(config.base, inputs, targets)
    problems = [Problem(f"base.{p.path}", p.value, p.rule, p.next_step) for p in found]
    problems += information_problems(config, tuple(inputs.modalities()))
    problems += _metric_problems(config, encoded)
    if not problems:
        by_rule: dict[tuple[str, str], Problem] = {}
        for path, value, run in _extremes(config):
            for p in _misfits(run, inputs, targets):
                rule = f"does not fit: {p.path} {p.value} {p.rule}"
                by_rule.setdefault(
                    (p.path, p.rule), Problem(f"search.parameters.{path}", value, rule, p.next_step)
                )
        problems = list(by_rule.values())
    if problems:
        raise ConfigError(f"study {config.study}", problems)


def _metric_problems(config: StudyConfig, corpus: Corpus) -> list[Problem]:
    """What is chosen by must be measured on the data, and be able to choose on them."""
    known = [PREFIX + name for name in metric_names(corpus.suite)]
    rule = f"is not a metric of {corpus.name}, which is scored with {', '.join(known)}"
    chosen_by = {"base.train.metric": config.base.train.metric}
    chosen_by |= {f"search.objectives.{n}.metric": o.metric for n, o in enumerate(config.search.objectives)}
    chosen_by |= {f"search.constraints ({bound.text})": bound.metric for bound in config.metric_bounds}
    problems = [
        Problem(path, metric, rule, "data.metrics says what the data are scored with.")
        for path, metric in chosen_by.items()
        if metric.startswith(PREFIX) and metric not in known
    ]
    if "valid" in corpus.splits:  # what stands in for data that are not at hand has train alone
        found = undecidable(corpus, chosen_by.values())
        problems += [replace(problem, path=f"base.{problem.path}") for problem in found]
    return problems


def refuse_unfit_finalists(config: StudyConfig, base: RunConfig, encoded: Corpus) -> None:
    """Build the base with what is set for finalists.

    Args:
        base: with those settings.
        encoded: the corpus with its text encoded for it.

    Raises:
        ConfigError: with everything that does not fit.
    """
    problems = [
        Problem("search.finalists.set", p.value, f"does not fit: {p.path} {p.rule}", p.next_step)
        for p in _misfits(base, InputSpec.of(encoded), TargetSpec.of(encoded))
    ]
    if problems:
        raise ConfigError(f"study {config.study}", problems)


def _extremes(config: StudyConfig) -> Iterator[tuple[str, Scalar, RunConfig]]:
    for path, value, point in config.space.corners(config.base):
        if path.startswith(_MATTERS):
            run = with_overrides(config.base, point)
            if text_encoding(run) == text_encoding(config.base):
                yield path, value, run


def _misfits(run: RunConfig, inputs: InputSpec, targets: TargetSpec) -> tuple[Problem, ...]:
    try:
        refuse_misfit(run, inputs, targets)
    except ConfigError as error:
        return error.problems
    except RuntimeError:  # more weights than torch can count: the trial will say so
        return ()
    return ()
