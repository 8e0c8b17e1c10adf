"""``type: shares``: exact sums, the distribution that is promised, and the same point wherever it goes."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import jsonschema
import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers import RandomSampler
from optuna.trial import FixedTrial
from scipy.stats import kstest

from mmsa.config import dump_yaml, parse, with_overrides
from mmsa.data import open_corpus
from mmsa.errors import ConfigError
from mmsa.search.definition.files import misspelt
from mmsa.search.definition.idle import Drafts, idle_lines, without_idle_coefficients
from mmsa.search.definition.misfits import refuse_misfits
from mmsa.search.definition.schema import schema_text
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.preview import dry_run
from mmsa.search.records import Ending, shown_params
from mmsa.search.samplers.priors import Density, PriorSampler
from mmsa.search.samplers.unit import from_cube
from mmsa.search.space.parameters import CategoricalParameter
from mmsa.search.space.shares import QUANTILE, Shares
from mmsa.search.space.space import Space
from mmsa.search.stops import embed, regret_bound
from mmsa.search.study.study import Study
from mmsa.search.study.versions import point_in

TOTAL = {"type": "float", "low": 0.01, "high": 10.0, "log": True}


def shares(of: Any = ("a", "b", "c"), total: Any = TOTAL, **more: Any) -> Shares:
    of = list(of) if isinstance(of, tuple) else of
    return Shares.model_validate({"type": "shares", "of": of, "total": total, **more})


def drawn(space: Space, count: int) -> list[dict[str, Any]]:
    """Points of uniform parameters, without a study, which would take most of the time."""
    random, distributions = np.random.default_rng(1), space.distributions()
    params = (from_cube(distributions, row) for row in random.random((count, len(distributions))))
    return [space.suggest(FixedTrial(one)) for one in params]


ZERO = st.none() | st.floats(0.01, 0.95)
MEMBERS = st.dictionaries(
    st.sampled_from("abcdefg"),
    st.fixed_dictionaries({"concentration": st.floats(0.1, 30.0), "zero": ZERO}),
    min_size=1,
)
TOTALS = st.sampled_from(
    [1.0, 0.1, TOTAL, {**TOTAL, "zero": 0.3}, {"type": "float", "low": 0.1, "high": 0.3}]
)


@settings(max_examples=300, deadline=None)
@given(of=MEMBERS, total=TOTALS, data=st.data())
def test_every_quantile_stands_for_exact_shares_and_they_for_one_point(of, total, data):
    space = Space({"g": shares(of, total)})
    params = {
        name: data.draw(st.floats(0.1, 0.3) if name == "g" else st.floats(0.0, 1 - 1e-6))
        for name in space.distributions()
    }
    point = space.decode(params)
    coefficients = [float(point[path]) for path in of]
    sums = {sum(order) for order in itertools.islice(itertools.permutations(coefficients), 50)}
    assert len(sums) == 1
    (strength,) = sums
    if strength:
        low, high = space.groups["g"][0].range
        assert low * (1 - 2**-27) <= strength <= high * (1 + 2**-27)
        assert sum(value / strength for value in coefficients) == 1.0
        assert math.fsum(space.divisions(point)["g"].shares.values()) == 1.0
    encoded = space.encode(point)
    assert space.decode(encoded) == point
    assert space.encode(space.decode(encoded)) == encoded
    assert space.encode_drawn(point, params) == params
    assert space.encode_drawn(point, {}) == encoded


@settings(max_examples=50, deadline=None)
@given(of=MEMBERS, ends=st.lists(st.sampled_from([0.0, 1.0]), min_size=7, max_size=7))
def test_at_both_ends_at_once_a_unit_may_move(of, ends):
    space = Space({"g": shares(of, 1.0)})
    point = space.decode({path + QUANTILE: end for path, end in zip(of, ends, strict=False)})
    assert sum(point.values()) in (0.0, 1.0)
    assert space.decode(space.encode(point)) == pytest.approx(point, abs=2**-24)


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.floats(1e-4, 1.0), min_size=2, max_size=7), zero=ZERO)
def test_a_ratio_that_somebody_wrote_is_met_as_nearly_as_parameters_can(values, zero):
    group = shares(tuple("abcdefg"[: len(values)]), zero=zero)
    written = dict(zip("abcdefg", values, strict=False))
    space = Space({"g": group})
    if list(group.problems("g", written)):
        return
    found, wanted = (space.divisions(point)["g"] for point in (space.decode(space.encode(written)), written))
    assert found.total == pytest.approx(wanted.total, rel=2**-26)
    assert found.shares == pytest.approx(wanted.shares, abs=2**-24)


@pytest.mark.parametrize("concentration", [1.0, 0.5, 6.0])
def test_uniform_quantiles_are_dirichlet_shares(concentration):
    """Marginals are Beta(a_i, A - a_i): Kolmogorov-Smirnov on 4,000 points. Normalised uniforms fail it."""
    group = shares({"a": None, "b": {"concentration": 2.5}, "c": None}, 1.0, concentration=concentration)
    a = {"a": concentration, "b": 2.5, "c": concentration}
    points = drawn(Space({"g": group}), 4000)
    for path, own in a.items():
        found = [point[path] for point in points]
        assert kstest(found, "beta", args=(own, sum(a.values()) - own)).pvalue > 0.01, path
    uniform = np.random.default_rng(0).random((4000, 3))
    assert kstest(uniform[:, 0] / uniform.sum(1), "beta", args=(1.0, 2.0)).pvalue < 1e-6


def test_zeros_have_the_probability_that_is_written_and_the_rest_is_dirichlet_again():
    points = drawn(Space({"g": shares({"a": None, "b": {"zero": 0.6}, "c": None}, 1.0, zero=0.2)}), 6000)
    for path, zero in {"a": 0.2, "b": 0.6, "c": 0.2}.items():
        assert np.mean([point[path] == 0 for point in points]) == pytest.approx(zero, abs=0.02)
    nothing = [sum(point.values()) == 0 for point in points]
    assert np.mean(nothing) == pytest.approx(0.2 * 0.6 * 0.2, abs=0.01)  # all 0: without any of them
    pairs = [point["a"] for point in points if point["b"] == 0 and point["a"] > 0 and point["c"] > 0]
    assert kstest(pairs, "uniform").pvalue > 0.01


def test_a_total_of_zero_leaves_nothing_to_divide():
    space = Space({"g": shares(total={**TOTAL, "zero": 0.3})})
    points = drawn(space, 1000)
    assert np.mean([set(point.values()) == {0.0} for point in points]) == pytest.approx(0.3, abs=0.05)
    assert list(space.always()) == ["g:zero"]
    assert space.conditional
    assert space.encode(dict.fromkeys("abc", 0.0)) == {"g:zero": 0.15}


def test_what_does_not_exist_leaves_its_share_to_the_others():
    kind = CategoricalParameter(type="categorical", choices=("one", "two"))
    group = shares({"a": {}, "b": {}, "c": {"when": {"kind": "two"}}}, 1.0)
    space = Space({"g": group, "kind": kind})
    points = drawn(space, 3000)
    assert {(point["kind"], "c" in point) for point in points} == {("one", False), ("two", True)}
    assert {sum(float(point[path]) for path in "abc" if path in point) for point in points} == {1.0}
    rest = [point["a"] for point in points if point["kind"] == "one"]
    assert kstest(rest, "uniform").pvalue > 0.01  # Beta(1, 1): Dirichlet over the two that are left
    for path in "abc":
        for value, point in space.corners_of(path, kind):
            assert point[path] == value
            assert space.decode(space.encode(point)) == point


OF = ["objective.terms.cpc.weight", "objective.terms.barber_agakov.weight"]
CPC, BARBER = OF
TERMS = {"objective": {"terms": {"cpc": {"weight": 0.3}, "barber_agakov": {"weight": 0.1}}}}
GROUP = {"type": "shares", "of": OF, "total": TOTAL, "zero": 0.2}


def test_starts_give_coefficients_or_shares(make_study_config):
    starts = [
        {"terms": {"total": 2.0, "shares": {CPC: 0.25, BARBER: 0.75}}},
        {"terms": {"total": 0.8}},
        {"terms": {"shares": {CPC: 1.0}}},
        {CPC: 0.7},
    ]
    config = make_study_config({"terms": GROUP}, base=TERMS, starts=starts)
    points = config.starts()
    assert points[0] == {CPC: 0.3, BARBER: 0.1}  # trial 0 is the base to the last bit
    assert points[1] == {CPC: 0.5, BARBER: 1.5}
    assert points[2] == pytest.approx({CPC: 0.6, BARBER: 0.2}, rel=1e-7)
    assert points[3] == pytest.approx({CPC: 0.4, BARBER: 0.0}, rel=1e-7)
    assert points[4] == {CPC: 0.7, BARBER: 0.1}
    assert with_overrides(config.base, points[0]) == config.base
    assert parse(StudyConfig, config.model_dump(), "stored") == config
    jsonschema.validate(json.loads(json.dumps(config.model_dump())), json.loads(schema_text()))


@pytest.mark.parametrize(
    ("start", "where", "rule"),
    [
        ({"terms": {"shares": {CPC: 0.5, BARBER: 0.4}}}, "terms.shares", "must add up to 1"),
        ({"terms": {"total": 99.0}}, "terms.total", "must be from 0.01 to 10"),
        ({"terms": {"total": 1.0}, CPC: 0.5}, CPC, "as a coefficient and as a share"),
        ({"terms": {"shares": {CPC: 0.5, "optim.lr": 0.5}}}, "terms.shares", "has no share"),
        ({"terms": 0.5}, "terms", "must be {total: ..., shares: {...}}"),
        ({CPC: 20.0}, CPC, "adds up to 20.1"),
    ],
)
def test_inconsistent_starts_are_refused(make_values, start, where, rule):
    with pytest.raises(ConfigError) as caught:
        parse(StudyConfig, make_values({"terms": GROUP}, base=TERMS, starts=[start]), "space.yaml")
    (problem,) = caught.value.problems
    assert problem.path == f"search.starts.0.{where}"
    assert rule in problem.rule


REFUSED = [
    ({"of": []}, "of", "must list the settings"),
    ({"of": [CPC, CPC]}, "of", "named twice"),
    ({"of": {CPC: {"zero": 1.5}}}, f"of.{CPC}.zero", "less than 1"),
    ({"of": [CPC, "objective.terms.cpc.wieght"]}, "of.objective.terms.cpc.wieght", "not a setting"),
    ({"of": [CPC, "optim.lr"]}, "of.optim.lr", "is a parameter by itself already"),
    ({"of": [CPC, "train.epochs"]}, "of.train.epochs", "cannot be searched"),
    ({"of": {CPC: {"when": {"optim.lr": 0.1}}, BARBER: None}}, f"of.{CPC}.when.optim.lr", "a float almost"),
    ({"when": {"nothing": 1}}, "when.nothing", "is not a parameter of this space"),
    ({"total": {**TOTAL, "low": 0.0, "log": False}}, "total.low", "nothing can be divided"),
    ({"total": {**TOTAL, "log": False, "low": 1.0, "step": 1.0}}, "total.step", "has no steps"),
    ({"total": "much"}, "total", "what the coefficients add up to"),
    ({"concentration": 0.01}, "concentration", "greater than or equal to 0.1"),
    ({"zeros": 0.1}, "zeros", "is not a setting of this block"),
]


@pytest.mark.parametrize(("change", "where", "rule"), REFUSED)
def test_refused(make_values, change, where, rule):
    lr = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
    values = make_values({"terms": {**GROUP, **change}, "optim.lr": lr}, base=TERMS)
    with pytest.raises(ConfigError) as caught:
        parse(StudyConfig, values, "space.yaml")
    problem = caught.value.problems[0]
    assert problem.path == f"search.parameters.terms.{where}"
    assert rule in problem.rule


def test_a_base_that_is_no_point_is_told_what_would_be_one(make_values):
    values = make_values(
        {"terms": {**GROUP, "zero": None}}, base={"objective": {"terms": {"cpc": {"weight": 0.3}}}}
    )
    values["base"]["objective"]["terms"]["barber_agakov"] = {"weight": 0.0}
    with pytest.raises(ConfigError) as caught:
        parse(StudyConfig, values, "space.yaml")
    (problem,) = caught.value.problems
    assert (problem.path, problem.rule) == (f"base.{BARBER}", "must be above 0")
    assert "`zero`" in problem.next_step
    values = make_values({CPC: GROUP}, base=TERMS)
    with pytest.raises(ConfigError, match="shares have a name of their own"):
        parse(StudyConfig, values, "space.yaml")


def test_misspelt_coefficients_are_named_before_torch_is_loaded(tmp_path, make_values):
    path = tmp_path / "space.yaml"
    path.write_text(dump_yaml(make_values({"terms": {**GROUP, "of": [CPC, "objective.terms.cpc.wieght"]}})))
    (problem,) = misspelt(path)
    assert problem.path == "search.parameters.terms.of.objective.terms.cpc.wieght"
    assert problem.next_step == f"Did you mean {CPC!r}?"


def test_constraints_read_coefficients_and_the_total(make_study_config):
    rules = [f"{CPC} >= 2 * {BARBER}", "terms <= 1"]
    config = make_study_config({"terms": GROUP}, base=TERMS, constraints=rules)
    study = optuna.create_study(sampler=config.build_sampler(num_trials=0))
    for _ in range(20):
        point = config.space.suggest(study.ask())
        assert point[CPC] >= 2 * point[BARBER]
        assert point[CPC] + point[BARBER] <= 1


def test_an_edited_space_keeps_the_trials_whose_coefficients_lie_in_it(make_study_config):
    weight = {"type": "float", "low": 0.01, "high": 5.0, "log": True}
    floats = make_study_config({CPC: weight, BARBER: weight}, base=TERMS)
    together = make_study_config({"terms": GROUP}, base=TERMS)
    narrower = make_study_config({"terms": {**GROUP, "total": {**TOTAL, "high": 1.0}}}, base=TERMS)
    point = {CPC: 0.7, BARBER: 0.1 + 0.2}
    assert point_in(together, floats, point) == point_in(floats, together, point) == point
    assert point_in(narrower, together, point) == point
    assert point_in(narrower, together, {**point, CPC: 0.9}) is None


def test_a_study_keeps_every_point_over_restarts(tmp_path, make_study_config):
    starts = [{"terms": {"total": 0.7, "shares": {CPC: 1 / 3, BARBER: 2 / 3}}}]
    config = make_study_config(
        {"terms": GROUP}, base=TERMS, starts=starts, trials=8, sampler={"name": "tpe", "startup": 2}
    )
    seen = []
    for _ in range(4):  # a launch each
        with Study.open(config, tmp_path) as study:
            if not seen:
                study.bind_corpus("a" * 64)
            for _ in range(2):
                suggestion = study.ask()
                seen.append(dict(suggestion.overrides))
                study.finish(suggestion.number, Ending("completed", {"valid/mae": 1.0 + suggestion.number}))
    with Study.open(config, tmp_path) as study:
        assert [dict(trial.overrides) for trial in study.trials()] == seen
        assert study.defaults().number == 0
        assert study.trial_config(study.trial(0)).objective == config.base.objective
        for trial in study.trials()[1:]:
            known = shown_params(trial, study.divided(trial))
            assert (
                known["terms/cpc.weight"] + known["terms/barber_agakov.weight"] == 1.0 or known["terms"] == 0
            )
            assert known["terms"] == trial.overrides[CPC] + trial.overrides[BARBER]
    assert seen[0] == {CPC: 0.3, BARBER: 0.1}
    assert len({tuple(point.values()) for point in seen}) == 8


def test_a_prior_hands_on_the_ratio(make_study_config):
    """Another strength, a coefficient that the earlier study did not have: the ratio of the others holds."""
    space = Space({"g": shares(zero=0.1)})
    good = [{"a": 0.06 * scale, "b": 0.02 * scale} for scale in (0.8, 1.0, 1.2, 1.1, 0.9, 1.05)]
    everything = PriorSampler(RandomSampler(seed=0), density := Density(space, good), seed=1)
    everything.share = lambda study: 1.0
    study = optuna.create_study(sampler=everything)
    points = [space.suggest(study.ask()) for _ in range(300)]
    assert density.covered == ["a", "b"]
    ratios = [point["a"] / (point["a"] + point["b"]) for point in points if point["a"] or point["b"]]
    assert np.median(ratios) == pytest.approx(0.75, abs=0.03)
    assert np.quantile(ratios, 0.8) - np.quantile(ratios, 0.2) < 0.2
    assert np.median([sum(point.values()) for point in points]) == pytest.approx(0.08, rel=0.3)
    assert np.std([point["c"] for point in points]) > 0.005


def test_the_stop_rule_measures_shares(make_study_config):
    space = Space({"g": shares(zero=0.2)})
    points = drawn(space, 40)
    embedded = embed(space, points)
    assert embedded.shape == (40, 4)
    assert math.isfinite(regret_bound(embedded, np.array([point["a"] for point in points]), space))


MIMRL = [f"objective.terms.mimrl.{name}" for name in ("invariant", "fusion.audio", "fusion.vision")]


NONE = {"text": 0.0, "audio": 0.0, "vision": 0.0}
REST = {"complementary": 0.0, "specific": NONE, "fusion": {"text": 0.0}}


def test_an_absent_modality_drops_out_and_the_rest_is_divided(make_study_config):
    data = {
        "name": "planted",
        "rows_train": 40,
        "rows_valid": 20,
        "rows_test": 20,
        "modalities": ["audio", "vision"],
    }
    group = {"type": "shares", "of": MIMRL, "total": {**TOTAL, "low": 0.001}, "zero": 0.2}
    ratio = dict(zip(MIMRL, (0.6, 0.3, 0.1), strict=True))
    config = make_study_config(
        {"levels": group},
        base={"data": data, "model": {"name": "mimrl"}, "objective": {"terms": {"mimrl": REST}}},
        starts=[{"levels": {"total": 0.3, "shares": ratio}}],
    )
    idle = refuse_misfits(config, open_corpus(config.base.data)).idle
    assert "has no share of levels" in idle_lines(idle, config.space)[0]
    kept = without_idle_coefficients(config, idle)
    left = [path for path in MIMRL if path not in idle]
    assert [*kept.space.parameters] == left != MIMRL
    assert kept.base.objective.terms["mimrl"].invariant == 0.0  # so that nothing at all can be tried
    nothing = with_overrides(kept.base, dict.fromkeys(left, 0.0))
    assert Drafts(nothing, open_corpus(nothing.data)).of(nothing)
    start = kept.starts()[1]
    assert sum(start.values()) == pytest.approx(0.3)
    expected = {path: ratio[path] / sum(ratio[p] for p in left) for path in left}
    assert kept.space.divisions(start)["levels"].shares == pytest.approx(expected, abs=1e-6)


def test_a_dry_run_prints_the_ratio(make_study_config, tmp_path):
    printed = "\n".join(dry_run(make_study_config({"terms": GROUP}, base=TERMS), tmp_path))
    assert f"shares terms: a total from 0.01 to 10 over {CPC}, {BARBER}" in printed
    assert printed.count("# terms: ") == 3
    assert "% cpc.weight + " in printed


def test_pbt_refuses_shares(make_values):
    values = make_values({"terms": GROUP}, base=TERMS, scheduler={"name": "pbt", "interval": 1})
    with pytest.raises(ConfigError, match="shares only move together"):
        parse(StudyConfig, values, "space.yaml")
