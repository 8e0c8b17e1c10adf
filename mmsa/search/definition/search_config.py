"""What a space file says under ``search``: what is searched, towards what, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError, WrapValidator, field_validator, model_validator

from mmsa.config import Block, Named, one_of, problems_of, refuse, refuse_all
from mmsa.errors import Problem, did_you_mean, shown
from mmsa.interface import COSTS, VALID, Direction, References, direction_of
from mmsa.search.definition.files import OTHER_TYPES
from mmsa.search.definition.finalists import Finalists
from mmsa.search.samplers import SAMPLERS, TreeParzenEstimator
from mmsa.search.schedulers import SCHEDULERS, SuccessiveHalving
from mmsa.search.space.checks import Start, metric_problem
from mmsa.search.space.constraints import parse_constraint
from mmsa.search.space.parameters import PARAMETER_TYPES, RangedParameter, TiedParameter
from mmsa.search.space.shares import Shares
from mmsa.search.space.space import Written, relation_problems
from mmsa.search.stops import STOPS, Never

MOST_PARAMETERS = 1000
MOST_TRIALS = 1_000_000
_TYPES: Mapping[str, type[RangedParameter | Shares]] = {**PARAMETER_TYPES, "shares": Shares}
DEFAULTS = "defaults"
"""The start that is the base as it is; always the first one."""


class SearchObjective(Block):
    """A metric of the valid split, and which way it is better, which most metrics say themselves."""

    metric: str
    direction: Direction

    @model_validator(mode="before")
    @classmethod
    def _direction_of_the_metric(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "direction" not in values:
            metric = values.get("metric")
            if isinstance(metric, str) and metric.startswith((VALID, *COSTS)):
                known = "minimize" if metric in COSTS else direction_of(metric)
                return {**values, "direction": known}
        return values

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        problem = metric_problem(metric)
        if problem:
            raise refuse(metric, problem.rule, problem.next_step)
        return metric


def _parse_parameters(value: object, _: object) -> dict[str, Written]:
    """Parse each parameter by its ``type``, then check the relations between the valid ones."""
    if not isinstance(value, Mapping):
        raise refuse(value, "must map dotted paths to parameters", "Write optim.lr: {type: float, ...}.")
    if len(value) > MOST_PARAMETERS:
        rule = f"are more than the {MOST_PARAMETERS:,} that a search can tell anything about"
        raise refuse(f"{len(value):,} parameters", rule, "Search what you expect to matter.")
    parameters: dict[str, Written] = {}
    problems: list[Problem] = []
    for path, settings in value.items():
        try:
            parameters[str(path)] = parse_parameter(settings)
        except ValidationError as error:
            problems += [_below(str(path), problem) for problem in problems_of(error)]
    problems += relation_problems(parameters, frozenset(map(str, value)) - parameters.keys())
    if problems:
        raise refuse_all(problems)
    return parameters


def parse_parameter(settings: object) -> Written:
    """Parse a parameter by its ``type``.

    Raises:
        ValidationError: as any configuration block.
    """
    if isinstance(settings, Written):
        return settings
    if not isinstance(settings, Mapping):
        ranged, other = "{type: float, low: ..., high: ...}", "what does not vary in `base`"
        if isinstance(settings, list):
            ranged, other = f"{{type: categorical, choices: {shown(settings)}}}", ranged
        advice = f"Write {ranged}, or {other}."
        raise refuse(settings, "must be a mapping with a type", advice)
    if "same_as" in settings:
        return TiedParameter.model_validate(settings)
    kind = settings.get("type")
    if not isinstance(kind, str) or kind not in _TYPES:
        rule = "is not a type of parameter" if "type" in settings else "a parameter needs a type, or same_as"
        wanted = str(kind) if "type" in settings else ""
        advice = OTHER_TYPES.get(wanted.lower()) or did_you_mean(wanted, _TYPES)
        raise refuse(kind, rule, advice, at=("type",))
    return _TYPES[kind].model_validate(settings)


def _below(path: str, problem: Problem) -> Problem:
    at = path if problem.path == "(top level)" else f"{path}.{problem.path}"
    return Problem(at, problem.value, problem.rule, problem.next_step)


_AnyParameters = dict[str, Annotated[RangedParameter | Shares, Field(discriminator="type")] | TiedParameter]


class SearchConfig(Block):
    """What is searched and how."""

    parameters: Annotated[_AnyParameters, WrapValidator(_parse_parameters)] = Field(default_factory=dict)
    """What is searched, by the dotted path of the setting. Nothing to search is a published baseline."""
    objectives: Annotated[
        tuple[SearchObjective, ...], Field(strict=False, max_length=20, json_schema_extra={"minItems": 1})
    ]
    """What is sought; the first decides which trials are stopped early. Two or more give a Pareto front."""
    trials: Annotated[int, Field(ge=1, le=MOST_TRIALS)]
    """How many trials the study shall have, starts included."""
    sampler: Annotated[Named, one_of(SAMPLERS)] = TreeParzenEstimator.Config()
    scheduler: Annotated[Named, one_of(SCHEDULERS)] = SuccessiveHalving.Config()
    starts: Annotated[tuple[str | Start, ...], Field(strict=False, max_length=1000)] = (DEFAULTS,)
    """Points to try first: ``defaults`` (always trial 0), the name of a space or exported file, or
    {path: value}; of shares {name: {total: ..., shares: {path: ...}}} as well."""

    stop: Annotated[Named, one_of(STOPS)] = Never.Config()
    """When the search ends although it was asked for more trials."""
    references: References = "all"
    """What the trials are compared with: ``constant`` predictors, also a ``ridge`` on pooled features, or
    ``all``, which also trains each modality alone and the base without terms. Never counted as trials."""
    finalists: Finalists | None = None
    """A second stage after the search; none without."""
    priors: Annotated[tuple[str, ...], Field(strict=False, max_length=100)] = ()
    """Names of earlier studies, in the same folder or storage, whose best points the search draws from
    first."""
    constraints: Annotated[tuple[str, ...], Field(strict=False, max_length=100)] = ()
    """Conditions on the configuration, such as ``model.d_hidden % model.heads == 0``, and bounds on metrics,
    such as ``cost/seconds <= 60``."""

    @field_validator("constraints")
    @classmethod
    def _readable(cls, constraints: tuple[str, ...]) -> tuple[str, ...]:
        problems = []
        for position, text in enumerate(constraints):
            try:
                parse_constraint(text)
            except ValidationError as error:
                problems += [_below(str(position), problem) for problem in problems_of(error)]
        if problems:
            raise refuse_all(problems)
        return constraints

    @field_validator("objectives")
    @classmethod
    def _distinct(cls, objectives: tuple[SearchObjective, ...]) -> tuple[SearchObjective, ...]:
        if not objectives:
            advice = "Write [{metric: valid/mae, direction: minimize}]."
            raise refuse(objectives, "needs at least one objective", advice)
        if objectives[0].metric in COSTS:
            rule = "a cost cannot be the first objective, by which trials are stopped early and ranked"
            raise refuse(objectives[0].metric, rule, "Write a metric of the valid split before it.")
        metrics = [objective.metric for objective in objectives]
        repeated = [metric for metric in metrics if metrics.count(metric) > 1]
        if repeated:
            raise refuse(repeated[0], "is an objective twice", "Keep one of the two.")
        return objectives
