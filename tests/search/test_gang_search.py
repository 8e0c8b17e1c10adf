"""Searches whose trials have two workers: one gang for all, every way to end, processes that die or hang."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pytest
import too_wide
from small_run import CONFIG

from mmsa.config import with_overrides
from mmsa.search.study.view import read_study

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

Configure = Callable[..., Any]


@pytest.fixture(scope="session")
def configure(make_study_config) -> Configure:
    """A study of ``CONFIG`` whose trials have two workers each."""

    def make(
        parameters: dict[str, Any] | None = None,
        workers: int = 2,
        changes: Mapping[str, Any] = MappingProxyType({}),
        **search: Any,
    ) -> Any:
        base = with_overrides(CONFIG, changes).model_dump(mode="json")
        settings = {"scheduler": {"name": "none"}, **search}
        return make_study_config(parameters, base=base, resources={"workers": workers}, **settings)

    return make


@pytest.fixture(scope="module")
def searched(launch_for_module, configure) -> Any:
    return launch_for_module(configure(trials=5))


def test_one_gang_trains_all_trials(searched):
    trials = searched.study.trials()
    assert searched.study.counts() == {"completed": 5}
    (processes,) = {tuple(trial.notes["processes"]) for trial in trials}
    assert len(set(processes)) == 2
    assert {trial.notes["process"] for trial in trials} == {processes[0]}


def test_two_workers_find_what_one_finds(searched, launch, configure):
    alone = launch(configure(trials=5, workers=1)).study
    for trial, expected in zip(searched.study.trials(), alone.trials(), strict=True):
        assert trial.overrides == expected.overrides
        assert trial.epochs[1] == pytest.approx(expected.epochs[1], rel=1e-3, abs=1e-4)


def test_trials_of_a_gang_are_pruned_diverge_and_lack_memory_and_it_stays(launch, configure):
    parameters = {
        "optim.lr": {"type": "float", "low": 1e-9, "high": 1e30, "log": True},
        **too_wide.PARAMETERS,
    }
    starts = [{"optim.lr": 1e30}, too_wide.POINT, {"optim.lr": 0.004}, {"optim.lr": 1e-9}]
    study = launch(
        configure(
            parameters,
            changes=too_wide.BASE,
            starts=starts,
            trials=5,
            scheduler={"name": "asha", "grace": 1, "reduction": 2},
        )
    ).study
    outcomes = [trial.outcome for trial in study.trials()]
    assert outcomes[:3] == ["completed", "diverged", "out_of_memory"]
    assert set(outcomes[3:]) == {"completed", "pruned"}
    assert len({tuple(trial.notes["processes"]) for trial in study.trials()}) == 1


@pytest.mark.faults
@pytest.mark.parametrize(("rank", "fault"), [(0, signal.SIGSTOP), (1, signal.SIGKILL)], ids=["hangs", "dies"])
def test_a_trial_goes_on_from_its_checkpoint_when_one_of_its_processes_is_lost(
    launch, configure, witness, tmp_path, rank, fault
):
    """Any may die or hang in ``tests/faults``; what becomes of the trial and of the gang is seen here."""

    def strike_once(number: int, epoch: int, *_: Any) -> None:
        if (number, epoch) == (1, 2):
            witness.on.clear()
            os.kill(read_study("tried", tmp_path / "runs").trial(0).notes["processes"][rank], fault)

    witness.on["trial_epoch"] = strike_once
    config = configure(trials=3)
    study = launch(config, witness, checkpoint_seconds=0.0, collective_seconds=20.0).study
    assert [(trial.outcome, trial.reason) for trial in study.trials()] == [("completed", "")] * 3
    first, second, third = study.trials()
    assert list(second.epochs) == [1, 2, 3, 4]
    assert second.notes["continued_after"] >= 2
    assert not set(first.notes["processes"]) & set(second.notes["processes"])
    assert second.notes["processes"] == third.notes["processes"]
