"""Population based training: the rule, how settings move, the study over deaths of its driver, a real Ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pytest

from mmsa.config import parse
from mmsa.data import open_corpus
from mmsa.errors import ConfigError
from mmsa.results.export import export
from mmsa.results.exported import load_export
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.execution.callback import StudyCallback
from mmsa.search.execution.stop_request import StopRequest
from mmsa.search.execution.trial import CHECKPOINT
from mmsa.search.execution.tune import scheduler_of
from mmsa.search.records import Ending, shown_params
from mmsa.search.schedulers import PopulationBased, Replacement
from mmsa.search.space.parameters import FloatParameter
from mmsa.search.space.space import Space
from mmsa.search.study.study import Study
from mmsa.search.study.successors import explored
from mmsa.training import run

pytestmark = pytest.mark.slow

PBT = {"name": "pbt", "interval": 2, "quantile": 0.25}
TERMS = {"cpc": {"weight": 0.1}}
RATE = {"type": "float", "low": 1.0e-4, "high": 1.0e-1, "log": True}
WEIGHT = {"type": "float", "low": 0.01, "high": 1.0, "log": True, "zero": 0.2}
PARAMETERS = {"optim.lr": RATE, "objective.terms.cpc.weight": WEIGHT}


def base(epochs: int = 6) -> dict[str, Any]:
    train = {"epochs": epochs, "batch_size": 20, "device": "cpu", "threads": 1, "patience": 20}
    return {"model": {"name": "mmim"}, "objective": {"terms": TERMS}, "train": train}


def population(size: int, epochs: int = 6, **settings: Any) -> PopulationBased:
    return PopulationBased(PopulationBased.Config(interval=2, **settings), epochs, "minimize")


def generation(scheduler: PopulationBased, losses: Mapping[int, float], last: int = 2) -> None:
    for trial, loss in losses.items():
        for epoch in (last - 1, last):
            decision = scheduler.decide(trial, epoch, loss)
        assert decision == "pause"
        scheduler.let_go(trial)


class TestTheRule:
    def test_the_worst_is_replaced_from_the_best_and_so_on(self):
        scheduler = population(8)
        generation(scheduler, {trial: float(trial) for trial in range(8)})
        assert scheduler.replacements() == [Replacement(7, 0, 2), Replacement(6, 1, 2)]
        assert sorted(scheduler.paused) == [0, 1, 2, 3, 4, 5]

    def test_nobody_goes_on_before_all_have_come(self):
        scheduler = population(4)
        generation(scheduler, {0: 0.0, 1: 1.0})
        assert scheduler.promote() is None
        assert scheduler.promote(closing=True) == 0
        assert scheduler.promote() == 1  # the generation has ended

    def test_who_is_alone_goes_on(self):
        scheduler = population(1)
        generation(scheduler, {0: 1.0})
        assert scheduler.replacements() == []
        assert scheduler.promote(closing=True) == 0

    def test_the_defaults_neither_wait_nor_are_replaced_nor_copied(self):
        scheduler = population(5)
        scheduler.spare(0)
        assert scheduler.decide(0, 2, 99.0) == "continue"
        generation(scheduler, {trial: float(trial) for trial in range(1, 5)})
        assert scheduler.replacements() == [Replacement(4, 1, 2)]

    def test_who_comes_late_passes_the_generations_that_have_ended(self):
        scheduler = population(2)
        generation(scheduler, {0: 0.0, 1: 1.0})
        scheduler.promote(closing=True)
        generation(scheduler, {0: 0.0}, last=4)
        generation(scheduler, {9: 9.0})
        assert scheduler.promote() == 1
        assert scheduler.promote() == 9

    def test_what_was_replaced_before_a_death_is_not_replaced_again(self):
        before, after = population(8), population(8)
        losses = {trial: float(trial) for trial in range(8)}
        generation(before, losses)
        for trial, loss in losses.items():
            after.record(trial, {1: loss, 2: loss})
            assert trial == 7 or after.set_aside(trial)  # trial 7 has been replaced
        assert after.replacements() == before.replacements()[1:]


class TestExploring:
    space = Space({name: FloatParameter.model_validate(known) for name, known in PARAMETERS.items()})
    values = {"optim.lr": 0.01, "objective.terms.cpc.weight": 0.1}

    def test_a_fifth_more_or_less_of_each(self):
        seen = [explored(self.values, self.space, lambda _: True, seed) for seed in range(40)]
        factors = {tuple(round(p[path] / self.values[path], 6) for path in self.values) for p in seen}
        assert factors == {(0.8, 0.8), (0.8, 1.2), (1.2, 0.8), (1.2, 1.2)}
        assert seen[3] == explored(self.values, self.space, lambda _: True, 3)

    def test_ranges_are_kept_and_an_exact_zero_stays(self):
        edge = {"optim.lr": 0.1, "objective.terms.cpc.weight": 0.0}
        seen = [explored(edge, self.space, lambda _: True, seed) for seed in range(20)]
        assert {point["optim.lr"] for point in seen} == {0.8 * 0.1, 0.1}
        assert {point["objective.terms.cpc.weight"] for point in seen} == {0.0}

    def test_constraints_are_kept(self):
        grown = [explored(self.values, self.space, lambda p: p["optim.lr"] > 0.01, s) for s in range(20)]
        assert {point["optim.lr"] for point in grown} <= {0.012, 0.01}
        assert explored(self.values, self.space, lambda _: False, 0) == self.values


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "not continuable": (
        {"parameters": {"model.fusion.width": {"type": "int", "low": 8, "high": 64}}},
        r"search\.parameters\.model\.fusion\.width(.|\n)*cannot change during a run",
    ),
    "no float": (
        {"parameters": {"optim.lr": {"type": "categorical", "choices": [0.001, 0.01]}}},
        "needs a float without a step",
    ),
    "nothing": ({"parameters": {}}, "has nothing to change"),
    "no generation": ({"scheduler": {"name": "pbt", "interval": 6}}, "no generation ends before the last"),
    "finalists": ({"finalists": {"top": 1, "set": {"train.epochs": 9}}}, "ways through it"),
    "stop": ({"stop": {"name": "noise"}}, "ways through it"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_space_that_pbt_cannot_search_is_refused(make_values, case):
    search, message = REFUSED[case]
    values = make_values(**{"parameters": PARAMETERS, "scheduler": PBT, "base": base(), **search})
    with pytest.raises(ConfigError, match=message):
        parse(StudyConfig, values, "space.yaml")


@pytest.fixture
def config(make_study_config) -> StudyConfig:
    return make_study_config(PARAMETERS, base=base(), scheduler=PBT, trials=5)


def come_to_the_end_of_a_generation(study: Study) -> None:
    """Trial n has the loss n; the defaults run on."""
    while (suggestion := study.ask()) is not None:
        for epoch in (1, 2):
            study.report(suggestion.number, epoch, {"valid/mae": float(suggestion.number)}, suggestion.number)
        if suggestion.number:
            study.pause(suggestion.number)
    study.finish(0, Ending("completed", {"valid/mae": 0.0}, best_epoch=1))


class TestTheStudy:
    def test_a_replacement_is_a_trial_more_from_decision_to_end(self, tmp_path, config):
        with Study.open(config, tmp_path) as study:
            come_to_the_end_of_a_generation(study)
            (child,) = study.replace([Replacement(4, 1, 2)])
            assert (study.asked, study.remaining, child) == (6, 5, 5)
            study.finish(4, study.ending_of_paused(4, "x"))
            assert study.remaining == 4
            suggestion = study.ask()
            assert (suggestion.number, suggestion.overrides) == (5, study.trial(1).overrides)
            assert study.ask() is None

    def test_a_child_runs_its_parents_configuration_until_it_changes(self, tmp_path, config):
        with Study.open(config, tmp_path) as study:
            come_to_the_end_of_a_generation(study)
            (child,) = study.replace([Replacement(4, 1, 2)])
            (grandchild,) = study.replace([Replacement(3, child, 4)])
            parent, own, last = (study.trial_config(study.trial(n)) for n in (1, child, grandchild))
            assert own.at_epoch(2) == parent
            assert last.at_epoch(4) == own.at_epoch(4)
            assert len({c.optim.lr for c in (own.at_epoch(2), own.at_epoch(3), last.at_epoch(5))}) == 3
            assert list(shown_params(study.trial(child), {}))[-1] == "course"

    @pytest.mark.parametrize("died", ["decided", "begun"])
    def test_a_driver_that_dies_on_the_way_changes_nothing(self, tmp_path, config, died):
        replacement = Replacement(4, 1, 2)
        with Study.open(config, tmp_path / "straight") as study:
            come_to_the_end_of_a_generation(study)
            study.replace([replacement])
            expected = study.trial(5).course
        with Study.open(config, tmp_path / "killed") as study:
            come_to_the_end_of_a_generation(study)
            if died == "begun":
                study.replace([replacement])
            else:
                study._store.remember(replacements=[asdict(replacement)])
        with Study.open(config, tmp_path / "killed") as study:
            assert study.trial(5).course == expected
            assert (study.trial(4).outcome, study.trial(4).reason) == ("pruned", replacement.reason)
            assert (study.asked, study.counts()["running"]) == (6, 4)
            scheduler = scheduler_of(study, "search")
            assert sorted(scheduler.paused) == [1, 2, 3]
            assert scheduler.replacements() == []
            assert study.ask().number == 5
            assert study.ask() is None

    def test_a_failed_child_is_tried_again_with_its_course(self, tmp_path, config):
        with Study.open(config, tmp_path) as study:
            come_to_the_end_of_a_generation(study)
            (child,) = study.replace([Replacement(4, 1, 2)])
            study.finish(4, study.ending_of_paused(4, "x"))
            study.ask()
            study.finish(child, Ending("failed", reason="x"))
            study.retry_failed()
            again = study.ask()
            assert (again.course, study.trial(again.number).retry_of) == (study.trial(child).course, child)
            assert study.asked == 7

    def test_the_sampler_knows_nothing_of_children(self, tmp_path, config):
        for _ in range(2):
            with Study.open(config, tmp_path) as study:
                if not study.trials():
                    come_to_the_end_of_a_generation(study)
                    study.replace([Replacement(4, 1, 2)])
                    study.pause(5)
                assert len(study._sampling.proposals._study.trials) == 5

    def test_a_child_gets_the_checkpoint_its_parent_waits_with(self, tmp_path, config, witness):
        with Study.open(config, tmp_path) as study:
            come_to_the_end_of_a_generation(study)
            saved = study.folder / "trials" / "1" / CHECKPOINT
            saved.mkdir(parents=True)
            (saved / "checkpoint.pt").write_bytes(b"weights")
            limit: Any = None
            callback = StudyCallback(study, scheduler_of(study, "search"), limit, [witness], StopRequest())
            callback.replace([Replacement(4, 1, 2), Replacement(3, 2, 2)])
            copy = study.folder / "trials" / "5" / CHECKPOINT / "checkpoint.pt"
            assert copy.read_bytes() == b"weights"
            assert not (study.folder / "trials" / "6" / CHECKPOINT).exists()
            ended = [(number, outcome) for number, outcome, *_ in witness.told("trial_finished")]
            assert ended == [(4, "pruned"), (3, "pruned")]


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_a_population_on_a_real_ray_and_its_export_is_reproduced(launch, make_study_config, tmp_path):
    """What was continued from copied weights is, to the last bit, one run of the exported file."""
    config = make_study_config(PARAMETERS, base=base(), scheduler=PBT, trials=5)
    launched = launch(config, concurrency=2)
    trials = launched.study.trials()
    assert launched.summary.counts.total() == launched.study.asked == len(trials) == 5 + 2
    children = [trial for trial in trials if trial.parent is not None]
    assert [trial.outcome for trial in trials].count("pruned") == len(children) == 2
    for child in children:
        after = child.course[-1]["after"]
        assert child.outcome == "pruned" or child.notes["continued_after"] == 4
        parent = trials[child.parent]
        assert [child.epochs[e] for e in range(1, after + 1)] == [
            parent.epochs[e] for e in range(1, after + 1)
        ]
    last = next(child for child in children if child.outcome == "completed")
    export(launched.study, tmp_path / "best.yaml", trial=last.number)
    exported = load_export(tmp_path / "best.yaml")
    corpus = open_corpus(exported.config.data, ("train", "valid"))
    again = run(exported.config, corpus)
    assert again.metrics["valid/mae"] == exported.provenance.value
    assert again.best_epoch == last.best_epoch
