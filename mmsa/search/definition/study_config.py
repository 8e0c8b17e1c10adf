"""A study on one page: what is searched, on which base, towards what, with which resources.

A space file is parsed into ``StudyConfig``, which cannot exist with a corner of its space that is not a valid
``RunConfig``. Single parameters are checked in ``space.parameters``, the relations between them in
``space.checks``, and the relations between the parts of a study here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any

from optuna.samplers import BaseSampler
from pydantic import Field, model_validator

from mmsa.config import Block, FolderName, refuse_all
from mmsa.errors import ConfigError, Problem
from mmsa.experiment import CONTINUABLE, RunConfig, continuable
from mmsa.interface import Metrics, Scalar
from mmsa.search.costs import Resources
from mmsa.search.definition.finalists import finalist_problems
from mmsa.search.definition.reported import Reported
from mmsa.search.definition.salvage import Salvage
from mmsa.search.definition.search_config import DEFAULTS, SearchConfig, SearchObjective
from mmsa.search.samplers import SAMPLERS, Sampler, SamplerContext
from mmsa.search.samplers.accepted import AcceptedPoints
from mmsa.search.samplers.priors import Density, Point, PriorSampler
from mmsa.search.schedulers import SCHEDULERS, PopulationBased, Scheduler
from mmsa.search.space.checks import Start, meaning_problems, start_values
from mmsa.search.space.constraints import MetricBound, PointConstraints, parse_constraint
from mmsa.search.space.expressions import Expression
from mmsa.search.space.parameters import FloatParameter, TiedParameter
from mmsa.search.space.shares import Shares
from mmsa.search.space.space import Space
from mmsa.search.stops import STOPS, StopRule
from mmsa.seeding import derive_seed


def _first_problems(config: StudyConfig) -> Iterator[Problem]:
    """Problems between base, parameters, starts, and the ways to search."""
    search = config.search
    yield from meaning_problems(config.base, search.parameters, search.starts)
    yield from _direction_problems(config.base, search.objectives)
    yield from _thread_problems(config)
    yield from _stop_problems(config)
    yield from _prior_problems(config)
    yield from _population_problems(search, config.base)


def _further_problems(config: StudyConfig) -> Iterator[Problem]:
    """Problems that can only be found in a space whose points are valid configurations."""
    yield from _worker_problems(config)
    yield from _sampler_problems(config)
    yield from _constraint_problems(config)
    yield from _finalist_problems(config)


def _direction_problems(base: RunConfig, objectives: tuple[SearchObjective, ...]) -> list[Problem]:
    return [
        Problem(
            f"search.objectives.{position}.direction",
            objective.direction,
            f"base.train.direction of the same metric is {base.train.direction}",
            "Exchange the wrong one of the two.",
        )
        for position, objective in enumerate(objectives)
        if objective.metric == base.train.metric and objective.direction != base.train.direction
    ]


def _worker_problems(config: StudyConfig) -> list[Problem]:
    """Workers without a row of every batch."""
    searched = [value for path, value, _ in config.space.corners(config.base) if path == "train.batch_size"]
    smallest = min([config.base.train.batch_size, *(size for size in searched if isinstance(size, int))])
    if config.resources.workers <= smallest:
        return []
    rule = f"more than the {smallest} rows of the smallest batch, of which each worker gets a share"
    return [Problem("resources.workers", config.resources.workers, rule, "Write fewer, or larger batches.")]


def _sampler_problems(config: StudyConfig) -> list[Problem]:
    return [
        Problem(f"search.sampler.{p.path}", p.value, p.rule, p.next_step)
        for p in config.sampler.problems(config.sampler_context)
    ]


def _constraint_problems(config: StudyConfig) -> Iterator[Problem]:
    search, points = config.search, config.point_constraints
    found = list(points.problems())
    for problem in found:
        at = search.constraints.index(str(problem.value))
        yield Problem(f"search.constraints.{at}", problem.value, problem.rule, problem.next_step)
    for position, start in enumerate(() if found else search.starts):
        for broken in () if isinstance(start, str) else points.broken(config.complete(start)):
            rule = f"does not fulfil {broken.text}"
            yield Problem(f"search.starts.{position}", start, rule, "Change the start, or the constraint.")


def _thread_problems(config: StudyConfig) -> Iterator[Problem]:
    threads, cpus = config.base.train.threads, config.resources.cpus_per_worker
    if threads > cpus:
        rule = f"is more than the {cpus} CPUs of a worker: trials would crowd each other out"
        yield Problem(
            "base.train.threads", threads, rule, f"Write resources: {{cpus_per_worker: {threads}}}."
        )


def _stop_problems(config: StudyConfig) -> list[Problem]:
    return [
        Problem(f"search.stop.{p.path}", p.value, p.rule, p.next_step)
        for p in config.stop.problems(len(config.search.objectives))
    ]


def _finalist_problems(config: StudyConfig) -> list[Problem]:
    finalists = config.search.finalists
    return list(finalist_problems(finalists, config.base, config.space)) if finalists else []


def _prior_problems(config: StudyConfig) -> Iterator[Problem]:
    names = config.search.priors
    for position, name in enumerate(names):
        if name == config.study:
            yield Problem(f"search.priors.{position}", name, "is this study itself", "Name an earlier one.")
        elif name in names[:position]:
            yield Problem(f"search.priors.{position}", name, "is named twice", "Keep one of the two.")


def _population_problems(search: SearchConfig, base: RunConfig) -> Iterator[Problem]:
    """Why a study that uses ``pbt`` cannot."""
    scheduler: Any = search.scheduler
    if not isinstance(scheduler, PopulationBased.Config):
        return
    advice = f"Write it in `base`, or take another scheduler. Those that can: {CONTINUABLE}."
    for path, parameter in search.parameters.items():
        tied = isinstance(parameter, TiedParameter)
        if isinstance(parameter, Shares):
            rule = "pbt moves one setting at a time, and shares only move together"
            once = "Search the coefficients as floats, or take another scheduler."
            yield Problem(f"search.parameters.{path}.type", parameter.type, rule, once)
        elif not continuable(path):
            rule = "cannot change during a run, as it has to with the scheduler pbt"
            yield Problem(f"search.parameters.{path}", path, rule, advice)
        elif not tied and (not isinstance(parameter, FloatParameter) or parameter.step is not None):
            rule = "pbt multiplies by a little, and so needs a float without a step"
            yield Problem(
                f"search.parameters.{path}", path, rule, "Write {type: float, low: ..., high: ...}."
            )
    if not search.parameters:
        rule = "has nothing to change"
        yield Problem("search.scheduler.name", "pbt", rule, "Search a parameter, or write another scheduler.")
    if scheduler.interval >= base.train.epochs:
        rule = f"no generation ends before the last epoch, train.epochs is {base.train.epochs}"
        yield Problem("search.scheduler.interval", scheduler.interval, rule, "Write a smaller one.")
    if base.course:
        advice = "Remove one of the two."
        yield Problem("base.course", len(base.course), "the course of a run is what pbt searches", advice)
    yield from _ways_are_no_points(search)


def _ways_are_no_points(search: SearchConfig) -> Iterator[Problem]:
    """Settings that need trials to be points of the space; with ``pbt`` they are paths through it."""
    stop: Any = search.stop
    rule = "needs trials that are points of the space; with the scheduler pbt they are ways through it"
    if search.finalists is not None:
        yield Problem("search.finalists", search.finalists.top, rule, "Leave it out.")
    if stop.name != "never":
        yield Problem("search.stop.name", stop.name, rule, "Leave it out.")


def _excess(bound: MetricBound, metrics: Metrics) -> float:
    """By how much metrics break a bound; infinite if its metric is missing, since the bound may be newer."""
    return bound.excess(metrics[bound.metric]) if bound.metric in metrics else math.inf


class StudyConfig(Block):
    """A complete experiment: data, model, objective, optimiser, search, resources."""

    study: FolderName
    """Name of the study: letters, digits, ``-`` and ``_``."""
    base: RunConfig
    """Everything that is not searched, and the defaults of what is."""
    search: SearchConfig
    resources: Resources = Resources()
    reported: Annotated[tuple[Reported, ...], Field(strict=False)] = ()
    """What others report for this setting, for comparison; never taken for a result of the study."""

    @model_validator(mode="wrap")
    @classmethod
    def _meaningful(cls, data: Any, handler: Any) -> Any:
        """Report the problems between the valid parts together with those within the parts."""
        salvage = Salvage(data, handler)
        config = salvage.config()
        for problems in () if config is None else (_first_problems, _further_problems):
            try:
                found = list(problems(config))
            except ConfigError as error:  # of a point that cannot be made
                found = list(error.problems)
            salvage.add(found)
            if found and (not salvage.take_out(found) or (config := salvage.config()) is None):
                break
        if salvage.problems:
            raise refuse_all(salvage.problems)
        return config

    @property
    def threads(self) -> int:
        """CPU threads of a trial: those of the base, otherwise the CPUs that a worker gets."""
        return self.base.train.threads or self.resources.cpus_per_worker

    @cached_property
    def space(self) -> Space:
        """The space of ``search.parameters``."""
        return Space(self.search.parameters)

    def build_sampler(self, num_trials: int, prior: Sequence[Point] = ()) -> BaseSampler:
        """The sampler of a study that has ``num_trials`` trials.

        Args:
            num_trials: enters the seed, since a sampler that is made anew would otherwise repeat its first
                points.
            prior: good points of earlier studies.
        """
        sampler, context = self.sampler, self.sampler_context
        inner = sampler.build(context, num_trials)
        return AcceptedPoints(
            PriorSampler(inner, Density(self.space, prior), context.seed) if prior else inner,
            self.space,
            self.point_constraints,
            defaults=self.complete({}),
            proposals=sampler.proposals,
            seed=context.seed_after(num_trials),
        )

    @property
    def sampler(self) -> Sampler:
        """The sampler of ``search.sampler``, which chooses points."""
        return SAMPLERS[self.search.sampler.name](self.search.sampler)

    def build_scheduler(self) -> Scheduler:
        """A scheduler that has seen no trial; it compares the first objective."""
        block, direction = self.search.scheduler, self.search.objectives[0].direction
        return SCHEDULERS[block.name](block, self.base.train.epochs, direction)

    @property
    def sampler_context(self) -> SamplerContext:
        """What the sampler is told of the study."""
        directions = tuple(objective.direction for objective in self.search.objectives)
        seed = derive_seed("sampler", self.study, self.base.seed)
        return SamplerContext(self.space, directions, self.search.trials, seed)

    @property
    def stop(self) -> StopRule:
        """The stop rule of ``search.stop``, which may end the search early."""
        return STOPS[self.search.stop.name](self.search.stop)

    @cached_property
    def point_constraints(self) -> PointConstraints:
        """The constraints that can be checked before a trial."""
        parsed = map(parse_constraint, self.search.constraints)
        expressions = [constraint for constraint in parsed if isinstance(constraint, Expression)]
        return PointConstraints(expressions, self.space, self.base)

    @cached_property
    def metric_bounds(self) -> tuple[MetricBound, ...]:
        """The constraints that can only be checked after a trial."""
        parsed = map(parse_constraint, self.search.constraints)
        return tuple(constraint for constraint in parsed if isinstance(constraint, MetricBound))

    def excesses(self, metrics: Metrics) -> dict[str, float]:
        """By how much metrics break each bound, by its text; 0 or less where they do not.

        A bound on a metric that is missing is left out.
        """
        return {b.text: b.excess(metrics[b.metric]) for b in self.metric_bounds if b.metric in metrics}

    def violation(self, metrics: Metrics) -> float:
        """Sum of the amounts by which the metrics of a completed trial break the bounds.

        0 for a feasible trial; infinite where a bounded metric was not measured.
        """
        return sum(max(0.0, _excess(bound, metrics)) for bound in self.metric_bounds)

    def broken_bounds(self, metrics: Metrics) -> str:
        """Say which bounds the metrics of a completed trial break; empty if none."""
        excesses = {bound.text: _excess(bound, metrics) for bound in self.metric_bounds}
        broken = [
            f"{text} by {excess:.4g}" if math.isfinite(excess) else f"{text}, which was not measured"
            for text, excess in excesses.items()
            if excess > 0
        ]
        return f"breaks {', '.join(broken)}" if broken else ""

    def allows(self, point: Mapping[str, Scalar]) -> bool:
        """Whether a complete point of the space fulfils the constraints that are checked before a trial."""
        return not self.point_constraints.broken(point)

    def complete(self, start: Start) -> dict[str, Scalar]:
        """The complete point of a start, with defaults for what it leaves out."""
        return start_values(self.space, self.base, start)

    def starts(self) -> list[dict[str, Scalar]]:
        """The points to try first: the defaults, then the others in order, without repetitions.

        Raises:
            ConfigError: for a start that is still the name of a file; ``load_space`` reads those.
        """
        points: list[dict[str, Scalar]] = []
        for start in (DEFAULTS, *self.search.starts):
            if isinstance(start, str) and start != DEFAULTS:
                rule, advice = "names a file that was not read", "Read the space with load_space."
                raise ConfigError(self.study, [Problem("search.starts", start, rule, advice)])
            point = self.complete({} if isinstance(start, str) else start)
            if point not in points:
                points.append(point)
        return points
