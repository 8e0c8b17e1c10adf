"""A point of a space survives every way between Optuna's parameters, values by path, and a configuration."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsa.config import with_overrides
from mmsa.errors import ConfigError
from mmsa.search.samplers import SAMPLERS, SamplerContext
from mmsa.search.space.parameters import CategoricalParameter, FloatParameter, IntParameter, Parameter
from mmsa.search.space.space import Space, relation_problems

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3))
CHOICES = st.one_of(
    st.lists(st.text("abc", min_size=1, max_size=3), min_size=2, max_size=4, unique=True),
    st.lists(st.integers(-9, 9), min_size=2, max_size=4, unique=True),
    st.lists(NUMBERS, min_size=2, max_size=4, unique=True),
    st.just([False, True]),
)


@st.composite
def floats(draw: st.DrawFn) -> dict[str, Any]:
    low = draw(NUMBERS)
    zero = draw(st.none() | st.floats(0.01, 0.99))
    kind = draw(st.sampled_from(["plain", "log", "step"]))
    block: dict[str, Any] = {
        "type": "float",
        "low": low,
        "high": low + draw(st.floats(0.01, 1e3)),
        "zero": zero,
    }
    if kind == "log":
        block |= {
            "low": 10.0 ** draw(st.integers(-8, 0)),
            "high": 10.0 ** draw(st.integers(1, 4)),
            "log": True,
        }
    if kind == "step":
        step = draw(st.sampled_from([0.1, 0.25, 1.0, 3.0]))
        block |= {"high": round(low + draw(st.integers(1, 30)) * step, 6), "step": step}
    return block


@st.composite
def ints(draw: st.DrawFn) -> dict[str, Any]:
    low, step = draw(st.integers(1, 20)), draw(st.none() | st.integers(1, 5))
    block: dict[str, Any] = {"type": "int", "low": low, "high": low + draw(st.integers(1, 20)) * (step or 1)}
    return block | ({"log": True} if step is None else {"step": step})


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Up to eight parameters; any may depend on some values of any earlier one that is not a float."""
    parameters: dict[str, Parameter] = {}
    for number in range(draw(st.integers(1, 8))):
        categorical = st.builds(lambda choices: {"type": "categorical", "choices": choices}, CHOICES)
        block = draw(st.one_of(floats(), ints(), categorical))
        parents = [path for path, p in parameters.items() if not isinstance(p, FloatParameter)]
        for parent in draw(st.lists(st.sampled_from(parents), max_size=2, unique=True)) if parents else ():
            values = list(parameters[parent].corners())
            wanted = draw(st.lists(st.sampled_from(values), min_size=1, unique=True))
            block.setdefault("when", {})[parent] = wanted[0] if len(wanted) == 1 else wanted
        kinds = {"float": FloatParameter, "int": IntParameter, "categorical": CategoricalParameter}
        parameter = kinds[block["type"]].model_validate(block)
        if not relation_problems({**parameters, f"block.p{number}": parameter}):
            parameters[f"block.p{number}"] = parameter
    return Space(parameters)


@settings(max_examples=150, deadline=None)
@given(space=spaces(), seed=st.integers(0, 2**20), sampler=st.sampled_from(["tpe", "random"]))
def test_round_trip(space: Space, seed: int, sampler: str):
    kind = SAMPLERS[sampler]
    context = SamplerContext(space, ("minimize",), trials=3, seed=seed)
    study = optuna.create_study(sampler=kind(kind.Config()).build(context, num_trials=0))
    for _ in range(3):
        trial = study.ask()
        values = space.suggest(trial)
        assert space.suggest(trial) == values
        assert space.decode(trial.params) == values
        params = space.encode(values)
        assert params.keys() <= trial.params.keys()  # a range may hit 0 by itself, without its `zero`
        assert space.decode(params) == values
        study.enqueue_trial(params)
        started = study.ask()
        assert space.suggest(started) == values
        assert started.distributions == {name: space.distributions()[name] for name in params}
        assert [type(value) for value in space.decode(started.params).values()] == [
            type(value) for value in values.values()
        ]
        for chosen in (trial, started):
            study.tell(chosen, 0.0)


@settings(max_examples=60, deadline=None)
@given(space=spaces())
def test_corners_are_points_that_hold_every_extreme_value(space: Space):
    corners = list(space.corners(FloatParameter(type="float", low=0.0, high=1.0)))
    for path, value, point in corners:
        assert point[path] == value
        assert space.decode(space.encode(point)) == point
    assert {(path, value) for path, value, _ in corners} == {
        (path, value) for path, parameter in space.parameters.items() for value in parameter.corners()
    }


