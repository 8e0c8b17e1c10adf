"""What every scheduler has to do, in searches that are played in one process."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from mmsa.search.schedulers import SCHEDULERS, Replacement, Scheduler
from mmsa.testing.contract import Case, Contract

EPOCHS = 30
DEFAULTS = 0
"""The trial that is spared."""

Curve = Callable[[int], float]


def curves(count: int, seed: int = 0) -> list[Curve]:
    """Losses that fall from 1 towards limits that differ, at one rate: they never cross."""
    limits = np.random.default_rng(seed).permutation(np.linspace(0.0, 0.9, count))

    def towards(limit: float) -> Curve:
        return lambda epoch: limit + (1 - limit) * 0.9**epoch

    return [towards(limit) for limit in limits]


class PlayedSearch:
    """Trials on so many slots, as Ray Tune and the study run them: one report at a time, in random order."""

    def __init__(self, scheduler: Scheduler, curves: Sequence[Curve], slots: int, seed: int = 0):
        self.scheduler, self.curves, self.slots = scheduler, list(curves), slots
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

    def run(self, reports: int = 10**6) -> PlayedSearch:
        """Go on until all have ended, or for so many reports."""
        while reports and self.fill():
            self.step()
            reports -= 1
        return self

    def fill(self) -> bool:
        """Start trials on free slots; whether any runs."""
        while len(self.running) < self.slots and (trial := self.next()) is not None:
            self.running.append(trial)
        return bool(self.running)

    def next(self) -> int | None:
        """The trial to run next; None if there is none now."""
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
        """One report of a trial that runs, and what the scheduler decides on it."""
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
        """The trial with the smallest loss after all epochs."""
        return min(range(len(self.curves)), key=lambda trial: self.curves[trial](EPOCHS))


class SchedulerContract(Contract):
    """Suite of schedulers: good trials complete, and another launch decides as the first would have.

    Attributes:
        SAVES: the largest part of all epochs that a search of 60 trials may take; 1.0 where nothing is said.
        STOPS_NONE: the components that let every trial run.
    """

    SAVES: ClassVar[Mapping[str, float]] = {}
    STOPS_NONE: ClassVar[Collection[str]] = ()

    def build(self, case: Case, direction: str = "minimize") -> Scheduler:
        """The scheduler for trials of 30 epochs."""
        kind: Any = SCHEDULERS[case.name]
        scheduler: Scheduler = kind(kind.Config(**case.settings), EPOCHS, direction)
        return scheduler

    def test_it_is_a_scheduler_whose_config_bears_its_name(self, case: Case) -> None:
        assert isinstance(self.build(case), Scheduler)
        assert self.build(case).config.name == case.name

    @pytest.mark.parametrize("slots", [1, 4])
    @pytest.mark.parametrize("seed", range(3))
    def test_the_best_completes_and_what_is_hopeless_does_not(
        self, case: Case, seed: int, slots: int
    ) -> None:
        search = PlayedSearch(self.build(case), curves(60, seed), slots, seed).run()
        assert search.ended[search.best] == "completed"
        trained = sum(search.epochs.values()) - sum(search.born.values())
        assert trained <= self.SAVES.get(case.name, 1.0) * 60 * EPOCHS
        if case.name not in self.STOPS_NONE:
            worst = max(range(20, 60), key=lambda trial: search.curves[trial](EPOCHS))
            assert search.epochs[worst] < EPOCHS

    def test_the_defaults_run_to_their_end(self, case: Case) -> None:
        search = PlayedSearch(self.build(case), [lambda epoch: 9.0, *curves(30)], slots=2).run()
        assert search.ended[DEFAULTS] == "completed"

    def test_a_value_that_is_maximised_is_compared_the_other_way(self, case: Case) -> None:
        known = curves(30)

        def mirrored(curve: Curve) -> Curve:
            return lambda epoch: -curve(epoch)

        minimised = PlayedSearch(self.build(case), known, slots=3).run()
        maximised = PlayedSearch(self.build(case, "maximize"), [*map(mirrored, known)], slots=3).run()
        assert minimised.decisions == maximised.decisions

    @pytest.mark.parametrize("reports", [40, 117, 230])
    def test_a_search_that_was_stopped_goes_on_with_the_same_decisions(
        self, case: Case, reports: int
    ) -> None:
        """Between two reports, with nothing in between that only the dead driver knew."""
        straight, stopped = (PlayedSearch(self.build(case), curves(40), slots=1) for _ in range(2))
        straight.run()
        stopped.run(reports)
        stopped.continued_by(self.build(case))
        stopped.run()
        assert stopped.decisions == straight.decisions
        assert stopped.ended == straight.ended

    def test_decisions_depend_on_what_was_reported_and_not_on_its_order(self, case: Case) -> None:
        """A new launch is told trial by trial what came from many trials at once."""
        known, newcomers = curves(19), curves(10, seed=1)
        decisions: list[list[str]] = [[], []]
        for order, newcomer in itertools.product((0, 1), newcomers):
            scheduler = self.build(case)
            for trial in (range(19), range(18, -1, -1))[order]:
                scheduler.record(trial, {epoch: known[trial](epoch) for epoch in range(1, 16)})
            decisions[order] += [scheduler.decide(19, epoch, newcomer(epoch)) for epoch in range(1, EPOCHS)]
        assert decisions[0] == decisions[1]

    def test_a_search_that_is_stopped_again_and_again_ends_all_the_same(self, case: Case) -> None:
        search = PlayedSearch(self.build(case), curves(30), slots=3)
        while search.run(reports=7).running or search.scheduler.paused:
            search.continued_by(self.build(case))
            if not search.fill():
                break
        assert search.ended[search.best] == "completed"
        left = set(range(search.begun)) - set(search.ended)
        assert left == set(search.scheduler.paused)

    def test_an_epoch_that_is_reported_again_is_not_judged_again(self, case: Case) -> None:
        search = PlayedSearch(self.build(case), curves(20), slots=2).run()
        assert search.scheduler.decide(15, 3, 1e9) == "continue"
        assert search.scheduler.promote() is None

    def test_a_trial_without_values_is_no_rival(self, case: Case) -> None:
        search = PlayedSearch(self.build(case), curves(20), slots=2).run()
        other = self.build(case)
        other.spare(DEFAULTS)
        other.record(99, {})
        assert PlayedSearch(other, curves(20), slots=2).run().decisions == search.decisions
