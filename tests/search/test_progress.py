"""The progress display: a line for each finished trial, and a status line that counts and estimates."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from mmsa.interface import NOTHING, BestEpoch, StudyCard, TrialCard
from mmsa.search.progress import ProgressDisplay

CARD = StudyCard(
    name="tried",
    identity="1",
    data_set="planted",
    metrics=("valid/mae",),
    directions=("minimize",),
    num_trials=6,
    space_yaml="",
)


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def shown(console: Console) -> list[str]:
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text.splitlines()


@pytest.fixture
def display(console):
    display = ProgressDisplay(console)
    earlier = [TrialCard(0, "completed", {}, "", (0.5,)), TrialCard(1, "failed", {}, "", reason="boom")]
    display.start_study(CARD, earlier)
    return display


def end(
    display: ProgressDisplay,
    number: int,
    outcome: str,
    *values: float,
    reason: str = "",
    best: BestEpoch = NOTHING,
) -> None:
    display.trial_started(number, {}, "")
    display.trial_epoch(number, 7, {})
    display.trial_finished(number, outcome, values, reason, best)


def test_every_finished_trial_is_one_line_that_counts_on_from_earlier_launches(display, console):
    end(display, 2, "completed", 0.6)
    end(display, 3, "completed", 0.4)
    end(display, 4, "diverged", reason="task became nan at step 12")
    assert [" ".join(line.split()) for line in shown(console)] == [
        "3/6 trial 2 completed epoch 7 valid/mae 0.6000",
        "4/6 trial 3 completed epoch 7 valid/mae 0.4000 best so far",
        "5/6 trial 4 diverged epoch 7 task became nan at step 12",
    ]


def test_of_a_long_reason_the_last_line_is_shown(display, console):
    end(display, 2, "failed", reason=f"Traceback\n  somewhere\nValueError: {'long ' * 100}")
    (line,) = shown(console)
    assert "ValueError: long long" in line
    assert line.endswith("[...]")
    assert "Traceback" not in line


def test_brackets_in_a_reason_are_not_markup(display, console):
    end(display, 2, "failed", reason="[red]not a colour[/red]")
    assert "[red]not a colour[/red]" in shown(console)[0]


def test_the_status_counts_every_end_and_estimates_what_is_left(display, monkeypatch):
    now = display._started
    monkeypatch.setattr("mmsa.search.progress.time.monotonic", lambda: now + 90)
    end(display, 2, "pruned")
    end(display, 3, "out_of_memory", reason="MemoryError")
    display.trial_started(4, {}, "")
    status = display._status().plain
    assert "running 1 (epochs 4: 0)  completed 1  pruned 1  diverged 0  out of memory 1  failed 1" in status
    assert "best valid/mae 0.5000 (trial 0)" in status
    assert "80 trials/h" in status  # two in 90 s
    assert "0:01:30 left" in status  # two more


def test_paused_trials_do_not_run(display, console):
    for number in (2, 3):
        display.trial_started(number, {}, "")
        display.trial_epoch(number, 3, {})
    display.trial_paused(2)
    assert "running 1 (epochs 3: 3)  paused 1  completed 1" in display._status().plain
    display.trial_paused(3)
    display.trial_started(2, {}, "")
    assert "running 1 (epochs 2: 3)  paused 1  completed 1" in display._status().plain
    display.trial_finished(3, "pruned", (), "")
    assert "running 1 (epochs 2: 3)  completed 1  pruned 1" in display._status().plain
    assert shown(console)[0].split() == ["3/6", "trial", "3", "pruned", "epoch", "3"]


def test_a_status_line_is_drawn_on_terminals_only(display, console):
    display.close()
    assert shown(console) == []
    terminal = Console(file=io.StringIO(), force_terminal=True, width=200)
    on_terminal = ProgressDisplay(terminal)
    on_terminal.start_study(CARD, [])
    on_terminal.trial_started(0, {}, "")
    on_terminal.close()
    assert "running 1" in terminal.file.getvalue()


@pytest.mark.parametrize(("direction", "best"), [("minimize", 2), ("maximize", 3)])
def test_the_best_so_far_is_the_earliest_of_equal_ones(direction, best):
    display = ProgressDisplay(Console(file=io.StringIO(), width=200))
    display.start_study(replace(CARD, directions=(direction,)), [])
    assert "best" not in display._status().plain
    for number, value in ((2, 0.1), (4, 0.1), (3, 0.9), (5, 0.9)):
        end(display, number, "completed", value)
    assert f"(trial {best})" in display._status().plain


def test_the_best_so_far_breaks_no_bound_and_lies_in_the_space(console):
    display = ProgressDisplay(console)
    superseded = TrialCard(0, "completed", {}, "", (0.1,), superseded=True)
    display.start_study(CARD, [superseded, TrialCard(1, "completed", {}, "", (0.2,), violation=1.0)])
    end(display, 2, "completed", 0.6)
    broken = BestEpoch(7, violation=0.5)
    end(display, 3, "completed", 0.4, reason="breaks valid/acc2 >= 0.8 by 0.5", best=broken)
    assert [line.count("best so far") for line in shown(console)] == [1, 0]
    assert "best valid/mae 0.6000 (trial 2)" in display._status().plain


def test_a_line_has_what_was_measured_in_the_best_epoch_also_of_a_pruned_trial(display, console):
    best = BestEpoch(3, {"valid/pearson": 0.7, "valid/mae": 0.45, "train/task": 1.0})
    end(display, 2, "completed", 0.45, best=best)
    end(display, 3, "pruned", reason="not among the best", best=best)
    assert [" ".join(line.split()) for line in shown(console)] == [
        "3/6 trial 2 completed epoch 7 valid/mae 0.4500 best so far epoch 3: valid/pearson 0.7000",
        "4/6 trial 3 pruned epoch 7 valid/mae 0.4500 epoch 3: valid/pearson 0.7000",
    ]


def test_the_status_says_how_far_trials_are_and_how_sure_the_best_is(console):
    display = ProgressDisplay(console)
    display.start_study(replace(CARD, num_epochs=30), [])
    for number in range(2, 10):
        display.trial_started(number, {}, "")
    display.trial_epoch(2, 5, {})
    end(display, 3, "completed", 0.4, best=BestEpoch(7, standard_error=0.02))
    assert "0.4000 ± 0.039 (95 %)  best so far" in shown(console)[0]
    status = display._status().plain
    assert "running 7 (epochs 2: 5/30, 4: 0/30, 5: 0/30, 6: 0/30, 7: 0/30, 8: 0/30, ...)" in status
    assert "best valid/mae 0.4000 ± 0.039 (95 %) (trial 3)" in status