def test_both_ends_of_every_range_are_taken():
    space = Space(
        {
            "n": IntParameter(type="int", low=1, high=3),
            "x": FloatParameter(type="float", low=0, high=1, step=0.5),
        }
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    points = [space.suggest(study.ask()) for _ in range(60)]
    assert {point["n"] for point in points} == {1, 2, 3}
    assert {point["x"] for point in points} == {0.0, 0.5, 1.0}


def test_log_is_sampled_as_log():
    space = Space({"x": FloatParameter(type="float", low=1e-6, high=1.0, log=True)})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    logs = [math.log10(float(space.suggest(study.ask())["x"])) for _ in range(300)]
    assert sum(logs) / len(logs) == pytest.approx(-3.0, abs=0.3)


def test_zero_has_the_probability_that_is_written():
    space = Space({"w": FloatParameter(type="float", low=0.01, high=1.0, log=True, zero=0.3)})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    values = [space.suggest(study.ask())["w"] for _ in range(500)]
    assert sum(value == 0.0 for value in values) / 500 == pytest.approx(0.3, abs=0.07)
    assert min(value for value in values if value != 0.0) >= 0.01


def test_tpe_finds_that_zero_is_best():
    space = Space({"w": FloatParameter(type="float", low=0.01, high=1.0, log=True, zero=0.2)})
    kind = SAMPLERS["tpe"]
    context = SamplerContext(space, ("minimize",), trials=60, seed=0)
    study = optuna.create_study(sampler=kind(kind.Config()).build(context, num_trials=0))
    zeros = []
    for _ in range(60):
        trial = study.ask()
        value = float(space.suggest(trial)["w"])
        zeros.append(value == 0.0)
        study.tell(trial, value + 0.5 * (value > 0))
    assert sum(zeros[30:]) > 2 * 30 * 0.2


def test_a_parameter_that_does_not_exist_is_neither_sampled_nor_set():
    schedule = CategoricalParameter(type="categorical", choices=("constant", "linear"))
    warmup = FloatParameter(type="float", low=0.1, high=0.5, when={"optim.schedule": "linear"})
    space = Space({"optim.warmup": warmup, "optim.schedule": schedule})
    assert list(space.parameters) == ["optim.schedule", "optim.warmup"]
    assert space.encode({"optim.schedule": "constant"}) == {"optim.schedule": "constant"}
    with pytest.raises(ConfigError, match="needs a value"):
        space.encode({"optim.schedule": "linear"})
    with pytest.raises(ConfigError, match=r"exists only when optim\.schedule is 'linear'"):
        space.encode({"optim.schedule": "constant", "optim.warmup": 0.2})


def test_defaults_change_nothing(make_study_config):
    parameters = {
        "optim.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
        "objective.terms.cpc.weight": {"type": "float", "low": 0.01, "high": 1.0, "zero": 0.1},
        "model.text.name": {"type": "categorical", "choices": ["lstm", "gru"]},
        "train.batch_size": {"type": "categorical", "choices": [10, 20]},
    }
    base = {"objective": {"terms": {"cpc": {"weight": 0.0}}}}
    config = make_study_config(parameters, base={**base})
    (defaults,) = config.starts()
    assert defaults["objective.terms.cpc.weight"] == 0.0
    assert with_overrides(config.base, defaults) == config.base


def test_a_component_that_base_does_not_name_has_its_own_defaults(make_study_config):
    weight = {"type": "float", "low": 0.01, "high": 2.0}
    config = make_study_config({"objective.terms.cpc.weight": weight})
    assert config.starts() == [{"objective.terms.cpc.weight": 1.0}]


def test_starts_are_completed_with_the_defaults_of_their_branch(make_study_config):
    parameters = {
        "optim.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
        "objective.strategy.name": {"type": "categorical", "choices": ["joint", "two_stage"]},
        "objective.strategy.repeats": {
            "type": "int",
            "low": 1,
            "high": 3,
            "when": {"objective.strategy.name": "two_stage"},
        },
    }
    starts = ["defaults", {"objective.strategy.name": "two_stage"}, {"optim.lr": 0.001}]
    points = make_study_config(parameters, starts=starts).starts()
    joint = {"optim.lr": 0.001, "objective.strategy.name": "joint"}
    two_stage = {"objective.strategy.name": "two_stage", "objective.strategy.repeats": 1, "optim.lr": 0.001}
    assert points == [joint, two_stage]
