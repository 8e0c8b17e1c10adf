"""Searched parameters that have no effect on a run with the data at hand.

Their values would be drawn, ranked and printed with the best configuration, and mean nothing. A parameter is
idle if all of its values give the same blueprint, at every point of the space that is tried.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from optuna import create_study
from optuna.samplers import RandomSampler

from mmsa.config import parse, with_overrides
from mmsa.data.corpus import MODALITIES, Corpus
from mmsa.data.inputs import InputSpec
from mmsa.data.targets import TrainTargets
from mmsa.errors import ConfigError
from mmsa.experiment import RunConfig
from mmsa.interface import Scalar
from mmsa.search.corpora import text_encoding
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.space.checks import Start
from mmsa.search.space.parameters import FloatParameter, TiedParameter
from mmsa.search.space.shares import Coefficient, SharesStart
from mmsa.search.space.space import Space
from mmsa.training.blueprint import Blueprint, blueprint

_DRAWN = 12
_TERM = re.compile(r"objective\.terms\.(\w+)\.")

Point = Mapping[str, Scalar]


class Drafts:
    """Blueprints of configurations on one corpus, each made once.

    Args:
        base: of the study.
        encoded: the corpus with its text encoded for ``base``.
    """

    def __init__(self, base: RunConfig, encoded: Corpus):
        self.inputs, self.targets = InputSpec.of(encoded), TrainTargets.of(encoded)
        self._encoding = text_encoding(base)
        self._known: dict[str, Blueprint | ConfigError | None] = {}

    def of(self, run: RunConfig) -> Blueprint | None:
        """The blueprint of a configuration.

        None if it cannot be made: the text would have to be encoded again, or there are more weights than
        torch can count.

        Raises:
            ConfigError: if its parts do not fit each other or the data.
        """
        if text_encoding(run) != self._encoding:
            return None
        key = repr(run.model_dump())
        if key not in self._known:
            try:
                self._known[key] = blueprint(run, self.inputs, self.targets)
            except ConfigError as error:
                self._known[key] = error
            except RuntimeError:
                self._known[key] = None
        found = self._known[key]
        if isinstance(found, ConfigError):
            raise found
        return found


def idle_parameters(config: StudyConfig, drafts: Drafts) -> dict[str, str]:
    """The parameters without an effect, with the reason, in the order of the space."""
    points = [*_surroundings(config)]
    return {
        path: _reason(path, config, drafts)
        for path in config.space.parameters
        if not any(_matters(path, point, config, drafts) for point in points)
    }


def _matters(path: str, point: Point, config: StudyConfig, drafts: Drafts) -> bool:
    """Whether the parameter makes, or may make, a difference beside the other values of ``point``."""
    digests: set[str] = set()
    for run in _varied(path, point, config):
        try:
            drawn = drafts.of(run)
        except ConfigError:
            continue
        if drawn is None:
            return True
        digests.add(drawn.digest)
        if len(digests) > 1:
            return True
    return False


def _varied(path: str, point: Point, config: StudyConfig) -> Iterator[RunConfig]:
    space = config.space
    for value, corner in space.corners_of(path, config.base, point):
        # A tied parameter is moved by itself: what it follows has effects of its own, and so have the other
        # shares of a total.
        alone = isinstance(space.parameters[path], TiedParameter | Coefficient)
        changed = {**point, path: value} if alone else corner
        try:
            yield with_overrides(config.base, changed)
        except ConfigError:
            continue


def _surroundings(config: StudyConfig) -> Iterator[Point]:
    """Points at which an effect may show: the defaults, the extremes, and some random ones.

    The defaults come first, whose extremes are drafted already. Then all come with the gates for exact zeros
    open, since a weight of 0 takes a term out and hides the effect of the term's own parameters; then as they
    are.
    """
    yield (defaults := config.complete({}))
    study = create_study(sampler=RandomSampler(seed=0))
    points: list[Point] = [defaults, *(point for _, _, point in config.space.corners(config.base))]
    points += [config.space.suggest(study.ask()) for _ in range(_DRAWN)]
    opened: dict[str, float] = {}
    for path, parameter in config.space.parameters.items():
        if isinstance(parameter, FloatParameter) and parameter.zero is not None:
            opened[path] = parameter.high
        elif isinstance(parameter, Coefficient):
            opened[path] = parameter.shares.range[1]
    yield from (
        config.space.with_ties({**point, **{p: opened[p] for p in opened if p in point}}) for point in points
    )
    yield from points


def _reason(path: str, config: StudyConfig, drafts: Drafts) -> str:
    term = _TERM.match(path)
    if term and term[1] not in config.base.objective.built():
        weight = f"objective.terms.{term[1]}.weight"
        if weight not in config.space.parameters:
            return f"{weight} is 0 everywhere"
    present = drafts.inputs.modalities()
    absent = [name for name in MODALITIES if name not in present and name in re.split(r"[._]", path)]
    if absent:
        return f"the data bring no {absent[0]}"
    return f"nothing that these data ({', '.join(present)}) and the settings beside it build depends on it"


def without_idle_coefficients(config: StudyConfig, idle: Mapping[str, str]) -> StudyConfig:
    """The study as these data have it: what has no effect has no share of a total, and is 0 in the base.

    Args:
        config: As it was written, for data of all kinds.
        idle: From ``idle_parameters``.

    Raises:
        ConfigError: where the base or a start has no total of the group any more.
    """
    found = {path: config.space.parameters[path] for path in idle}
    coefficients = {path: p for path, p in found.items() if isinstance(p, Coefficient)}
    if not coefficients:
        return config
    gone = {*coefficients}
    # Where all that is left is 0, what has no effect must not pretend that there is something to estimate.
    base = with_overrides(config.base, {path: 0.0 for path, p in coefficients.items() if p.zero})
    rest = {name: shares.without(gone) for name, (shares, _) in config.space.groups.items()}
    gone |= {name for name, shares in rest.items() if shares is None}
    parameters = {
        name: rest.get(name) or parameter
        for name, parameter in config.search.parameters.items()
        if name not in gone
    }
    starts = [s if isinstance(s, str) else _start_without(gone, s) for s in config.search.starts]
    search = config.search.model_copy(update={"parameters": parameters, "starts": tuple(starts)})
    values = config.model_copy(update={"search": search}).model_dump() | {"base": base}
    return parse(StudyConfig, values, f"study {config.study}")


def _start_without(gone: Collection[str], start: Start) -> dict[str, Scalar | SharesStart]:
    """A start of the other coefficients; shares of theirs add up to 1 again."""
    return {
        name: entry.without(gone) if isinstance(entry, SharesStart) else entry
        for name, entry in start.items()
        if name not in gone
    }


def idle_lines(idle: Mapping[str, str], space: Space) -> Sequence[str]:
    """A line for each parameter without an effect."""
    lines = []
    for path, reason in idle.items():
        outcome = "leave it out of the search"
        if isinstance(parameter := space.parameters.get(path), Coefficient):
            outcome = f"it has no share of {parameter.group}"
        lines.append(f"warning: {path} has no effect: {reason}; {outcome}")
    return lines
