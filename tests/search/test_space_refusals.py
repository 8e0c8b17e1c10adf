"""Every word of a space is interpreted or refused, with path, value, rule and next step."""

from __future__ import annotations

from typing import Any

import pytest

from mmsa.config import parse
from mmsa.errors import ConfigError, Problem
from mmsa.search.definition.study_config import StudyConfig

LR = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
NAMES = {"type": "categorical", "choices": ["adam", "adamw"]}


def problems(values: dict[str, Any]) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        parse(StudyConfig, values, "space.yaml")
    return list(caught.value.problems)


def changed(block: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**block, **changes}.items() if value is not None}


BY_ITSELF = [
    (changed(LR, low="1e-4"), "low", "'1e-4'", "valid number", "write 1.0e-4"),
    (changed(LR, high="1E-1"), "high", "'1E-1'", "valid number", "write 1.0e-1"),
    (changed(LR, low=0.5), "high", "0.1", "above low, which is 0.5", "Exchange"),
    (changed(LR, low=0.1), "high", "0.1", "above low", "single value in `base`"),
    (changed(LR, low=0.0), "low", "0.0", "above 0 when log", "zero"),
    (changed(LR, low=-1.0), "low", "-1.0", "above 0 when log", "zero"),
    (changed(LR, step=0.1), "step", "0.1", "exclude each other", "Remove"),
    (changed(LR, log=None, low=0.0, step=0.03), "high", "0.1", "whole number of steps", "Write high: 0.09"),
    (changed(LR, log=None, step=0.0), "step", "0.0", "greater than 0", ""),
    (changed(LR, low=float("nan")), "low", "nan", "finite", ""),
    (changed(LR, high=float("inf")), "high", "inf", "finite", ""),
    (changed(LR, zero=0.0), "zero", "0.0", "greater than 0", ""),
    (changed(LR, zero=1.0), "zero", "1.0", "less than 1", ""),
    (changed(LR, hihg=1.0), "hihg", "1.0", "not a setting", "Did you mean 'high'?"),
    (changed(LR, log="yes"), "log", "'yes'", "valid boolean", ""),
    (changed(LR, high=None), "high", "None", "is required", ""),
    (changed(LR, type=None), "type", "None", "needs a type", "Known: categorical, float, int, shares."),
    (changed(LR, type="flaot"), "type", "'flaot'", "not a type", "Did you mean 'float'?"),
    (changed(LR, type=["float"]), "type", "['float']", "not a type", ""),
    ([1e-4, 1e-1], "", "[0.0001, 0.1]", "must be a mapping", "type: float"),
    ([16, 32], "", "[16, 32]", "must be a mapping", "Write {type: categorical, choices: [16, 32]}, or"),
    ({"type": "int", "low": 1, "high": 1}, "high", "1", "above low", "single value"),
    ({"type": "int", "low": 0, "high": 4, "log": True}, "low", "0", "1 or more when log", "low: 1"),
    ({"type": "int", "low": 1, "high": 8, "step": 2}, "high", "8", "whole number of steps", "Write high: 7"),
    ({"type": "int", "low": 1.5, "high": 8}, "low", "1.5", "valid integer", ""),
    ({"type": "int", "low": 1, "high": 8, "zero": 0.5}, "zero", "0.5", "not a setting", ""),
    (changed(NAMES, choices=["adam"]), "choices", "('adam',)", "at least two", "`base`"),
    (changed(NAMES, choices=[]), "choices", "()", "at least two", "`base`"),
    (changed(NAMES, choices="adam"), "choices", "'adam'", "must be a list", ""),
    (changed(NAMES, choices=["a", "b", "a"]), "choices", "('a', 'b', 'a')", "'a' is a choice twice", "Keep"),
    (changed(NAMES, choices=[True, 1]), "choices", "(True, 1)", "of one type, not bool, int", ""),
    (changed(NAMES, choices=[1, 1.0]), "choices", "(1, 1.0)", "of one type, not float, int", "Write 1.0"),
    (changed(NAMES, choices=["1e-4", 1e-3]), "choices.0", "'1e-4'", "YAML reads as text", "1.0e-4"),
    (changed(NAMES, choices=[16, [32]]), "choices.1", "[32]", "a word, a number", "name"),
    (changed(NAMES, choices=[16, {"a": 1}]), "choices.1", "{'a': 1}", "a word, a number", "name"),
    (changed(NAMES, choices=["a", None]), "choices.1", "None", "a word, a number", "name"),
    (changed(NAMES, choices=[0.5, float("inf")]), "choices.1", "inf", "must be finite", ""),
    (changed(NAMES, zero=0.5), "zero", "0.5", "not a setting", ""),
]


