"""When a trial counts as hanging; that its process is ended for it is in tests/faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from mmsa.search.execution.crashes import Watch


@dataclass(eq=False)
class Trial:
    """What a watch sees of Tune's."""

    actor: str | None = "actor"
    finished: bool = False
    temporary_state: SimpleNamespace = field(init=False)

    def __post_init__(self) -> None:
        self.temporary_state = SimpleNamespace(ray_actor=self.actor)

    def is_finished(self) -> bool:
        return self.finished


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ended() -> list[object]:
    return []


@pytest.fixture
def watch(clock, ended) -> Watch:
    return Watch(10.0, ended.append, clock)


def let_pass(watch: Watch, clock: Clock, trials: list[Trial], seconds: float) -> None:
    for _ in range(round(seconds / 0.5)):
        clock.now += 0.5
        watch.look(trials)


def test_the_process_of_a_silent_trial_is_ended_once(watch, clock, ended):
    trials = [Trial()]
    let_pass(watch, clock, trials, 9.5)
    assert ended == []
    let_pass(watch, clock, trials, 1.0)
    assert ended == ["actor"]
    let_pass(watch, clock, trials, 9.0)  # it takes Ray some time to say that the actor is dead
    assert ended == ["actor"]


def test_a_trial_that_reports_is_left_alone_and_another_is_not(watch, clock, ended):
    trials = [Trial("talks"), Trial("hangs")]
    for _ in range(4):
        let_pass(watch, clock, trials, 4.0)
        watch.heard(trials[0])
    assert ended == ["hangs"]


def test_a_trial_that_came_later_is_watched_from_then_on(watch, clock, ended):
    trials = [Trial("first", finished=True)]
    let_pass(watch, clock, trials, 60.0)
    trials.append(Trial("second"))
    let_pass(watch, clock, trials, 9.5)
    assert ended == []
    let_pass(watch, clock, trials, 1.0)
    assert ended == ["second"]


def test_a_trial_that_waits_for_a_process_is_not_silent(watch, clock, ended):
    trial = Trial(actor=None)
    let_pass(watch, clock, [trial], 60.0)
    trial.temporary_state.ray_actor = "actor"
    let_pass(watch, clock, [trial], 9.0)
    assert ended == []


def test_time_in_which_the_driver_did_not_look_is_not_silence(watch, clock, ended):
    trials = [Trial()]
    watch.look(trials)
    clock.now += 3600.0
    watch.look(trials)
    assert ended == []
