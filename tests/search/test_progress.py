"""The progress display: a line for each finished trial, and a status line that counts and estimates."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mmsa.search.progress import ProgressDisplay, best_of
from mmsa.tracking import StudyCard, TrialCard

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


def end(display: ProgressDisplay, number: int, outcome: str, *values: float, reason: str = "") -> None:
    display.trial_started(number, {}, "")
    display.trial_epoch(number, 7, {})
    display.trial_finished(number, outcome, values, reason)


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
    assert "running 1  completed 1  pruned 1  diverged 0  out of memory 1  failed 1" in status
    assert "best valid/mae 0.5000 (trial 0)" in status
    assert "80 trials/h" in status  # two in 90 s
    assert "0:01:30 left" in status  # two more


def test_paused_trials_do_not_run(display, console):
    for number in (2, 3):
        display.trial_started(number, {}, "")
        display.trial_epoch(number, 3, {})
    display.trial_paused(2)
    assert "running 1  paused 1  completed 1" in display._status().plain
    display.trial_paused(3)
    display.trial_started(2, {}, "")
    assert "running 1  paused 1  completed 1" in display._status().plain
    display.trial_finished(3, "pruned", (), "")
    assert "running 1  completed 1  pruned 1" in display._status().plain
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


@pytest.mark.parametrize(("direction", "number"), [("minimize", 1), ("maximize", 2)])
def test_best_of_equal_values_is_the_earliest(direction, number):
    assert best_of({3: 0.1, 1: 0.1, 2: 0.9, 4: 0.9}, direction) == number
    assert best_of({}, direction) is None
