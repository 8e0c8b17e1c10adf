"""Refusing spaces whose settings do not fit each other, the data, or any machine, before a trial runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mmsa.config import with_overrides
from mmsa.data.corpus import Corpus
from mmsa.errors import ConfigError, Problem
from mmsa.experiment import RunConfig
from mmsa.information.panel import FAMILIES, METRIC, names
from mmsa.interface import Scalar
from mmsa.objectives.objective import refusal_of_mae
from mmsa.search.costs import GIB
from mmsa.search.definition.idle import Drafts, idle_parameters
from mmsa.search.definition.study_config import StudyConfig
from mmsa.training.blueprint import Blueprint
from mmsa.training.selection import PREFIX, metric_problem_of, undecidable

_MATTERS = ("model.", "objective.", "train.batch_size")
_MOST_MEMORY = 2**42  # bytes
_WITHOUT_RUNGS = "none"
_CHOOSES_EPOCHS = "base.train.metric"
_TASK, _MAE = "objective.task.name", "mae"


@dataclass(frozen=True)
class Outlook:
    """What is known about the trials of a study before one runs.

    Attributes:
        idle: searched parameters without an effect on these data, with the reason.
        base: blueprint of the base; None if it cannot be made.
        largest: path, value and bytes of the extreme value whose trial takes most memory.
    """

    idle: Mapping[str, str]
    base: Blueprint | None
    largest: tuple[str, Scalar, int] | None


def refuse_misfits(config: StudyConfig, encoded: Corpus) -> Outlook:
    """Make blueprints of the base and of each extreme value of each searched setting of model and objective.

    Values with another text encoding are left to their trials, and so are combinations of several extremes.

    Args:
        config: of the study.
        encoded: the corpus with its text encoded for the base.

    Raises:
        ConfigError: with everything that does not fit, or takes more memory than any machine has. If the base
            itself does not fit, the error has only that, and objectives and bounds that no trial measures or
            that cannot choose on these data.
    """
    drafts = Drafts(config.base, encoded)
    base, found = _drawn(config.base, drafts)
    problems = [Problem(f"base.{p.path}", p.value, p.rule, p.next_step) for p in found]
    problems += information_problems(config, tuple(drafts.inputs.modalities()))
    problems += _metric_problems(config, encoded)
    problems += _task_problems(config, encoded)
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
    """Metrics that choose but are not measured on these data, or cannot choose on them."""
    trained = config.base.objective.trained()
    chosen_by = {_CHOOSES_EPOCHS: config.base.train.metric}
    chosen_by |= {f"search.objectives.{n}.metric": o.metric for n, o in enumerate(config.search.objectives)}
    chosen_by |= {f"search.constraints ({bound.text})": bound.metric for bound in config.metric_bounds}
    problems = [
        problem
        for path, metric in chosen_by.items()
        if metric.startswith(PREFIX) and (problem := metric_problem_of(path, metric, corpus, trained))
    ]
    first = config.search.objectives[0].metric
    unwritten = "metric" not in config.base.train.model_fields_set
    if unwritten and first.startswith(PREFIX) and [problem.path for problem in problems] == [_CHOOSES_EPOCHS]:
        advice = f"Nobody wrote it, and this is its default: write {_CHOOSES_EPOCHS}: {first}, the objective."
        problems = [replace(problems[0], next_step=advice)]
    if "valid" in corpus.splits:  # a stand-in for data that are not at hand has train alone
        found = undecidable(corpus, chosen_by.values())
        problems += [replace(problem, path=f"base.{problem.path}") for problem in found]
    return problems


def _task_problems(config: StudyConfig, corpus: Corpus) -> Iterator[Problem]:
    """A loss of scales that somebody asked for where there is none; blueprints take it for the default."""
    objective, parameter = config.base.objective, config.space.parameters.get(_TASK)
    written = (
        {f"base.{_TASK}"} if "task" in objective.model_fields_set and objective.task.name == _MAE else set()
    )
    if parameter is not None and _MAE in getattr(parameter, "choices", ()):
        written = {f"search.parameters.{_TASK}"}
    for path in written:
        if corpus.target.name not in objective.tasks and (found := refusal_of_mae(path, corpus.target)):
            yield found


def refuse_unfit_finalists(config: StudyConfig, base: RunConfig, encoded: Corpus) -> None:
    """Make a blueprint of the base with the settings of finalists.

    Args:
        config: of the study.
        base: with the settings of finalists.
        encoded: the corpus with its text encoded for ``base``.

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


def information_problems(config: StudyConfig, modalities: Sequence[str]) -> Iterator[Problem]:
    """Why the trials of a study would not measure the information that it seeks or bounds.

    It must be measured in every trial, whatever that takes: its measurement must not depend on the clock.

    Args:
        config: of the study.
        modalities: that the data have and the model reads.
    """
    information = config.base.information
    measured = names(information.quantities, modalities)
    sought = list(_sought(config))
    for path, metric in sought:
        quantity = metric.removeprefix(METRIC)
        if quantity not in measured:
            yield Problem(
                path, metric, "is not measured by the trials", _how_to_measure(quantity, modalities)
            )
    if sought and information.budget is not None:
        rule = f"{sought[0][1]} is asked for; whether it is measured must not depend on the clock"
        yield Problem("base.information.budget", information.budget, rule, "Write null.")
    first, scheduler = config.search.objectives[0].metric, config.search.scheduler.name
    if first.startswith(METRIC) and scheduler != _WITHOUT_RUNGS:
        rule = f"stops trials early by the first objective, and {first} is known only of finished ones"
        advice = f"Put a valid metric first, or write {{name: {_WITHOUT_RUNGS}}}."
        yield Problem("search.scheduler.name", scheduler, rule, advice)


def _sought(config: StudyConfig) -> Iterator[tuple[str, str]]:
    """Places in the space file that ask for information, as objectives or bounds, with the metric."""
    for position, objective in enumerate(config.search.objectives):
        if objective.metric.startswith(METRIC):
            yield f"search.objectives.{position}.metric", objective.metric
    for bound in config.metric_bounds:
        if bound.metric.startswith(METRIC):
            yield f"search.constraints.{config.search.constraints.index(bound.text)}", bound.metric


def _how_to_measure(quantity: str, modalities: Sequence[str]) -> str:
    family = next((family for family in FAMILIES if quantity in names((family,), modalities)), None)
    if family is None:
        return f"These data bring {', '.join(modalities)} alone."
    return f"Add {family} to base.information.quantities."