@pytest.mark.parametrize(("parameter", "where", "value", "rule", "advice"), BY_ITSELF)
def test_parameter(make_values, parameter, where, value, rule, advice):
    (problem,) = problems(make_values({"optim.lr": parameter}))
    assert problem.path == f"search.parameters.optim.lr.{where}".rstrip(".")
    assert repr(problem.value) == value
    assert rule in problem.rule
    assert advice in problem.next_step


WARMUP = {"type": "float", "low": 0.0, "high": 0.5}
BETWEEN = [
    (
        {"optim.nmae": "adam"},
        "when.optim.nmae",
        "not a parameter of this space",
        "Did you mean 'optim.name'?",
    ),
    ({"optim.name": "sgd"}, "when.optim.name", "never has this value", "one of 'adam', 'adamw'"),
    ({"optim.name": ["adam", "sgd"]}, "when.optim.name", "never has this value", "one of 'adam', 'adamw'"),
    ({"optim.name": []}, "when.optim.name", "at least one value", "one of"),
    ({"optim.warmup": 0.1}, "when.optim.warmup", "cannot depend on itself", "another"),
    ({"optim.lr": 0.001}, "when.optim.lr", "almost never has one exact value", "categorical"),
    ({"train.batch_size": True}, "when.train.batch_size", "never has this value", "whole number"),
    ({"train.batch_size": 2.0}, "when.train.batch_size", "never has this value", "whole number"),
    ({"optim.name": {"adam": 1}}, "when.optim.name", "valid", ""),
]


@pytest.mark.parametrize(("when", "where", "rule", "advice"), BETWEEN)
def test_condition(make_values, when, where, rule, advice):
    batch_size = {"type": "int", "low": 2, "high": 64}
    space = {"optim.lr": LR, "optim.name": NAMES, "train.batch_size": batch_size}
    found = problems(make_values({**space, "optim.warmup": {**WARMUP, "when": when}}))
    assert found[0].path.startswith(f"search.parameters.optim.warmup.{where}")
    assert rule in found[0].rule
    assert advice in found[0].next_step


def test_circles_of_conditions_are_all_named(make_values):
    def depends(on: str) -> dict[str, Any]:
        return {"type": "categorical", "choices": ["a", "b"], "when": {on: "a"}}

    space = {"one": depends("two"), "two": depends("one"), "three": depends("four"), "four": depends("three")}
    rules = [problem.rule for problem in problems(make_values(space)) if "itself" in problem.rule]
    assert ["one -> two" in rule or "two -> one" in rule for rule in rules] == [True, False]
    assert "three -> four" in rules[1] or "four -> three" in rules[1]


def test_a_branch_that_an_ancestor_cuts_is_refused(make_values):
    space = {
        "optim.name": NAMES,
        "optim.schedule": {
            "type": "categorical",
            "choices": ["linear", "cosine"],
            "when": {"optim.name": "adamw"},
        },
        "optim.warmup": {**WARMUP, "when": {"optim.schedule": "linear", "optim.name": "adam"}},
    }
    found = [p for p in problems(make_values(space)) if p.path == "search.parameters.optim.warmup.when"]
    assert [problem.rule for problem in found] == ["is never true"]
    assert "no value of optim.name" in found[0].next_step


IN_RUN_CONFIG = [
    ("optim.lrr", LR, "not a setting", "Did you mean 'optim.lr'?"),
    ("optm.lr", LR, "not a setting", "Did you mean 'optim.lr'?"),
    ("optim.lr.low", LR, "valid number", "optim.lr"),
    ("model.fusion.rank", {"type": "int", "low": 1, "high": 4}, "not a setting", "Known: "),  # of lmf
    ("model.fusion.dropout", {"type": "float", "low": 0.0, "high": 1.5}, "less than 1", ""),
    ("model.fusion.width", {"type": "float", "low": 8.0, "high": 9.5}, "valid integer", ""),
    ("optim.name", {"type": "categorical", "choices": ["adamw", "sgd"]}, "adam", ""),
    ("data.noise", {"type": "float", "low": 0.1, "high": 0.9}, "cannot be searched", "`base`"),
    ("train.metric", {"type": "categorical", "choices": ["valid/mae", "valid/acc7"]}, "cannot be", "`base`"),
    ("train.epochs", {"type": "int", "low": 1, "high": 4}, "cannot be searched", "`base`"),
]


