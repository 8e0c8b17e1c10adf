"""What every registered scheduler has to do. A new scheduler joins with one line in ``CASES``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mmsa.search.schedulers import SCHEDULERS, Replacement, Scheduler

EPOCHS = 30
CASES: dict[str, dict[str, Any]] = {
    "asha": {},
    "hyperband": {"brackets": 2},
    "median": {},
    "halving": {},
    "pasha": {},
    "pbt": {},
    "none": {},
}
SAVES = {
    "asha": 0.6,
    "hyperband": 0.75,
    "median": 0.95,
    "halving": 0.45,
    "pasha": 0.45,
    "pbt": 1.0,
    "none": 1.0,
}
"""The largest part of all epochs that a search of 60 trials may take."""
DEFAULTS = 0

Curve = Callable[[int], float]


def scheduler(name: str, direction: str = "minimize") -> Scheduler:
    kind = SCHEDULERS[name]
    return kind(kind.Config(**CASES[name]), EPOCHS, direction)


def curves(count: int, seed: int = 0) -> list[Curve]:
    """Losses that fall from 1 towards limits that differ, at one rate: they never cross."""
    limits = np.random.default_rng(seed).permutation(np.linspace(0.0, 0.9, count))
    return [lambda epoch, limit=limit: limit + (1 - limit) * 0.9**epoch for limit in limits]


class Search:
    """Trials on so many slots, as Ray Tune and the study run them: one report at a time, in random order."""

    def __init__(self, scheduler: Scheduler, curves: list[Curve], slots: int, seed: int = 0):
        self.scheduler, self.curves, self.slots = scheduler, curves, slots
        self.random = np.random.default_rng(seed)
        self.epochs = dict.fromkeys(range(len(curves)), 0)
        self.ended: dict[int, str] = {}
        self.running: list[int] = []
        self.begun = 0
        self.asked = len(curves)
        self.born: dict[int, int] = {}
        self.children: list[int] = []
        self.decisions: list[tuple[int, int, str]] = []
        scheduler.spare(DEFAULTS)

    def run(self, reports: int = 10**6) -> Search:
        while reports and self.fill():
            self.step()
            reports -= 1
        return self

    def fill(self) -> bool:
        while len(self.running) < self.slots and (trial := self.next()) is not None:
            self.running.append(trial)
        return bool(self.running)

    def next(self) -> int | None:
        promoted = self.scheduler.promote()
        if promoted is None and self.children:
            return self.children.pop(0)
        if promoted is None and self.begun < self.asked:
            self.begun += 1
            return self.begun - 1
        if promoted is None and not self.running:
            for replacement in self.scheduler.replacements():
                self.replace(replacement)
            promoted = self.scheduler.promote(closing=True)
        return promoted

    def replace(self, replacement: Replacement) -> None:
        """A child begins where its parent is, and is a little worse."""
        self.ended[replacement.loser] = "pruned"
        parent = self.curves[replacement.parent]
        child = len(self.curves)
        self.curves.append(lambda epoch: parent(epoch) + 1e-3)
        self.born[child] = self.epochs[child] = replacement.epoch
        self.children.append(child)
        self.begun, self.asked = self.begun + 1, self.asked + 1

    def step(self) -> None:
        trial = self.running[self.random.integers(len(self.running))]
        self.epochs[trial] += 1
        epoch = self.epochs[trial]
        decision = self.scheduler.decide(trial, epoch, self.curves[trial](epoch))
        self.decisions.append((trial, epoch, decision))
        if epoch == EPOCHS:
            self.ended[trial] = "completed"
        elif decision != "continue" and not self.scheduler.let_go(trial):
            self.ended[trial] = "pruned"
        if epoch == EPOCHS or decision != "continue":
            self.running.remove(trial)

    def continued_by(self, successor: Scheduler) -> None:
        """Another launch takes over: all it has are the reported values and what has ended."""
        successor.spare(DEFAULTS)
        for trial in range(self.begun):
            reported = range(self.born.get(trial, 0) + 1, self.epochs[trial] + 1)
            successor.record(trial, {epoch: self.curves[trial](epoch) for epoch in reported})
        unfinished = [trial for trial in range(self.begun) if trial not in {*self.ended, *self.children}]
        self.running = [trial for trial in unfinished if not successor.set_aside(trial)]
        self.scheduler = successor

    @property
    def best(self) -> int:
        return min(range(len(self.curves)), key=lambda trial: self.curves[trial](EPOCHS))


def test_every_scheduler_has_a_case():
    assert set(CASES) == set(SAVES) == set(SCHEDULERS)


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", CASES)
def test_the_best_completes_and_what_is_hopeless_does_not(name, seed, slots):
    search = Search(scheduler(name), curves(60, seed), slots, seed).run()
    assert search.ended[search.best] == "completed"
    trained = sum(search.epochs.values()) - sum(search.born.values())
    assert trained <= SAVES[name] * 60 * EPOCHS
    if name != "none":
        worst = max(range(20, 60), key=lambda trial: search.curves[trial](EPOCHS))
        assert search.epochs[worst] < EPOCHS


@pytest.mark.parametrize("name", CASES)
def test_the_defaults_run_to_their_end(name):
    search = Search(scheduler(name), [lambda epoch: 9.0, *curves(30)], slots=2).run()
    assert search.ended[DEFAULTS] == "completed"


@pytest.mark.parametrize("name", CASES)
def test_a_value_that_is_maximised_is_compared_the_other_way(name):
    known = curves(30)
    mirrored = [lambda epoch, curve=curve: -curve(epoch) for curve in known]
    minimised = Search(scheduler(name), known, slots=3).run()
    maximised = Search(scheduler(name, "maximize"), mirrored, slots=3).run()
    assert minimised.decisions == maximised.decisions


@pytest.mark.parametrize("reports", [40, 117, 230])
@pytest.mark.parametrize("name", CASES)
def test_a_search_that_was_stopped_goes_on_with_the_same_decisions(name, reports):
    """Between two reports, with nothing in between that only the dead driver knew."""
    straight, stopped = (Search(scheduler(name), curves(40), slots=1) for _ in range(2))
    straight.run()
    stopped.run(reports)
    stopped.continued_by(scheduler(name))
    stopped.run()
    assert stopped.decisions == straight.decisions
    assert stopped.ended == straight.ended


@pytest.mark.parametrize("name", CASES)
def test_a_search_that_is_stopped_again_and_again_ends_all_the_same(name):
    search = Search(scheduler(name), curves(30), slots=3)
    while search.run(reports=7).running or search.scheduler.paused:
        search.continued_by(scheduler(name))
        if not search.fill():
            break
    assert search.ended[search.best] == "completed"
    left = set(range(search.begun)) - set(search.ended)
    assert left == set(search.scheduler.paused)


@pytest.mark.parametrize("name", CASES)
def test_an_epoch_that_is_reported_again_is_not_judged_again(name):
    search = Search(scheduler(name), curves(20), slots=2).run()
    assert search.scheduler.decide(15, 3, 1e9) == "continue"
    assert search.scheduler.promote() is None


@pytest.mark.parametrize("name", CASES)
def test_a_trial_without_values_is_no_rival(name):
    search = Search(scheduler(name), curves(20), slots=2).run()
    other = scheduler(name)
    other.spare(DEFAULTS)
    other.record(99, {})
    assert Search(other, curves(20), slots=2).run().decisions == search.decisions
