"""What Tune's callbacks become in the study and before observers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from mmsa.experiment import RunConfig
from mmsa.search.execution.callback import MOST_CRASHES, StudyCallback
from mmsa.search.execution.memory import ConcurrencyLimit
from mmsa.search.execution.stop_request import StopRequest
from mmsa.search.execution.trial import Assignment, Report
from mmsa.search.execution.tune import StudySearcher, TuneScheduler, scheduler_of
from mmsa.search.records import Ending
from mmsa.search.study.study import Study


def test_a_trial_whose_process_dies_before_it_is_up_is_told_from_its_start(
    make_study_config, witness, tmp_path
):
    error_file = tmp_path / "error.txt"
    error_file.write_text("The actor never ran")
    with Study.open(make_study_config(), tmp_path / "runs") as study:
        stop, scheduler = StopRequest(), scheduler_of(study, "search")
        limit = ConcurrencyLimit(lambda memory: 1, 1, print)
        searcher = StudySearcher(study, "search", scheduler, limit, stop, list)
        callback = StudyCallback(study, scheduler, limit, [witness], stop)
        for _ in range(MOST_CRASHES + 1):
            given = searcher.suggest("any")
            trial = SimpleNamespace(config=given, last_result=None, error_file=error_file)
            assert given["assignment"].number == 0
            callback.on_trial_error(0, [trial], trial)
            searcher.on_trial_complete("any", error=True)
        ended = study.trial(0)
    assert (ended.outcome, ended.reason) == (
        "failed",
        "The actor never ran\nits process died 3 times: The actor never ran",
    )
    assert [event for event, *_ in witness.events] == ["trial_started", "trial_finished"]


def test_no_more_trials_are_handed_out_than_there_is_memory_for(make_study_config, tmp_path):
    with Study.open(make_study_config(), tmp_path / "runs") as study:
        limit = ConcurrencyLimit(lambda memory: 8 // memory, 2, print)
        searcher = StudySearcher(study, "search", scheduler_of(study, "search"), limit, StopRequest(), list)
        first, second = searcher.suggest("a"), searcher.suggest("b")
        limit.saw(4)
        assert searcher.suggest("c") is None
        searcher.on_trial_complete("a")
        third = searcher.suggest("c")
    assert [given["assignment"].number for given in (first, second, third)] == [0, 1, 2]


def test_a_trial_whose_process_dies_is_handed_out_again_though_it_was_the_last(
    make_study_config, witness, tmp_path
):
    with Study.open(make_study_config(trials=1), tmp_path / "runs") as study:
        stop, scheduler = StopRequest(), scheduler_of(study, "search")
        limit = ConcurrencyLimit(lambda memory: 2, 1, print)
        searcher = StudySearcher(study, "search", scheduler, limit, stop, list)
        trial = SimpleNamespace(config=searcher.suggest("any"), last_result=None, error_file=None)
        assert searcher.suggest("other") is None
        StudyCallback(study, scheduler, limit, [witness], stop).on_trial_error(0, [trial], trial)
        searcher.on_trial_complete("any", error=True)
        assert study.counts() == {"running": 1}
        assert searcher.suggest("other")["assignment"].number == 0
    assert witness.events == []


def test_finalists_also_decompose_their_information_and_are_exported_as_they_are(make_study_config, tmp_path):
    config = make_study_config(trials=1, finalists={"top": 1, "set": {"train.epochs": 3}})
    with Study.open(config, tmp_path / "runs") as study:
        limit = ConcurrencyLimit(lambda memory: 2, 1, print)
        for stage, measured in (("search", ()), ("finalist", ("decomposition",))):
            scheduler = scheduler_of(study, stage)
            searcher = StudySearcher(study, stage, scheduler, limit, StopRequest(), list)
            assignment = searcher.suggest(stage)["assignment"]
            asked = config.base.information.quantities
            assert assignment.config.information.quantities == (*asked, *measured)
            assert study.trial_config(study.trial(assignment.number)).information.quantities == asked
            study.finish(assignment.number, Ending("completed", {"valid/mae": 1.0}, best_epoch=1))
            searcher.on_trial_complete(stage)


class TuneTrial(SimpleNamespace):
    __hash__ = object.__hash__


class OneReference:
    """A reference point to be trained, as the searcher and the callback see it."""

    def __init__(self, folder: Path, config: RunConfig):
        self._given = Assignment(-1, config, {}, folder, reference="alone/text")
        self._due, self.endings = True, []

    def next(self, *, anyway: bool = False) -> Assignment | None:
        given, self._due = self._given if self._due else None, False
        return given

    def ended(self, name: str, report: Report) -> None:
        self.endings.append((name, report.outcome, report.reason))

    def requeue(self, name: str) -> None:
        self._due = True


def test_a_reference_point_whose_process_dies_is_handed_out_again_and_never_a_trial(
    make_study_config, witness, tmp_path
):
    error_file = tmp_path / "error.txt"
    error_file.write_text("boom")
    config = make_study_config(trials=1)
    references = OneReference(tmp_path, config.base)
    with Study.open(config, tmp_path / "runs") as study:
        stop, scheduler = StopRequest(), scheduler_of(study, "search")
        limit = ConcurrencyLimit(lambda memory: 2, 1, print)
        searcher = StudySearcher(study, "search", scheduler, limit, stop, list, references)
        callback = StudyCallback(study, scheduler, limit, [witness], stop, references)
        for _ in range(MOST_CRASHES + 1):
            trial = TuneTrial(config=searcher.suggest("any"), last_result=None, error_file=error_file)
            assert trial.config["assignment"].reference == "alone/text"
            callback.on_trial_start(0, [trial], trial)
            epoch = {"epoch": 1, "value": 0.0, "report": Report("running", 1)}
            callback.on_trial_result(0, [trial], trial, epoch)
            assert TuneScheduler(scheduler).on_trial_result(None, trial, epoch) == "CONTINUE"
            callback.on_trial_error(0, [trial], trial)
            searcher.on_trial_complete("any", error=True)
        assert references.endings == [("alone/text", "failed", "boom\nits process died 3 times: boom")]
        assert study.trials() == []
        assert searcher.suggest("any")["assignment"].number == 0
    assert witness.events == []