@pytest.mark.parametrize(("path", "parameter", "rule", "advice"), IN_RUN_CONFIG)
def test_parameter_of_the_configuration(make_values, path, parameter, rule, advice):
    (problem,) = problems(make_values({path: parameter}))
    assert problem.path == f"search.parameters.{path}"
    assert rule in problem.rule
    assert advice in problem.next_step


def test_a_parameter_that_another_choice_makes_meaningless_needs_a_condition(make_values):
    encoders = {"type": "categorical", "choices": ["lstm", "mlp"]}
    layers = {"type": "int", "low": 1, "high": 3}
    (problem,) = problems(make_values({"model.audio.name": encoders, "model.audio.layers": layers}))
    assert (problem.path, problem.value) == ("search.parameters.model.audio.name", "mlp")
    assert "makes model.audio.layers invalid" in problem.rule
    assert "`when`" in problem.next_step
    parse(
        StudyConfig,
        make_values(
            {
                "model.audio.name": encoders,
                "model.audio.layers": {**layers, "when": {"model.audio.name": "lstm"}},
            }
        ),
        "",
    )


def test_defaults_outside_the_range_are_refused(make_values):
    (problem,) = problems(make_values({"optim.weight_decay": {"type": "float", "low": 0.01, "high": 0.1}}))
    assert (problem.path, problem.value) == ("base.optim.weight_decay", 1e-4)
    assert problem.rule == "must be from 0.01 to 0.1"
    assert "Trial 0" in problem.next_step


STARTS = [
    ({"optim.lr": 0.5}, "optim.lr", "must be from", ""),
    ({"optim.lr": "1e-3"}, "optim.lr", "valid number", "1.0e-3"),
    ({"optim.rl": 0.01}, "optim.rl", "not a parameter", "Did you mean 'optim.lr'?"),
    ({"optim.warmup": 0.1}, "optim.warmup", "does not exist here", "only when optim.schedule is 'linear'"),
]


@pytest.mark.parametrize(("start", "where", "rule", "advice"), STARTS)
def test_start(make_values, start, where, rule, advice):
    schedule = {"type": "categorical", "choices": ["constant", "linear"]}
    warmup = {**WARMUP, "when": {"optim.schedule": "linear"}}
    space = {"optim.lr": LR, "optim.schedule": schedule, "optim.warmup": warmup}
    (problem,) = problems(make_values(space, starts=["defaults", start]))
    assert problem.path == f"search.starts.1.{where}"
    assert rule in problem.rule
    assert advice in problem.next_step


OBJECTIVES = [
    ([], "search.objectives", "at least one", "valid/mae"),
    (["valid/mae"], "search.objectives.0", "must be a mapping", "Write {metric: valid/mae}."),
    (
        [{"metric": "test/mae", "direction": "minimize"}],
        "search.objectives.0.metric",
        "a search never sees the test split",
        "valid/mae",
    ),
    (
        [{"metric": "valid/mea", "direction": "minimize"}],
        "search.objectives.0.metric",
        "not a metric",
        "Did you mean 'valid/mae'?",
    ),
    ([{"metric": "valid/mea"}], "search.objectives.0.metric", "not a metric", "Did you mean 'valid/mae'?"),
    ([{"metric": "valid/gold"}], "search.objectives.0.metric", "not a metric", ""),
    ([{"metric": "information/target/fusion"}], "search.objectives.0.direction", "is required", ""),
    (
        [{"metric": "valid/mae", "direction": "min"}],
        "search.objectives.0.direction",
        "'minimize' or 'maximize'",
        "",
    ),
    (
        [{"metric": "valid/mae", "direction": "minimize"}] * 2,
        "search.objectives",
        "is an objective twice",
        "Keep",
    ),
    (
        [{"metric": "valid/mae", "direction": "maximize"}],
        "search.objectives.0.direction",
        "base.train.direction of the same metric is minimize",
        "Exchange",
    ),
]


