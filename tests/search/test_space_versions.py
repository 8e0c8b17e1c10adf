"""A space that is edited between launches: what may change, which trials carry over, what is remembered."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from mmsa.config import with_overrides
from mmsa.errors import StudyError
from mmsa.results.export import export
from mmsa.search.records import Ending
from mmsa.search.study.study import Study, read_study

LR = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
DROPOUT = {"type": "float", "low": 0.0, "high": 0.5}
BASE_LR, BASE_DROPOUT = 0.001, 0.1


@pytest.fixture(params=["journal", "sqlite"])
def storage(request, tmp_path) -> str | None:
    return None if request.param == "journal" else f"sqlite:///{tmp_path / 'study.db'}"


def run(study: Study) -> None:
    while suggestion := study.ask():
        study.report(suggestion.number, 1, {"valid/mae": 1.0}, 1.0)
        study.finish(suggestion.number, Ending("completed", {"valid/mae": 1.0 + suggestion.number}))


def begin(config, runs, storage=None) -> None:
    with Study.open(config, runs, storage) as study:
        study.bind_corpus("a" * 64)
        run(study)


def overrides_and_state(study) -> list[tuple[dict[str, Any], bool]]:
    return [(dict(trial.overrides), trial.superseded) for trial in study.trials()]


def test_a_narrower_range_keeps_the_trials_in_it(tmp_path, make_study_config, storage):
    starts = [{"optim.lr": 0.05}, {"optim.lr": 0.002}]
    begin(make_study_config(starts=starts, trials=3), tmp_path, storage)
    narrow = make_study_config({"optim.lr": {**LR, "high": 0.01}}, trials=5)
    with Study.open(narrow, tmp_path, storage) as study:
        known = overrides_and_state(study)
        assert known == [
            ({"optim.lr": BASE_LR}, False),
            ({"optim.lr": 0.05}, True),
            ({"optim.lr": 0.002}, False),
        ]
        run(study)
        assert study.finished == 5
        assert all(trial.overrides["optim.lr"] <= 0.01 for trial in study.trials()[3:])
    view = read_study("tried", tmp_path, storage)
    assert [version.number for version in view.space_versions] == [1, 2]
    assert view.space_versions[1].changes == ("search.parameters.optim.lr.high: was 0.1, is 0.01",)
    assert view.space_versions[1].carried == {0, 2}
    assert yaml.safe_load(view.space_versions[0].text())["search"]["parameters"]["optim.lr"]["high"] == 0.1
    assert [trial.version for trial in view.trials()] == [1, 1, 1, 2, 2]


def test_a_wider_range_keeps_all(tmp_path, make_study_config, storage):
    begin(make_study_config(trials=3), tmp_path, storage)
    with Study.open(
        make_study_config({"optim.lr": {**LR, "high": 1.0}}, trials=3), tmp_path, storage
    ) as study:
        assert [trial.superseded for trial in study.trials()] == [False] * 3
        assert study.remaining == 0


def test_a_new_parameter_has_the_bases_value_in_earlier_trials(tmp_path, make_study_config, storage):
    begin(make_study_config(trials=2), tmp_path, storage)
    wider = {"optim.lr": LR, "model.fusion.dropout": DROPOUT}
    config = make_study_config(wider, trials=4, sampler={"name": "tpe", "startup": 1})
    with Study.open(config, tmp_path, storage) as study:
        assert [trial.superseded for trial in study.trials()] == [False, False]
        run(study)
        assert set(study.trial(3).overrides) == set(wider)
        assert study.trial(0).overrides == {"optim.lr": BASE_LR}


def test_a_parameter_that_is_gone_leaves_the_trials_with_the_bases_value(
    tmp_path, make_study_config, storage
):
    both = {"optim.lr": LR, "model.fusion.dropout": DROPOUT}
    starts = [{"model.fusion.dropout": BASE_DROPOUT, "optim.lr": 0.01}]
    begin(make_study_config(both, starts=starts, trials=4), tmp_path, storage)
    with Study.open(make_study_config(trials=4), tmp_path, storage) as study:
        assert [trial.superseded for trial in study.trials()] == [False, False, True, True]
        assert study.best().number == 0


def test_choices_may_change_though_optuna_cannot_mix_them(tmp_path, make_study_config, storage):
    def config(*choices: int, trials: int) -> Any:
        size = {"train.batch_size": {"type": "categorical", "choices": list(choices)}}
        return make_study_config(size, trials=trials, sampler={"name": "tpe", "startup": 1})

    begin(config(10, 20, trials=6), tmp_path, storage)
    with Study.open(config(20, 40, trials=12), tmp_path, storage) as study:
        for trial in study.trials():
            assert trial.superseded == (trial.overrides["train.batch_size"] == 10)
        run(study)
        assert {trial.overrides["train.batch_size"] for trial in study.trials()[6:]} <= {20, 40}
    begin(config(10, 20, trials=14), tmp_path, storage)
    assert read_study("tried", tmp_path, storage).finished == 14


def test_an_edited_base_leaves_no_trial_and_tries_the_new_defaults(tmp_path, make_study_config, storage):
    begin(make_study_config(trials=2), tmp_path, storage)
    edited = make_study_config(base={"optim": {"clip_norm": 0.5}}, trials=3)
    with Study.open(edited, tmp_path, storage) as study:
        assert study.best() is None
        assert study.defaults() is None
        suggestion = study.ask()
        assert (suggestion.number, suggestion.start) == (2, "defaults")
        study.finish(2, Ending("completed", {"valid/mae": 9.0}))
        assert study.best().number == study.defaults().number == 2
        first, last = (study.trial_config(study.trial(number)) for number in (0, 2))
        assert (first.optim.clip_norm, last.optim.clip_norm) == (1.0, 0.5)


def test_a_trial_of_an_earlier_version_exports_as_it_ran(tmp_path, make_study_config):
    before = make_study_config(trials=2)
    begin(before, tmp_path)
    begin(
        make_study_config({"model.fusion.dropout": DROPOUT}, base={"optim": {"lr": 0.5}}, trials=3), tmp_path
    )
    view = read_study("tried", tmp_path)
    ran = export(view, tmp_path / "old.yaml", trial=1).config
    expected = with_overrides(before.base, {"train.threads": 1, **view.trial(1).overrides})
    assert ran == expected
    assert export(view, tmp_path / "best.yaml").provenance.trial == 2


def test_a_trial_that_runs_while_the_space_is_edited(tmp_path, make_study_config, storage):
    starts = [{"optim.lr": 0.05}, {"optim.lr": 0.002}]
    with Study.open(make_study_config(starts=starts, trials=3), tmp_path, storage) as study:
        for _ in range(3):
            study.ask()
    with Study.open(
        make_study_config({"optim.lr": {**LR, "high": 0.01}}, trials=3), tmp_path, storage
    ) as study:
        assert [(study.ask().number) for _ in range(2)] == [0, 2]
        assert study.ask() is None
        assert study.trial(1).outcome == "pruned"
        assert "does not lie in version 2" in study.trial(1).reason


def test_what_values_are_compared_by_stays(tmp_path, make_study_config):
    begin(make_study_config(trials=1), tmp_path)
    train = {"epochs": 3, "batch_size": 20, "device": "cpu", "threads": 1}
    changed = make_study_config(
        {"optim.lr": {**LR, "high": 0.2}},
        base={"train": train, "data": {"name": "planted", "rows_train": 80}},
        objectives=[{"metric": "valid/pearson", "direction": "maximize"}],
    )
    with pytest.raises(StudyError) as caught:
        Study.open(changed, tmp_path)
    message = str(caught.value)
    assert "base.train.epochs: was 2, is 3 - values at other lengths do not compare" in message
    assert "base.data.rows_train: was 40, is 80 - values on other data do not compare" in message
    assert "search.objectives: " in message
    assert "optim.lr" not in message
    assert "write another name after `study:`" in message
    assert len(read_study("tried", tmp_path).space_versions) == 1


def test_an_edit_and_back_carries_everything_again(tmp_path, make_study_config):
    first, second = (
        make_study_config(trials=3),
        make_study_config({"optim.lr": {**LR, "high": 0.002}}, trials=5),
    )
    begin(first, tmp_path)
    begin(second, tmp_path)
    with Study.open(make_study_config(trials=5), tmp_path) as study:
        assert not any(trial.superseded for trial in study.trials())
        assert study.best().number == 0
