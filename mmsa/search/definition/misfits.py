"""Spaces that hold combinations of encoders, fusion, terms and strategy that make no sense."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mmsa.config import with_overrides
from mmsa.data import Corpus
from mmsa.errors import ConfigError, Problem
from mmsa.experiment import RunConfig
from mmsa.search.costs import GIB
from mmsa.search.definition.idle import Drafts, idle_parameters
from mmsa.search.definition.information import information_problems
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.space.scalars import Scalar
from mmsa.training import Blueprint
from mmsa.training.metrics import metric_names
from mmsa.training.selection import PREFIX, undecidable

_MATTERS = ("model.", "objective.", "train.batch_size")
_MOST_MEMORY = 2**42  # bytes


@dataclass(frozen=True)
class Outlook:
    """What can be told of the trials of a study before one runs.

    idle: searched parameters without an effect on these data, and why. base: the base on paper, None where
    that cannot be told. largest: of all extremes, the one whose trial takes most memory: path, value, bytes.
    """

    idle: Mapping[str, str]
    base: Blueprint | None
    largest: tuple[str, Scalar, int] | None


def refuse_misfits(config: StudyConfig, encoded: Corpus) -> Outlook:
    """Build the base, and each extreme value of each searched setting of model and objective, on paper.

    Values that have the text encoded in another way are left to their trials, and so are combinations of
    several extremes.

    Args:
        encoded: the corpus with its text encoded for the base.

    Raises:
        ConfigError: with everything that does not fit, or takes more memory than any machine has; when the
            base does not, with that alone, and with objectives and bounds that no trial measures, or that
            cannot choose on these data.
    """
    drafts = Drafts(config.base, encoded)
    base, found = _drawn(config.base, drafts)
    problems = [Problem(f"base.{p.path}", p.value, p.rule, p.next_step) for p in found]
    problems += information_problems(config, tuple(drafts.inputs.modalities()))
    problems += _metric_problems(config, encoded)
    largest: tuple[str, Scalar, int] | None = None
    if not problems:
        by_rule: dict[tuple[str, str], Problem] = {}
        for path, value, run in _extremes(config):
            drawn, found = _drawn(run, drafts)
            for p in found:
                rule = f"does not fit: {p.path} {p.value} {p.rule}"
                by_rule.setdefault(
                    (p.path, p.rule), Problem(f"search.parameters.{path}", value, rule, p.next_step)
                )
            memory = drawn.memory(run.train.batch_size) if drawn else 0
            if memory > (largest[2] if largest else 0):
                largest = path, value, memory
        problems = list(by_rule.values())
    if problems:
        raise ConfigError(f"study {config.study}", problems)
    return Outlook(idle_parameters(config, drafts), base, largest)


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
        for p in _drawn(base, Drafts(base, encoded))[1]
    ]
    if problems:
        raise ConfigError(f"study {config.study}", problems)


def _extremes(config: StudyConfig) -> Iterator[tuple[str, Scalar, RunConfig]]:
    for path, value, point in config.space.corners(config.base):
        if path.startswith(_MATTERS):
            yield path, value, with_overrides(config.base, point)


def _drawn(run: RunConfig, drafts: Drafts) -> tuple[Blueprint | None, Sequence[Problem]]:
    try:
        drawn = drafts.of(run)
    except ConfigError as error:
        return None, error.problems
    if drawn is not None and (memory := drawn.memory(run.train.batch_size)) > _MOST_MEMORY:
        rule = f"would take {memory / GIB:,.0f} GiB to train, more than any machine has"
        value = f"{drawn.num_parameters:,} weights"
        return None, [Problem("model", value, rule, "Lower the widths, or the size of a batch.")]
    return drawn, []
