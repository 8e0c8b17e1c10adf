"""What every sampler has to do, in studies without training."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, ClassVar

import optuna
import pytest
from optuna.trial import TrialState
from scipy.stats import wilcoxon

from mmsa.config import Block
from mmsa.interface import Scalar
from mmsa.search.samplers import SAMPLERS, Random, Sampler, SamplerContext
from mmsa.search.samplers.accepted import AcceptedPoints
from mmsa.search.samplers.proposals import PastTrial, Proposals
from mmsa.search.space.constraints import PointConstraints
from mmsa.search.space.parameters import CategoricalParameter, FloatParameter, IntParameter
from mmsa.search.space.shares import Shares
from mmsa.search.space.space import Space
from mmsa.testing.contract import Case, Contract, only

Point = dict[str, Scalar]


def _number(low: float = 0.0, high: float = 1.0, **settings: Any) -> FloatParameter:
    return FloatParameter(type="float", low=low, high=high, **settings)


MIXED = Space(
    {
        "lr": _number(1e-4, 1e-1, log=True),
        "dropout": _number(0.0, 0.5, step=0.1),
        "weight": _number(0.01, 1.0, log=True, zero=0.3),
        "fusion": CategoricalParameter(type="categorical", choices=("mlp", "lmf")),
        "rank": IntParameter(type="int", low=1, high=64, log=True, when={"fusion": "lmf"}),
        "width": IntParameter(type="int", low=16, high=64, step=16),
    }
)
"""A parameter of every sort, one of which exists only sometimes."""
SHARED = Space(
    {
        "levels": Shares.model_validate(
            {
                "type": "shares",
                "of": {"a": {"zero": 0.25}, "b": {"concentration": 2.0}, "c": {"when": {"fusion": "lmf"}}},
                "total": {"type": "float", "low": 0.01, "high": 10.0, "log": True},
            }
        ),
        "fusion": MIXED.parameters["fusion"],
    }
)
"""Shares that add up, of which one may be exactly 0 and one exists only sometimes."""
SQUARE = Space({name: _number(-1.0, 1.0) for name in "xyz"})


def build_sampler(case: Case) -> Sampler:
    """The sampler of a case."""
    kind: Any = SAMPLERS[case.name]
    sampler: Sampler = kind(kind.Config(**case.settings))
    return sampler


def _as_studies_use_it(sampler: Sampler, context: SamplerContext, num_trials: int) -> AcceptedPoints:
    inner, unconstrained = sampler.build(context, num_trials), PointConstraints((), context.space, Block())
    return AcceptedPoints(inner, context.space, unconstrained, {}, sampler.proposals, seed=num_trials)


def searched(
    sampler: Sampler,
    space: Space,
    value: Callable[[Point], float],
    *,
    trials: int,
    launches: int = 1,
    seed: int = 0,
    objectives: int = 1,
) -> list[Point]:
    """The points of a study that is continued by a new Optuna sampler in each launch."""
    context = SamplerContext(space, ("minimize",) * objectives, 100, seed)
    study = optuna.create_study(directions=context.directions)
    points: list[Point] = []
    for launch in range(launches):
        study.sampler = _as_studies_use_it(sampler, context, len(study.trials))
        for _ in range(trials // launches):
            trial = study.ask()
            points.append(space.suggest(trial))
            study.tell(trial, [value(points[-1])] * objectives)
        assert len(study.trials) == len(points), launch
    return points


def _cost(point: Point) -> float:
    """Something to minimise over ``MIXED``."""
    return math.log10(float(point["lr"]) * 100) ** 2 + float(point["weight"]) + 0.01 * int(point["width"])


def _best_of(sampler: Sampler, trials: int, seed: int) -> float:
    """The smallest squared distance from (0.4, 0.4, 0.4) in ``SQUARE``."""

    def distance(point: Point) -> float:
        return sum((float(value) - 0.4) ** 2 for value in point.values())

    return min(map(distance, searched(sampler, SQUARE, distance, trials=trials, seed=seed)))


class SamplerContract(Contract):
    """Suite of samplers: points of the space, new ones after each launch, decided by the seed.

    Attributes:
        OBJECTIVES: of the studies it is tried in; one where nothing is said.
        ONE_ONLY: the components that refuse several objectives.
        LEARNS: trials after which a component is clearly better than chance, for those that learn.
        KEEPS_STATE: the components that go on after a resume as if nothing had happened.
    """

    OBJECTIVES: ClassVar[Mapping[str, int]] = {}
    ONE_ONLY: ClassVar[Collection[str]] = ()
    LEARNS: ClassVar[Mapping[str, int]] = {}
    KEEPS_STATE: ClassVar[Collection[str]] = ()

    def searched(
        self, case: Case, space: Space, value: Callable[[Point], float], **options: Any
    ) -> list[Point]:
        """The points of a study."""
        objectives = self.OBJECTIVES.get(case.name, 1)
        return searched(build_sampler(case), space, value, objectives=objectives, **options)

    def test_it_is_a_sampler_whose_config_bears_its_name(self, case: Case) -> None:
        assert isinstance(build_sampler(case), Sampler)
        assert build_sampler(case).config.name == case.name

    def test_points_are_those_of_a_conditional_space(self, case: Case) -> None:
        points = self.searched(case, MIXED, _cost, trials=14)
        for point in points:
            assert MIXED.decode(MIXED.encode(point)) == pytest.approx(point)
        assert {point["fusion"] for point in points} == {"mlp", "lmf"}
        assert {point["weight"] == 0.0 for point in points} == {True, False}

    def test_no_point_comes_again_after_a_resume(self, case: Case) -> None:
        points = self.searched(case, SQUARE, lambda point: float(point["x"]), trials=18, launches=3)
        assert len({tuple(point.values()) for point in points}) == 18

    def test_the_seed_decides(self, case: Case) -> None:
        first, again, other = (
            self.searched(case, MIXED, _cost, trials=8, launches=2, seed=seed) for seed in (1, 1, 2)
        )
        assert first == again
        assert first != other

    @only(lambda suite, case: case.name in suite.KEEPS_STATE)
    def test_a_sampler_that_keeps_its_state_in_the_study_goes_on_as_if_nothing_had_happened(
        self, case: Case
    ) -> None:
        straight, resumed = (
            self.searched(case, SQUARE, lambda point: float(point["x"]), trials=30, launches=launches)
            for launches in (1, 5)
        )
        assert straight == resumed

    @only(lambda suite, case: case.name in suite.LEARNS)
    def test_learning_beats_chance(self, case: Case) -> None:
        """On 8 seeds, by Wilcoxon's signed ranks: p < 0.02 one-sided."""
        chance = Random(Random.Config())
        learned, drawn = (
            [_best_of(sampler, self.LEARNS[case.name], seed) for seed in range(8)]
            for sampler in (build_sampler(case), chance)
        )
        assert wilcoxon(learned, drawn, alternative="less").pvalue < 0.02

    def test_several_objectives_are_taken_or_refused_with_a_reason(self, case: Case) -> None:
        context = SamplerContext(SQUARE, ("minimize",) * 2, 100, 0)
        found = list(build_sampler(case).problems(context))
        assert bool(found) == (case.name in self.ONE_ONLY)
        assert all("objectives" in problem.rule and problem.next_step for problem in found)

    def test_shares_add_up_and_are_the_same_after_a_restart(self, case: Case) -> None:
        """What a sampler is shown of its trials by the next launch is what it was shown by this one."""
        context = SamplerContext(SHARED, ("minimize",) * self.OBJECTIVES.get(case.name, 1), 100, 0)
        build = partial(_as_studies_use_it, build_sampler(case), context)
        past: list[PastTrial] = []
        points: list[Point] = []
        for launch in range(4):
            proposals = Proposals(SHARED, context.directions, build, None, {}, past)
            for number in range(4 * launch, 4 * launch + 4):
                given: Point | None = (
                    {"a": 0.1, "b": 0.2, "c": 1 / 3, "fusion": "lmf"} if number == 3 else None
                )
                proposal = proposals.ask(number, given)
                point = dict(proposal.overrides)
                assert given in (None, point)
                assert proposal.params == SHARED.encode_drawn(point, proposal.params)
                values = [float(point["a"]) + float(point["b"])] * len(context.directions)
                notes = proposals.tell(number, TrialState.COMPLETE, values, {})
                past.append(PastTrial(number, proposal.params, TrialState.COMPLETE, values, {}, notes))
                points.append(point)
        for point in points[:3] + points[4:]:
            (division,) = SHARED.divisions(point).values()
            assert sum(division.shares.values()) == math.fsum(division.shares.values()) == 1.0
            assert ("c" in point) == (point["fusion"] == "lmf")
            assert SHARED.decode(SHARED.encode(point)) == point
        assert len({tuple(sorted(point.items())) for point in points}) == len(points)