@pytest.mark.parametrize(("objectives", "path", "rule", "advice"), OBJECTIVES)
def test_objectives(make_values, objectives, path, rule, advice):
    (problem,) = problems(make_values(objectives=objectives))
    assert problem.path == path
    assert rule in problem.rule
    assert advice in problem.next_step


ELSEWHERE = [
    ({"sampler": {"name": "tpee"}}, "search.sampler.name", "not a sampler", "Did you mean 'tpe'?"),
    ({"sampler": {"startup": 3}}, "search.sampler.name", "needs a name", "Known: cmaes, gp, nsga2"),
    ({"scheduler": {"name": "asha", "grce": 3}}, "search.scheduler.grce", "not a setting", "'grace'"),
    ({"scheduler": {"name": "asha", "reduction": 1}}, "search.scheduler.reduction", "equal to 2", ""),
    ({"trials": 0}, "search.trials", "equal to 1", ""),
    ({"trials": "8"}, "search.trials", "valid integer", ""),
    ({"starts": "defaults"}, "search.starts", "must be a list", "Write ['defaults']."),
    ({"stop": {"patience": 3}}, "search.stop.name", "needs a name", "Known: never, noise"),
    ({"trails": 8}, "search.trails", "not a setting", "Did you mean 'trials'?"),
    ({"study": "my study"}, "study", "letters, digits", "Write my-study."),
    ({"study": "../other"}, "study", "letters, digits", "Write other."),
    ({"resources": {"workers": 0}}, "resources.workers", "equal to 1", ""),
    ({"resources": {"gpus": 1}}, "resources.gpus", "not a setting", ""),
]


@pytest.mark.parametrize(("change", "path", "rule", "advice"), ELSEWHERE)
def test_everything_else(make_values, change, path, rule, advice):
    (problem,) = problems(make_values(**change))
    assert problem.path == path
    assert rule in problem.rule
    assert advice in problem.next_step


def test_all_problems_of_a_file_at_once(make_values):
    values = make_values(
        {
            "optim.lr": {"type": "float", "low": "1e-5", "high": 1e-2},
            "optim.weight_decay": {"type": "float", "low": 1e-2, "high": 1e-3},
            "optim.warmup": {**WARMUP, "when": {"optim.nmae": "adam"}},
            "model.fusion.dropuot": {"type": "float", "low": 0.0, "high": 0.5},
            "model.fusion.width": {"type": "int", "low": 200, "high": 256},
            "data.noise": {"type": "float", "low": 0.0, "high": 0.5},
        },
        objectives=[{"metric": "test/mae", "direction": "minimize"}],
        starts=[{"model.fusion.width": 20}],
        surplus=1,
    )
    assert {problem.path for problem in problems({**values, "more": 2})} == {
        "search.parameters.optim.lr.low",
        "search.parameters.optim.weight_decay.high",
        "search.parameters.optim.warmup.when.optim.nmae",
        "search.parameters.model.fusion.dropuot",
        "search.parameters.data.noise",
        "base.model.fusion.width",
        "search.objectives.0.metric",
        "search.starts.0.model.fusion.width",
        "search.surplus",
        "more",
    }


def test_no_problem_hides_one_of_another_phase(make_values):
    """Names, types, values, what is between parts, and what needs a space: all in one answer."""
    values = make_values(
        {
            "optim.weight_decay": {"type": "loguniform", "low": 1e-2, "high": 1e-3},
            "model.audio.dropout": {"type": "float", "low": 0.0, "high": 1.5},
            "train.epochs": {"type": "int", "low": 1, "high": 4},
            "lr": LR,
            "optim.lr": LR,
        },
        base={"model": {"name": "MMIM"}, "optim": {"lrr": 0.1}, "train": {"threads": 4, "epochs": 0}},
        objectives=[{"metric": "val_mae", "direction": "minimize"}],
        starts=[{"optim.lr": 7.0}, {"optim.rl": 0.1}],
        trials=0,
        sampler={"name": "TPE"},
        scheduler={"name": "asha", "grace_period": 3},
        constraints=["optim.lr % 'a' == 0", "a b", "optim.rl < 1", "cost/params <= 3"],
        finalists={"top": 1, "set": {"train.epoch": 12}},
        priors=["tried"],
        stop={"name": "noize"},
        resources={"gpus": 1},
    )
    assert {problem.path for problem in problems({**values, "more": 2})} == {
        "base.model.name",
        "base.optim.lrr",
        "base.train.epochs",
        "base.train.threads",
        "search.parameters.optim.weight_decay.type",
        "search.parameters.model.audio.dropout",
        "search.parameters.train.epochs",
        "search.parameters.lr",
        "search.objectives.0.metric",
        "search.starts.0.optim.lr",
        "search.starts.1.optim.rl",
        "search.trials",
        "search.sampler.name",
        "search.scheduler.grace_period",
        "search.constraints.0",
        "search.constraints.1",
        "search.constraints.2",
        "search.constraints.3",
        "search.finalists.set.train.epoch",
        "search.priors.0",
        "search.stop.name",
        "resources.gpus",
        "more",
    }


