"""The second stage: what may be set for it, who gets into it, and what becomes of it when a driver dies."""

from __future__ import annotations

from collections import Counter

import pytest

from mmsa.errors import ConfigError
from mmsa.search.records import Ending
from mmsa.search.study.cards import trial_card
from mmsa.search.study.fidelity import fidelity
from mmsa.search.study.study import Study, read_study
from mmsa.search.summary import summary_of

FEWER = {"optim.weight_decay": 0.1}


def done(value: float) -> Ending:
    return Ending("completed", {"valid/mae": value}, best_epoch=1, seconds=1.0)


def run(study: Study, stage: str = "search", ending=done) -> list[int]:
    """Trials of a stage to its end; of the search, those in the middle are best."""
    numbers = []
    while suggestion := study.ask(stage):
        numbers.append(suggestion.number)
        study.finish(suggestion.number, ending(1.0 + abs(suggestion.number - 2) / 10))
    return numbers


def sources(study: Study) -> list[int]:
    return [trial.finalist_of for trial in study.trials() if trial.stage == "finalist"]


@pytest.fixture
def config(make_study_config):
    def make(top=2, settings=FEWER, defaults=False, **search):
        finalists = {"top": top, "set": settings, "defaults": defaults}
        return make_study_config(trials=5, finalists=finalists, **search)

    return make


class TestSettings:
    def refused(self, config, settings, **space) -> dict[str, str]:
        with pytest.raises(ConfigError) as caught:
            config(settings=settings, **space)
        return {problem.path: f"{problem.rule} {problem.next_step}" for problem in caught.value.problems}

    def test_unknown_ones_get_the_nearest(self, config):
        problems = self.refused(config, {"optim.weight_decy": 0.1})
        assert "Did you mean 'weight_decay'?" in problems["search.finalists.set.optim.weight_decy"]

    @pytest.mark.parametrize("path", ["data.rows_train", "train.metric", "train.direction"])
    def test_what_makes_trials_comparable_is_fixed(self, config, path):
        problems = self.refused(config, {path: 10, **FEWER})
        assert list(problems) == [f"search.finalists.set.{path}"]
        assert "cannot be changed for finalists" in problems[f"search.finalists.set.{path}"]

    def test_values_are_checked_at_the_base(self, config):
        problems = self.refused(config, {"optim.weight_decay": -1.0})
        assert list(problems) == ["search.finalists.set.optim.weight_decay"]

    def test_and_at_every_corner_of_the_space(self, make_study_config):
        parameters = {"model.fusion.name": {"type": "categorical", "choices": ["mlp", "lmf"]}}
        with pytest.raises(ConfigError) as caught:
            make_study_config(parameters, finalists={"top": 1, "set": {"model.fusion.activation": "relu"}})
        (problem,) = caught.value.problems
        assert problem.path == "search.finalists.set"
        assert "where model.fusion.name is 'lmf'" in problem.rule

    def test_nothing_new_is_refused(self, config):
        assert "already" in self.refused(config, {"optim.lr_estimator": 0.001})["search.finalists.set"]
        assert list(self.refused(config, {})) == ["search.finalists.set"]

    def test_length_and_searched_parameters_may_be_set(self, config):
        assert config(settings={"train.epochs": 9, "optim.lr": 0.01}).search.finalists.top == 2


def test_the_best_run_again_with_other_settings_when_the_search_has_ended(tmp_path, config):
    with Study.open(config(), tmp_path) as study:
        assert study.asked == 7
        assert study.ask("finalist") is None
        assert run(study) == [0, 1, 2, 3, 4]
        first, second = study.ask("finalist"), study.ask("finalist")
        assert study.ask("finalist") is study.ask() is None
        assert [(s.number, s.finalist_of) for s in (first, second)] == [(5, 2), (6, 1)]
        assert first.overrides == {**study.trial(2).overrides, **FEWER}
        study.finish(5, done(0.9))
        study.finish(6, done(0.8))
        assert (study.remaining, study.finished) == (0, 7)
    view = read_study("tried", tmp_path)
    assert view.best().number == 6
    assert view.completed("search")[0].number == 2
    assert view.trial_config(view.best()).optim.weight_decay == 0.1
    assert view.trial_config(view.best()).optim.lr == view.trial(1).overrides["optim.lr"]
    assert [trial_card(view, trial).stage for trial in view.trials()] == ["search"] * 5 + ["finalist"] * 2


def test_the_best_is_a_finalist_even_where_the_search_had_a_lower_value(tmp_path, config):
    with Study.open(config(), tmp_path) as study:
        run(study)
        assert study.best().number == 2
        run(study, "finalist")
        assert study.best().number == 5


