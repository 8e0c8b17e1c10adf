"""Several objectives and bounds on metrics: what is best, what is on the front, what the sampler is told."""

from __future__ import annotations

from typing import Any

import pytest

from mmsa.errors import ConfigError
from mmsa.results.export import export
from mmsa.search.records import Ending
from mmsa.search.study.study import Study, read_study

TWO = [
    {"metric": "valid/mae", "direction": "minimize"},
    {"metric": "cost/parameters", "direction": "minimize"},
]


def ending(mae: float, parameters: float) -> Ending:
    return Ending("completed", {"valid/mae": mae, "cost/parameters": parameters}, best_epoch=1, seconds=2.0)


def filled(study: Study, points: list[tuple[float, float]]) -> Study:
    for mae, parameters in points:
        suggestion = study.ask()
        study.report(suggestion.number, 1, {"valid/mae": mae}, mae)
        study.finish(suggestion.number, ending(mae, parameters))
    return study


def test_the_front_holds_what_nothing_beats_in_everything(tmp_path, make_study_config):
    points = [(0.9, 10.0), (0.5, 90.0), (0.7, 50.0), (0.7, 60.0), (0.6, 95.0), (0.5, 90.0)]
    with Study.open(make_study_config(objectives=TWO, trials=6), tmp_path) as study:
        assert filled(study, points).front() == [study.trial(number) for number in (1, 5, 2, 0)]
        assert study.best().number == 1
    assert [trial.number for trial in read_study("tried", tmp_path).front()] == [1, 5, 2, 0]


def test_with_one_objective_the_front_is_the_best(tmp_path, make_study_config):
    with Study.open(make_study_config(trials=3), tmp_path) as study:
        assert [trial.number for trial in filled(study, [(3.0, 1.0), (1.0, 1.0), (2.0, 1.0)]).front()] == [1]


def test_what_breaks_a_bound_completes_and_comes_after_what_does_not(tmp_path, make_study_config):
    config = make_study_config(constraints=["cost/parameters <= 50", "valid/mae >= 0.1"], trials=3)
    with Study.open(config, tmp_path) as study:
        filled(study, [(0.2, 70.0), (0.4, 60.0), (0.9, 40.0)])
        assert [trial.outcome for trial in study.trials()] == ["completed"] * 3
        assert study.trial(0).reason == "breaks cost/parameters <= 50 by 20"
        assert study.trial(2).reason == ""
        assert [trial.number for trial in study.completed("search")] == [2, 1, 0]
        assert [trial.number for trial in study.front()] == [2]


def test_the_sampler_knows_by_how_much_a_bound_is_broken_also_in_the_next_launch(tmp_path, make_study_config):
    config = make_study_config(constraints=["cost/parameters <= 50"], trials=3)

    def told(study: Study) -> list[Any]:
        return [trial.constraints for trial in study._sampling.proposals._study.trials]

    with Study.open(config, tmp_path) as study:
        filled(study, [(0.2, 70.0), (0.4, 45.0)])
        assert told(study) == [{"cost/parameters <= 50": 20.0}, {"cost/parameters <= 50": -5.0}]
    with Study.open(config, tmp_path) as study:
        assert told(study) == [{"cost/parameters <= 50": 20.0}, {"cost/parameters <= 50": -5.0}]


def test_a_trial_without_the_metric_of_a_bound_has_failed(tmp_path, make_study_config):
    with Study.open(make_study_config(constraints=["cost/parameters <= 50"]), tmp_path) as study:
        study.finish(study.ask().number, Ending("completed", {"valid/mae": 1.0}))
        assert study.trial(0).outcome == "failed"
        assert "cost/parameters was not measured" in study.trial(0).reason


def test_seconds_are_those_of_all_launches(tmp_path, make_study_config):
    objectives = [TWO[0], {"metric": "cost/seconds", "direction": "minimize"}]
    config = make_study_config(objectives=objectives)
    with Study.open(config, tmp_path) as study:
        study.report(study.ask().number, 1, {"valid/mae": 1.0}, 1.0, seconds=3.0)
    with Study.open(config, tmp_path) as study:
        study.finish(study.ask().number, ending(1.0, 1.0))
        assert study.trial(0).values == (1.0, 5.0)


def test_a_cost_cannot_come_first(make_study_config):
    with pytest.raises(ConfigError, match="cannot be the first objective"):
        make_study_config(objectives=TWO[::-1])


def test_any_trial_of_the_front_is_exported_and_the_best_in_the_first_objective_without_a_choice(
    tmp_path, make_study_config
):
    with Study.open(make_study_config(objectives=TWO, trials=2), tmp_path) as study:
        study.bind_corpus("digest")
        filled(study, [(0.9, 10.0), (0.5, 90.0)])
        assert export(study, tmp_path / "best.yaml").provenance.trial == 1
        assert export(study, tmp_path / "small.yaml", trial=0).provenance.trial == 0


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_search_for_two_objectives_under_a_bound(launch, make_study_config):
    base = {
        "model": {"name": "late_fusion"},
        "train": {"epochs": 2, "batch_size": 20, "device": "cpu", "threads": 1},
    }
    width = {"model.text.hidden": {"type": "int", "low": 4, "high": 64}}
    config = make_study_config(
        width,
        base=base,
        objectives=TWO,
        constraints=["model.text.hidden % 4 == 0", "cost/parameters <= 1000000"],
        scheduler={"name": "none"},
        sampler={"name": "nsga2", "population": 3},
        trials=6,
    )
    launched = launch(config)
    trials = launched.study.trials()
    assert all(trial.outcome == "completed" and not trial.reason for trial in trials)
    assert all(trial.overrides["model.text.hidden"] % 4 == 0 for trial in trials)
    sizes = {trial.overrides["model.text.hidden"]: trial.values[1] for trial in trials}
    assert sorted(sizes, key=sizes.__getitem__) == sorted(sizes)
    front = launched.study.front()
    assert min(sizes.values()) in {trial.values[1] for trial in front}
    text = launched.summary.text()
    assert "front:    no trial is better" in text
    assert all(f"{trial.number:>15}  " in text for trial in front)
