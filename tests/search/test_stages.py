"""Searches on a real Ray that go on with finalists, begin with priors, or stop for noise."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from mmsa.data import open_corpus
from mmsa.errors import ConfigError, StudyError
from mmsa.results.export import export
from mmsa.results.exported import load_export
from mmsa.search.execution.trial import CHECKPOINT, PEAK_MEMORY
from mmsa.search.records import STANDARD_ERRORS
from mmsa.training import run

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

FINALISTS = {"top": 2, "set": {"train.epochs": 4, "model.text.hidden": 24}}


def small(make_study_config: Any, **search: Any) -> Any:
    base = {
        "model": {"name": "late_fusion"},
        "train": {"epochs": 2, "batch_size": 20, "device": "cpu", "threads": 1},
    }
    settings = {"trials": 4, "scheduler": {"name": "asha", "grace": 1, "reduction": 2}, **search}
    return make_study_config(base=base, **settings)


@pytest.fixture(scope="module")
def finished(launch_for_module, make_study_config) -> Any:
    return launch_for_module(small(make_study_config, study="staged", finalists=FINALISTS))


def test_the_best_run_again_unpruned_and_one_of_them_is_the_best(finished):
    trials = finished.study.trials()
    assert [trial.stage for trial in trials] == ["search"] * 4 + ["finalist"] * 2
    assert all(trial.outcome == "completed" and len(trial.epochs) == 4 for trial in trials[4:])
    assert all(len(trial.epochs) <= 2 for trial in trials[:4])
    ranked = finished.study.completed("search")
    assert [trial.finalist_of for trial in trials[4:]] == [trial.number for trial in ranked[:2]]
    assert finished.summary.best.number == finished.study.best().number in (4, 5)
    assert finished.summary.searched.number == ranked[0].number
    assert (finished.summary.num_trials, finished.summary.done) == (6, True)


def test_both_stages_are_shown(finished):
    started = {number: stage for number, _, _, stage in finished.witness.told("trial_started")}
    assert started == {0: "search", 1: "search", 2: "search", 3: "search", 4: "finalist", 5: "finalist"}
    text = finished.summary.text()
    best, searched = finished.summary.best, finished.summary.searched
    assert f"best:     trial {best.number} (finalist, trial {best.finalist_of} of the search)" in text
    assert f"search:   trial {searched.number}, valid/mae" in text


def test_only_the_checkpoint_of_the_best_finalist_is_kept(finished):
    folder = finished.summary.runs / "staged" / "trials"
    kept = [path.parent.name for path in folder.glob(f"*/{CHECKPOINT}")]
    assert kept == [str(finished.summary.best.number)]


def test_an_exported_finalist_retrains_by_itself(finished, tmp_path):
    export(finished.study, tmp_path / "best.yaml")
    exported = load_export(tmp_path / "best.yaml")
    assert exported.config.train.epochs == 4
    assert exported.config.model.text.hidden == 24
    result = run(exported.config, open_corpus(exported.config.data))
    assert result.metrics["valid/mae"] == exported.provenance.value == finished.summary.best.value


def test_trials_tell_their_memory_and_how_sure_they_are(finished):
    trial = finished.study.best()
    assert 2**20 < trial.notes[PEAK_MEMORY] < 2**34
    assert 0 < trial.notes[STANDARD_ERRORS]["valid/mae"] < trial.values[0]


def test_a_search_stopped_among_finalists_goes_on_with_them(launch, make_study_config, witness):
    finalists = {**FINALISTS, "set": {"train.epochs": 9}}
    config = small(make_study_config, scheduler={"name": "none"}, finalists=finalists)  # all complete

    def interrupt(number: int, epoch: int, metrics: Any) -> None:
        if number == 4 and epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)

    witness.on["trial_epoch"] = interrupt
    assert launch(config, witness).summary.interrupted
    again = launch(config)
    assert again.said[0].startswith("study tried: continues; 4 of 6 trials have ended")
    assert {number for number, *_ in again.witness.told("trial_started")} == {4, 5}
    assert again.study.counts()["completed"] + again.study.counts().get("pruned", 0) == 6
    assert again.summary.done


def test_finalists_that_do_not_fit_are_refused_before_the_first_trial(launch, make_study_config, tmp_path):
    with pytest.raises(ConfigError, match=r"search\.finalists\.set"):
        launch(small(make_study_config, finalists={"top": 1, "set": {"model.text.name": "pretrained"}}))
    assert not (tmp_path / "runs" / "tried").exists()


def test_a_study_learns_from_another(finished, launch_for_module, make_study_config):
    learned = launch_for_module(small(make_study_config, study="later", priors=["staged"], trials=8))
    assert learned.said[0].startswith("prior staged: ")
    assert learned.said[0].endswith("points that tell of optim.lr")
    assert learned.summary.done
    points = learned.study.attributes["priors"]["staged"]
    assert points == [dict(trial.overrides) for trial in finished.study.completed("search")]
    origins = [trial.user_attrs.get("sampler", {}).get("origin") for trial in learned.study._source.trials]
    assert origins[0] is None
    assert set(origins[1:]) == {"prior", "sampler"}


def test_an_unknown_prior_is_refused_before_the_first_trial(launch, make_study_config):
    with pytest.raises(StudyError, match="no study 'absent'"):
        launch(small(make_study_config, priors=["absent"]))


def test_noise_ends_the_search_early_and_finalists_follow(launch, make_study_config, monkeypatch):
    """With a bound that shrinks to nothing; ten trials complete without a scheduler."""
    monkeypatch.setattr("mmsa.search.stops.regret_bound", lambda *_: 0.0)
    settings = {"trials": 60, "scheduler": {"name": "none"}, "stop": {"name": "noise", "after": 10}}
    config = small(make_study_config, finalists={**FINALISTS, "top": 1}, **settings)
    stopped = launch(config)
    searched = [trial for trial in stopped.study.trials() if trial.stage == "search"]
    assert 10 <= len(searched) <= 12
    assert stopped.summary.done
    assert stopped.summary.stopped.startswith("after 10 completed trials at most 0 of valid/mae")
    assert stopped.summary.best.finalist_of is not None
    assert f"stopped:  {stopped.summary.stopped}" in stopped.summary.text()

    assert sum(launch(config).summary.launched.values()) == 0
    more = launch(config, trials="+2")
    assert sum(trial.stage == "search" for trial in more.study.trials()) == len(searched) + 2
    assert more.summary.stopped == ""