def test_fewer_trials_may_complete_than_there_are_places(tmp_path, config):
    with Study.open(config(top=4), tmp_path) as study:
        assert study.asked == 9
        run(study, ending=lambda value: done(value) if value == 1.0 else Ending("failed"))
        assert (study.asked, study.remaining) == (6, 1)
        run(study, "finalist")
        assert sources(study) == [2]
        assert study.remaining == 0


def test_a_dead_driver_costs_no_finalist_and_adds_none(tmp_path, config):
    with Study.open(config(), tmp_path) as study:
        run(study)
        assert study.ask("finalist").number == 5
    with Study.open(config(), tmp_path) as study:
        assert study.ask() is None
        again = study.ask("finalist")
        assert (again.number, again.resume, again.finalist_of) == (5, True, 2)
        study.finish(5, done(0.9))
        assert run(study, "finalist") == [6]
        assert sources(study) == [2, 1]


def test_more_trials_bring_in_only_who_is_new_among_the_best(tmp_path, config):
    with Study.open(config(), tmp_path) as study:
        run(study)
        run(study, "finalist")
        study.extend("+2")
        assert study.remaining == 2
        better = iter([0.5, 3.0])
        assert run(study, ending=lambda _: done(next(better))) == [7, 8]
        assert study.finalists_due() == [7]
        assert run(study, "finalist") == [9]
        assert sources(study) == [2, 1, 7]


def test_a_failed_finalist_is_a_result_until_it_is_retried(tmp_path, config):
    with Study.open(config(), tmp_path) as study:
        run(study)
        assert run(study, "finalist", lambda _: Ending("diverged")) == [5, 6]
        assert study.remaining == 0
        assert study.best().stage == "search"
        assert study.retry_failed() == 2
        assert study.ask() is None
        assert run(study, "finalist") == [7, 8]
        assert (study.remaining, sources(study)) == (0, [2, 1, 2, 1])


def test_the_sampler_never_sees_them(tmp_path, config):
    with Study.open(config(), tmp_path) as study:
        run(study)
        run(study, "finalist", lambda _: done(0.0))
    with Study.open(config(), tmp_path) as study:
        shown = study._sampling.proposals._study.trials
        assert [trial.value for trial in shown] == [1.2, 1.1, 1.0, 1.1, 1.2]


def test_other_settings_make_other_finalists(tmp_path, config):
    with Study.open(config(), tmp_path) as study:
        run(study)
        run(study, "finalist")
    with Study.open(config(settings={"optim.weight_decay": 0.2}), tmp_path) as study:
        assert study.best().stage == "search"
        assert run(study, "finalist") == [7, 8]
        assert study.best().overrides["optim.weight_decay"] == 0.2
    with Study.open(config(parameters=None, top=3, settings={"optim.weight_decay": 0.2}), tmp_path) as study:
        assert study.finalists_due() == [3]


def test_the_defaults_run_again_whatever_their_rank(tmp_path, config):
    """Trial 0 is third of five here, so two places are not enough for it."""
    with Study.open(config(defaults=True), tmp_path) as study:
        assert study.asked == 8
        run(study)
        assert study.finalists_due() == [2, 1, 0]
        run(study, "finalist")
        summary = summary_of(study, tmp_path, None, Counter(), 1.0)
        assert (study.asked, study.remaining) == (8, 0)
        assert "defaults: trial 0, valid/mae 1.2000; as a finalist trial 7 (finalist" in summary.text()
    with Study.open(config(top=5, defaults=True), tmp_path) as study:
        assert study.finalists_due() == [3, 4]


@pytest.mark.parametrize(
    ("order", "trusted", "says"),
    [
        ([0.1, 0.2, 0.3, 0.4, 0.5], True, "+1.00 (Kendall; 0.0083 of all orders agree as well)"),
        ([0.5, 0.4, 0.3, 0.2, 0.1], False, "too low to trust the order of the search"),
        ([0.1, 0.2, 0.3], False, "fewer than 5 tell nothing"),
    ],
)
def test_the_search_is_trusted_as_far_as_it_foretells_its_finalists(tmp_path, config, order, trusted, says):
    with Study.open(config(top=len(order)), tmp_path) as study:
        while suggestion := study.ask():
            study.finish(suggestion.number, done(1.0 + suggestion.number))
        assert fidelity(study) is None
        values = iter(order)
        run(study, "finalist", lambda _: done(next(values)))
        found = fidelity(study)
    assert (found.finalists, found.trusted) == (len(order), trusted)
    assert says in found.text()
