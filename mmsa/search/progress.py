"""The display of a running search: a line for each finished trial and, on a terminal, a status line below."""

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

from mmsa.interface import (
    NOTHING,
    BestEpoch,
    Outcome,
    ReferencePoint,
    Scalar,
    Stage,
    StudyCard,
    TrialCard,
    decimals,
)
from mmsa.measurement import Measurement
from mmsa.ranking import ranked

ENDS: tuple[Outcome, ...] = ("completed", "pruned", "diverged", "out_of_memory", "failed")
"""The five ways a trial ends."""
_STYLES = {
    "completed": "green",
    "pruned": "dim",
    "diverged": "yellow",
    "out_of_memory": "yellow",
    "failed": "red",
}

_MOST_CHARACTERS = 120  # of a reason; the study has it in full
_MOST_RUNNING = 6  # trials whose epochs the status line names


class ProgressDisplay:
    """An observer that writes to a console."""

    def __init__(self, console: Console):
        self._console = console
        self._live: Live | None = None

    def start_study(self, study: StudyCard, earlier: Sequence[TrialCard]) -> None:
        """Count what earlier launches finished, and start the clock."""
        self._study = study
        self._counts = Counter(trial.outcome for trial in earlier)
        self._finalists = {trial.number for trial in earlier if trial.stage == "finalist"}
        self._best = self._better(*earlier)
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
        """Count a running trial."""
        if stage == "finalist":
            self._finalists.add(number)
        self._epochs.setdefault(number, 0)
        self._paused.discard(number)

    def trial_epoch(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Note the progress of a trial."""
        self._epochs[number] = epoch

    def trial_paused(self, number: int) -> None:
        """Count a paused trial."""
        self._paused.add(number)

    def trial_measured(self, number: int, information: Mapping[str, Measurement]) -> None:
        """Do nothing: the summary and MLflow show it."""

    def trial_finished(
        self,
        number: int,
        outcome: Outcome,
        values: Sequence[float],
        reason: str,
        best: BestEpoch = NOTHING,
    ) -> None:
        """Print the line of a finished trial."""
        epoch = self._epochs.pop(number, 0)
        self._paused.discard(number)
        self._counts[outcome] += 1
        trial = TrialCard(
            number,
            outcome,
            {},
            "",
            tuple(values),
            reason,
            stage="finalist" if number in self._finalists else "search",
            violation=best.violation,
            metrics=best.metrics,
            best_epoch=best.number,
            standard_error=best.standard_error,
        )
        self._best = self._better(*([] if self._best is None else [self._best]), trial)
        self._console.print(self._line(trial, epoch), soft_wrap=True)

    def reference_known(self, reference: ReferencePoint) -> None:
        """Do nothing: the summary and MLflow show them, apart from the trials."""

    def close(self) -> None:
        """Remove the status line."""
        if self._live is not None:
            self._live.stop()

    def _line(self, trial: TrialCard, epoch: int) -> Text:
        done = f"{sum(self._counts.values())}/{self._study.num_trials}"
        kind = "finalist" if trial.stage == "finalist" else "trial"
        line = Text(f"{done:>9}  {kind} {trial.number:<4} ")
        line.append(f"{spoken(trial.outcome):<13}", _STYLES[trial.outcome])
        line.append(f" epoch {epoch:<3} ")
        measured = [
            f"{metric} {decimals(value)}" for metric, value in trial.best(self._study.metrics).items()
        ]
        objectives = len(self._study.metrics)
        line.append("  ".join(measured[:objectives]))
        if self._best is trial:
            line.append(f"{_spread(trial)}  best so far", "bold")
        if trial.reason and trial.outcome != "pruned":
            line.append(f"  {shorten(trial.reason.strip().splitlines()[-1], _MOST_CHARACTERS)}", "dim")
        if measured[objectives:]:
            line.append(f"  epoch {trial.best_epoch}: {'  '.join(measured[objectives:])}", "dim")
        return line

    def _status(self) -> Text:
        counts = "  ".join(f"{spoken(end)} {self._counts[end]}" for end in ENDS)
        paused = f"paused {len(self._paused)}  " if self._paused else ""
        parts = [f"running {len(self._epochs) - len(self._paused)}{self._running()}  {paused}{counts}"]
        if self._best is not None:
            value = f"{decimals(self._best.values[0])}{_spread(self._best)}"
            parts.append(f"best {self._study.metrics[0]} {value} (trial {self._best.number})")
        parts += self._pace()
        return Text(" | ".join(parts), no_wrap=True, overflow="ellipsis")

    def _running(self) -> str:
        """The epochs of the trials that run, by number; of a few only where there are many."""
        last = "" if self._study.num_epochs is None else f"/{self._study.num_epochs}"
        epochs = [
            f"{number}: {epoch}{last}" for number, epoch in self._epochs.items() if number not in self._paused
        ]
        more = ", ..." if len(epochs) > _MOST_RUNNING else ""
        return f" (epochs {', '.join(epochs[:_MOST_RUNNING])}{more})" if epochs else ""

    def _better(self, *trials: TrialCard) -> TrialCard | None:
        """The best of these trials; None if none has a rank."""
        return next(iter(ranked(trials, self._study.directions)), None)

    def _pace(self) -> list[str]:
        finished = sum(self._counts.values())
        now_finished = finished - self._finished_before
        if not now_finished:
            return []
        seconds_each = (time.monotonic() - self._started) / now_finished
        left = timedelta(seconds=round(max(0, self._study.num_trials - finished) * seconds_each))
        return [f"{3600 / seconds_each:.0f} trials/h", f"{left} left"]


def _spread(trial: TrialCard) -> str:
    """How far the first objective may be off: half of its 95 % interval over resampled groups."""
    return f"{trial.margin} (95 %)" if trial.margin else ""


def spoken(outcome: Outcome) -> str:
    """An outcome in words, for people, of a study that may have been left: its storage does not tell."""
    return "running or interrupted" if outcome == "running" else outcome.replace("_", " ")
