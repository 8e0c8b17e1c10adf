"""Combinations that make no sense are refused before a trial starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml

from mmsa.data import Corpus, open_corpus
from mmsa.data.target_spec import TargetSpec
from mmsa.errors import ConfigError
from mmsa.search.definition.load import load_space
from mmsa.search.definition.misfits import refuse_misfits
from mmsa.search.execution.executor import SearchOptions, run_search

FUSIONS = {"type": "categorical", "choices": ["mlp", "tfn", "misa"]}
AVERAGE_OR_NOT = {"type": "categorical", "choices": ["average", "lmf"]}
SMALL = {"name": "mlp", "output": 8}


def misfits(config: Any) -> str:
    """What is said about a study on its own data."""
    with pytest.raises(ConfigError) as raised:
        refuse_misfits(config, open_corpus(config.base.data))
    return str(raised.value)


def base(**model: Any) -> dict[str, Any]:
    return {"model": {"name": "late_fusion", "audio": SMALL, "vision": SMALL, **model}}


def test_a_space_of_fusions_that_fit(make_study_config) -> None:
    config = make_study_config({"model.fusion.name": FUSIONS}, base=base(text=SMALL))
    refuse_misfits(config, open_corpus(config.base.data))


def test_a_base_that_does_not_fit_is_said_before_the_rest(make_study_config) -> None:
    model = base(text={"name": "mlp", "output": 9}, fusion={"name": "average"})
    said = misfits(make_study_config({"model.fusion.name": AVERAGE_OR_NOT}, base=model))
    assert "1 problem" in said
    assert "base.model.fusion.name: 'average'" in said


def test_each_choice_and_extreme_is_looked_at(make_study_config) -> None:
    parameters = {
        "model.fusion.name": FUSIONS,
        "model.text.output": {"type": "int", "low": 4, "high": 5000},
        "objective.terms.cmd.weight": {"type": "float", "low": 0.1, "high": 1.0},
    }
    model = base(text=SMALL, fusion={"name": "misa"})
    said = misfits(make_study_config(parameters, base={**model, "objective": {"terms": {"cmd": {}}}}))
    assert "search.parameters.model.fusion.name: 'mlp'" in said
    assert "objective.terms.cmd cmd reads the shared vector" in said
    assert "fusion: {name: misa}" in said


def test_a_tensor_of_any_size_runs_and_tells_what_it_takes(make_study_config) -> None:
    """1,094,049 cells: what MMSA ships for CH-SIMS."""
    published = {
        name: {"name": "mlp", "output": width}
        for name, width in [("text", 128), ("audio", 16), ("vision", 498)]
    }
    parameters = {"model.text.output": {"type": "int", "low": 4, "high": 5000}}
    config = make_study_config(parameters, base=base(**published, fusion={"name": "tfn", "width": 64}))
    outlook = refuse_misfits(config, open_corpus(config.base.data))
    assert outlook.base is not None
    assert outlook.base.numbers_per_row == 129 * 17 * 499 == 1_094_307
    assert outlook.base.memory(20) > 24 * 64 * 1_094_307 + 16 * 20 * 1_094_307
    assert outlook.largest is not None
    assert outlook.largest[:2] == ("model.text.output", 5000)
    assert outlook.largest[2] == pytest.approx(outlook.base.memory(20) * 5001 / 129, rel=0.01)


def test_what_fits_no_machine_is_refused(make_study_config) -> None:
    wide = {"name": "mlp", "output": 60_000}
    said = misfits(make_study_config(base=base(text=wide, audio=wide, fusion={"name": "tfn"})))
    assert "base.model: " in said
    assert "GiB to train, more than any machine has" in said
    with pytest.raises(ConfigError, match="less than or equal to 65536"):
        make_study_config({"model.fusion.width": {"type": "int", "low": 4, "high": 10**14, "log": True}})


def test_a_search_does_not_begin(tmp_path, make_study_config) -> None:
    config = make_study_config(base=base(text={"name": "mlp", "output": 9}, fusion={"name": "average"}))
    with pytest.raises(ConfigError, match="averages vectors of one width"):
        run_search(config, SearchOptions(tmp_path), [], print)
    assert not (tmp_path / config.study).exists()


def test_a_strategy_that_needs_a_common_head_is_refused_for_fusions_without_one(make_study_config) -> None:
    alternating = {"objective": {"strategy": {"name": "alternating"}}}
    widths = base(text=SMALL, fusion={"name": "average"})
    parameters = {"model.fusion.name": {"type": "categorical", "choices": ["average", "lmf"]}}
    said = misfits(make_study_config(parameters, base={**widths, **alternating}))
    assert "search.parameters.model.fusion.name: 'lmf'" in said
    assert "objective.strategy.name alternating trains a head that several modalities have in common" in said


def test_modalities_of_different_widths_have_no_average(make_study_config) -> None:
    parameters = {"model.text.output": {"type": "int", "low": 8, "high": 16}}
    said = misfits(make_study_config(parameters, base=base(text=SMALL, fusion={"name": "average"})))
    assert "search.parameters.model.text.output: 16" in said
    assert "averages vectors of one width" in said


def test_labels_of_modalities_that_the_data_lack_are_refused(make_study_config) -> None:
    parameters = {
        "objective.terms.unimodal.labels": {"type": "categorical", "choices": ["generated", "annotated"]}
    }
    objective = {"objective": {"terms": {"unimodal": {}}}}
    said = misfits(make_study_config(parameters, base={**base(text=SMALL), **objective}))
    assert "search.parameters.objective.terms.unimodal.labels: 'annotated'" in said
    assert "labels of text, audio, vision alone, which the data set does not have" in said


@pytest.mark.parametrize(
    ("objective", "path", "choices", "reason"),
    [
        ({"terms": {"cpc": {}}}, "weighting", ["fixed", "uncertainty"], "cpc can be: no weight is best"),
        ({"terms": {"coral": {}}}, "strategy", ["joint", "alternating"], "coral would relate nothing"),
    ],
)
def test_what_goes_with_no_such_term_is_refused_when_the_space_is_read(
    make_study_config, objective: dict[str, Any], path: str, choices: list[str], reason: str
) -> None:
    parameters = {f"objective.{path}.name": {"type": "categorical", "choices": choices}}
    with pytest.raises(ConfigError, match=f"(?s)objective.{path}.name: '{choices[1]}'.*{reason}"):
        make_study_config(parameters, base={**base(text=SMALL), "objective": objective})


def planted(metric: str = "valid/mae", **data: Any) -> dict[str, Any]:
    return {
        "base": {**base(text=SMALL), "data": {"name": "planted", **data}, "train": {"epochs": 1}},
        "objectives": [{"metric": metric, "direction": "minimize"}],
    }


@pytest.mark.parametrize("rows", [1, 4, 5])
def test_a_search_needs_rows_to_choose_on(make_study_config, rows: int) -> None:
    config = make_study_config(**planted(rows_valid=rows))
    if rows == 5:
        refuse_misfits(config, open_corpus(config.base.data))
    else:
        assert f"base.data: '{rows} rows in valid'" in misfits(config)


def relabelled(config: Any, **labels: float) -> Corpus:
    """The data with equal labels in the named splits."""
    corpus = open_corpus(config.base.data)
    splits = {
        name: replace(split, labels=np.full_like(split.labels, labels[name])) if name in labels else split
        for name, split in corpus.splits.items()
    }
    return replace(corpus, splits=splits)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_equal_labels_are_nothing_to_choose_by(make_study_config, split: str) -> None:
    config = make_study_config(**planted())
    with pytest.raises(ConfigError, match=rf"base\.data: '\d+ labels of 1.5 in {split}'"):
        refuse_misfits(config, relabelled(config, **{split: 1.5}))


def test_an_accuracy_of_which_valid_has_one_class_cannot_be_an_objective(make_study_config) -> None:
    config = make_study_config(**planted("valid/f1_negative_positive"))
    corpus = open_corpus(config.base.data)
    refuse_misfits(config, corpus)
    valid = replace(corpus["valid"], labels=np.abs(corpus["valid"].labels) + 0.1)
    positive = replace(corpus, splits={**corpus.splits, "valid": valid})
    with pytest.raises(
        ConfigError, match=r"'valid/f1_negative_positive'\n +cannot choose: all labels"
    ) as error:
        refuse_misfits(config, positive)
    assert "1 problem" in str(error.value)
    by_mae = make_study_config(**planted("valid/mae"))
    refuse_misfits(by_mae, positive)


def test_what_is_chosen_by_must_be_a_metric_of_the_data(make_study_config) -> None:
    config = make_study_config(**planted("valid/acc7"))
    corpus = open_corpus(config.base.data)
    neutral = replace(corpus, targets=(replace(corpus.target, suite="regression"),))
    with pytest.raises(
        ConfigError,
        match=r"search\.objectives\.0\.metric: 'valid/acc7'\n +is not a metric of planted, which is scored "
        r"with valid/mae, valid/pearson, valid/rmse, valid/ccc\n",
    ):
        refuse_misfits(config, neutral)


def test_no_metric_is_suggested_because_it_begins_alike(make_study_config) -> None:
    with pytest.raises(ConfigError, match="valid/pearson") as error:
        make_study_config(objectives=[{"metric": "valid/kappa", "direction": "maximize"}])
    assert "Did you mean" not in str(error.value)
    with pytest.raises(ConfigError, match="Did you mean 'valid/pearson'"):
        make_study_config(objectives=[{"metric": "valid/pearso", "direction": "maximize"}])


def in_two_classes(config: Any) -> Corpus:
    """Its data, of which is predicted whether the label is above 0."""
    corpus = open_corpus(config.base.data)
    splits = {
        name: replace(split, labels=(split.labels > 0).astype(np.float32))
        for name, split in corpus.splits.items()
    }
    return replace(corpus, splits=splits, targets=(TargetSpec("polarity", "binary"),))


@pytest.mark.parametrize("changes", [{}, {"train.epochs": 3}], ids=["as written", "--set"])
def test_mae_is_refused_for_classes_only_where_somebody_wrote_it(make_values, tmp_path, changes) -> None:
    file = tmp_path / "space.yaml"
    for task, named in [({}, False), ({"task": {"name": "mae"}}, True), ({"task": {"name": "bce"}}, False)]:
        values = make_values(
            base={"objective": task, "train": {"metric": "valid/f1_macro", "direction": "maximize"}},
            objectives=[{"metric": "valid/f1_macro", "direction": "maximize"}],
        )
        file.write_text(yaml.safe_dump(values), encoding="utf-8")
        config = load_space(file, changes)
        if not named:
            refuse_misfits(config, in_two_classes(config))
            continue
        with pytest.raises(ConfigError, match=r"'mae'\n +is no loss of polarity, .* binary\n +Write bce"):
            refuse_misfits(config, in_two_classes(config))
    config = load_space(file, {**changes, "objective.task.name": "mae"})
    with pytest.raises(ConfigError, match=r"base\.objective\.task\.name: 'mae'"):
        refuse_misfits(config, in_two_classes(config))


def test_mae_is_refused_for_classes_as_a_choice(make_study_config) -> None:
    choices = {"objective.task.name": {"type": "categorical", "choices": ["bce", "mae"]}}
    train = {"metric": "valid/f1_macro", "direction": "maximize"}
    objectives = [{"metric": "valid/f1_macro", "direction": "maximize"}]
    base = {"objective": {"task": {"name": "bce"}}, "train": train}
    config = make_study_config(choices, base=base, objectives=objectives)
    with pytest.raises(ConfigError, match=r"search\.parameters\.objective\.task\.name: 'mae'\n"):
        refuse_misfits(config, in_two_classes(config))


def test_a_metric_that_nobody_wrote_is_called_the_default_with_what_to_write(make_study_config) -> None:
    data = {"name": "planted", "kind": "multiclass", "rows_train": 40, "rows_valid": 20, "rows_test": 20}
    objectives = [{"metric": "valid/f1_macro"}]
    for train, advice in (
        ({"device": "cpu"}, "Nobody wrote it.*write base.train.metric: valid/f1_macro"),
        ({"device": "cpu", "metric": "valid/mae"}, "Write valid/accuracy, or another"),
    ):
        config = make_study_config(base={"data": data, "train": train}, objectives=objectives)
        with pytest.raises(ConfigError, match=rf"base.train.metric: 'valid/mae'[\s\S]*{advice}"):
            refuse_misfits(config, open_corpus(config.base.data))
