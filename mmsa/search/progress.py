"""What a search shows: a line for each finished trial and, on a terminal, a status line below them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from textwrap import shorten
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from mmsa.information import Measurement
from mmsa.tracking import Outcome, Scalar, Stage, StudyCard, TrialCard

ENDS: tuple[Outcome, ...] = ("completed", "pruned", "diverged", "out_of_memory", "failed")
"""The five ways a trial ends."""
_STYLES = {
    "completed": "green",
    "pruned": "dim",
    "diverged": "yellow",
    "out_of_memory": "yellow",
    "failed": "red",
}

_MOST_CHARACTERS = 120  # of a reason; the study has all of it


def best_of(values: Mapping[int, float], direction: str) -> int | None:
    """The number of the trial with the best value; the earliest of equal ones."""
    sign = 1 if direction == "minimize" else -1
    return min(values, key=lambda number: (sign * values[number], number), default=None)


class ProgressDisplay:
    """Observer that writes to a console."""

    def __init__(self, console: Console):
        self._console = console
        self._live: Live | None = None

    def start_study(self, study: StudyCard, earlier: Sequence[TrialCard]) -> None:
        """Count what an earlier launch finished, and start the clock."""
        self._study = study
        self._counts = Counter(trial.outcome for trial in earlier)
        completed = [trial for trial in earlier if trial.outcome == "completed" and not trial.superseded]
        self._finalists = {trial.number for trial in earlier if trial.stage == "finalist"}
        self._values = {trial.number: trial.values[0] for trial in completed}
        self._epochs: dict[int, int] = {}
        self._paused: set[int] = set()
        self._finished_before = len(earlier)
        self._started = time.monotonic()
        if self._console.is_terminal:
            self._live = Live(
                console=self._console, get_renderable=self._status, refresh_per_second=2, transient=True
            )
            self._live.start()

    def trial_started(
        self, number: int, params: Mapping[str, Scalar], config: Mapping[str, Any], stage: Stage = "search"
    ) -> None:
        """One more runs."""
        if stage == "finalist":
            self._finalists.add(number)
        self._epochs.setdefault(number, 0)
        self._paused.discard(number)

    def trial_epoch(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """It got further."""
        self._epochs[number] = epoch

    def trial_paused(self, number: int) -> None:
        """It waits for others."""
        self._paused.add(number)

    def trial_measured(self, number: int, information: Mapping[str, Measurement]) -> None:
        """Nothing: the summary and MLflow have it."""

    def trial_finished(self, number: int, outcome: Outcome, values: Sequence[float], reason: str) -> None:
        """One more is done: its line."""
        epoch = self._epochs.pop(number, 0)
        self._paused.discard(number)
        self._counts[outcome] += 1
        if outcome == "completed":
            self._values[number] = values[0]
        self._console.print(self._line(number, outcome, epoch, values, reason), soft_wrap=True)

    def close(self) -> None:
        """Take the status line away."""
        if self._live is not None:
            self._live.stop()

    def _line(self, number: int, outcome: Outcome, epoch: int, values: Sequence[float], reason: str) -> Text:
        done = f"{sum(self._counts.values())}/{self._study.num_trials}"
        kind = "finalist" if number in self._finalists else "trial"
        line = Text(f"{done:>9}  {kind} {number:<4} ")
        line.append(f"{spoken(outcome):<13}", _STYLES[outcome])
        line.append(f" epoch {epoch:<3} ")
        named = zip(self._study.metrics, values, strict=False)
        line.append("  ".join(f"{metric} {value:.4f}" for metric, value in named))
        if self._best() == number:
            line.append("  best so far", "bold")
        if reason and outcome != "pruned":
            line.append(f"  {shorten(reason.strip().splitlines()[-1], _MOST_CHARACTERS)}", "dim")
        return line

    def _status(self) -> Text:
        counts = "  ".join(f"{spoken(end)} {self._counts[end]}" for end in ENDS)
        paused = f"paused {len(self._paused)}  " if self._paused else ""
        parts = [f"running {len(self._epochs) - len(self._paused)}  {paused}{counts}"]
        best = self._best()
        if best is not None:
            parts.append(f"best {self._study.metrics[0]} {self._values[best]:.4f} (trial {best})")
        parts += self._pace()
        return Text(" | ".join(parts), no_wrap=True, overflow="ellipsis")

    def _best(self) -> int | None:
        finalists = {number: self._values[number] for number in self._values.keys() & self._finalists}
        return best_of(finalists or self._values, self._study.directions[0])

    def _pace(self) -> list[str]:
        finished = sum(self._counts.values())
        now_finished = finished - self._finished_before
        if not now_finished:
            return []
        seconds_each = (time.monotonic() - self._started) / now_finished
        left = timedelta(seconds=round(max(0, self._study.num_trials - finished) * seconds_each))
        return [f"{3600 / seconds_each:.0f} trials/h", f"{left} left"]


def spoken(outcome: Outcome) -> str:
    """An outcome as people write it."""
    return outcome.replace("_", " ")