def test_hundreds_of_unknown_parameters_are_told_in_seconds(make_values):
    found = problems(make_values({f"optim.x{number}": LR for number in range(300)}))
    assert len(found) == 300
    (one,) = problems(make_values({f"optim.x{number}": LR for number in range(2000)}))
    assert "more than the 1,000" in one.rule


LIMITS = [
    ({"trials": 10**12}, "search.trials"),
    ({"parameters": {"optim.lr": {"type": "float", "low": 0.0, "high": 0.1, "step": 1e-300}}}, "step"),
    ({"parameters": {"optim.lr": {"type": "float", "low": -1e308, "high": 1e308}}}, "high"),
    ({"parameters": {"seed": {"type": "int", "low": 0, "high": 2**62}}}, "high"),
    ({"base": {"train": {"epochs": 10**12}}}, "base.train.epochs"),
    (
        {"base": {"model": {"name": "mmim", "audio": {"name": "lstm", "hidden": 10**12}}}},
        "base.model.audio.hidden",
    ),
    (
        {"base": {"data": {"name": "planted", "rows_train": 10**6, "text_dim": 65_536}}},
        "base.data.rows_train",
    ),
]


@pytest.mark.parametrize(("change", "path"), LIMITS)
def test_numbers_that_cannot_be_meant(make_values, change, path):
    assert problems(make_values(**change))[0].path.endswith(path)


def test_problems_of_base_do_not_hide_those_of_the_search(make_values):
    values = make_values({"optim.lr": {**LR, "low": "1e-4"}}, base={"optim": {"lr": "1e-3"}})
    assert [problem.path for problem in problems(values)] == [
        "base.optim.lr",
        "search.parameters.optim.lr.low",
    ]


def test_each_worker_needs_a_row_of_every_batch_that_may_be_tried(make_values):
    sizes = {"train.batch_size": {"type": "categorical", "choices": [4, 20, 32]}}
    parse(StudyConfig, make_values(sizes, resources={"workers": 4}), "space.yaml")
    (problem,) = problems(make_values(sizes, resources={"workers": 5}))
    assert (problem.path, problem.value) == ("resources.workers", 5)
    assert problem.rule.startswith("more than the 4 rows of the smallest batch")


def test_threads_that_do_not_fit_into_a_worker(make_values):
    values = make_values(base={"train": {"threads": 4}}, resources={"cpus_per_worker": 2})
    with pytest.raises(ConfigError) as caught:
        parse(StudyConfig, values, "space.yaml")
    (problem,) = caught.value.problems
    assert (problem.path, problem.value) == ("base.train.threads", 4)
    assert problem.next_step == "Write resources: {cpus_per_worker: 4}."


@pytest.mark.parametrize(
    ("names", "rule"), [(["tried"], "is this study itself"), (["a", "a"], "is named twice")]
)
def test_priors_are_other_studies_each_once(make_values, names, rule):
    with pytest.raises(ConfigError) as caught:
        parse(StudyConfig, make_values(priors=names), "space.yaml")
    assert [problem.rule for problem in caught.value.problems] == [rule]


def test_a_stop_rule_that_does_not_fit_the_objectives(make_values):
    objectives = [
        {"metric": "valid/mae", "direction": "minimize"},
        {"metric": "valid/pearson", "direction": "maximize"},
    ]
    with pytest.raises(ConfigError) as caught:
        parse(StudyConfig, make_values(objectives=objectives, stop={"name": "noise"}), "space.yaml")
    assert [problem.path for problem in caught.value.problems] == ["search.stop.name"]
