"""What a search came to, and the commands that go on from there."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from mmsa.information import Measurement
from mmsa.search.costs import Cost
from mmsa.search.progress import ENDS, spoken
from mmsa.tracking import Outcome, Scalar, short

DEFAULT_RUNS = Path("runs")
_NUM_MEASURED = 2


@dataclass(frozen=True)
class BestTrial:
    """The best trial by the first objective: its number and value, and what was sampled and set for it.

    finalist_of: the number of the searched trial that it ran again, of a finalist.
    information: what was measured of it.
    """

    number: int
    value: float
    overrides: Mapping[str, Scalar]
    finalist_of: int | None = None
    information: Mapping[str, Measurement] = field(default_factory=dict, compare=False)

    def measured(self) -> list[str]:
        """The most wanted information that it has, as a line; none without any."""
        found = [(name, measured) for name, measured in self.information.items() if measured.status == "ok"]
        shown = [f"{name} {m.value:.2f} [{m.low:.2f}, {m.high:.2f}]" for name, m in found[:_NUM_MEASURED]]
        return [f"          information in nats: {', '.join(shown)}"] if shown else []

    def text(self, metric: str) -> str:
        """In a few words."""
        origin = "" if self.finalist_of is None else f" (finalist, trial {self.finalist_of} of the search)"
        return f"trial {self.number}{origin}, {metric} {self.value:.4f}"


@dataclass(frozen=True)
class SearchSummary:
    """The end of one launch.

    Attributes:
        study: its name.
        runs: the folder of all runs.
        storage: URL of the study's database without its password, None for the file in ``runs``.
        counts: trials of the study by how they ended.
        num_trials: how many the study shall have.
        launched: ends of trials in this launch, by how they ended.
        seconds: how long this launch took.
        metric: name of the first objective.
        best: None without a completed trial.
        default: value of trial 0, which runs the defaults; None when it has none.
        searched: the best of the search, where ``best`` is a finalist.
        stopped: why ``search.stop`` ended the search, in words, empty otherwise.
        interrupted: stopped by a signal.
        gave_up: why it stopped by itself before it was done, empty otherwise.
        spent: the budget that was spent before it was done, in words, empty otherwise.
        cost: of all trials of the study, over all launches.
        versions: how the space was edited since the study was begun, in lines.
        default_number: of the trial that runs the defaults.
        metrics: names of all objectives.
        front: number and values of the trials that none is better than in all objectives.
        notes: what to know of the data when reading the values, in lines.
    """

    study: str
    runs: Path
    storage: str | None
    counts: Mapping[Outcome, int]
    num_trials: int
    launched: Mapping[Outcome, int]
    seconds: float
    metric: str
    best: BestTrial | None
    default: float | None
    searched: BestTrial | None = None
    stopped: str = ""
    interrupted: bool = False
    gave_up: str = ""
    spent: str = ""
    cost: Cost = field(default_factory=Cost)
    versions: tuple[str, ...] = ()
    default_number: int = 0
    metrics: tuple[str, ...] = ()
    front: tuple[tuple[int, tuple[float, ...]], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether the study has the trials it was asked for."""
        return sum(self.counts.values()) >= self.num_trials

    @property
    def successful(self) -> bool:
        """Whether it is done or its budget is spent, and it has a best trial, and not half of this launch's
        trials failed."""
        failed = 2 * self.launched.get("failed", 0) >= max(1, sum(self.launched.values()))
        return (self.done or bool(self.spent)) and self.best is not None and not failed

    def text(self, browse: str = "") -> str:
        """The summary for a terminal or a log; ``browse`` is the command that shows the study in MLflow."""
        stopped = [f"stopped:  {self.stopped}"] if self.stopped else []
        lines = [self._ends(), *stopped, *self._costs(), *(f"space:    {line}" for line in self.versions)]
        return "\n".join([*lines, *self._results(), *self._next_steps(browse)])

    def _ends(self) -> str:
        counts = ", ".join(f"{self.counts[end]} {spoken(end)}" for end in ENDS if self.counts.get(end))
        return (
            f"study {self.study}: {sum(self.counts.values())} of {self.num_trials} trials ended"
            f" ({counts or 'none'}); {sum(self.launched.values())} of them in this launch, in "
            f"{timedelta(seconds=round(self.seconds))}"
        )

    def _costs(self) -> list[str]:
        ended = sum(self.counts.values())
        if not (ended and self.cost.seconds):
            return []
        each = timedelta(seconds=round(self.cost.seconds / ended))
        return [f"cost:     {self.cost} over all launches, {each} a trial"]

    def _results(self) -> list[str]:
        if self.best is None:
            return ["no trial completed"]
        default = "without a result" if self.default is None else f"{self.metric} {self.default:.4f}"
        return [
            f"best:     {self.best.text(self.metric)}",
            *(f"          {path}: {short(value)}" for path, value in self.best.overrides.items()),
            *self.best.measured(),
            *([f"search:   {self.searched.text(self.metric)}"] if self.searched else []),
            f"defaults: trial {self.default_number}, {default}",
            *self._front(),
            *(f"note:     {note}" for note in self.notes),
        ]

    def _front(self) -> list[str]:
        if len(self.metrics) < 2:
            return []
        widths = [max(12, len(metric)) for metric in self.metrics]
        head = "  ".join(metric.rjust(width) for metric, width in zip(self.metrics, widths, strict=True))
        rows = [
            f"{number:>15}  " + "  ".join(f"{v:{width}.5g}" for v, width in zip(values, widths, strict=True))
            for number, values in self.front
        ]
        return [
            "front:    no trial is better in every objective than one of",
            f"{'trial':>15}  {head}",
            *rows,
        ]

    def _next_steps(self, browse: str) -> list[str]:
        if self.gave_up:
            return [f"stopped: {self.gave_up}"]
        if self.spent and not self.done:
            return [f"stopped: {self.spent}; to continue, run the same command with a larger one"]
        if not self.done:
            return ["to continue, run the same command again"]
        if self.best is None:
            return []
        return ["next:", *(f"  {command}" for command in [*self._commands(), browse] if command)]

    def _commands(self) -> list[str]:
        best = f"{self.study}-best.yaml"
        runs = "" if self.runs == DEFAULT_RUNS else f" --runs {shlex.quote(str(self.runs))}"
        storage = "" if self.storage is None else f" --storage {shlex.quote(self.storage)}"
        return [
            f"python launch/export.py --study {self.study}{runs}{storage} --out {best}",
            f"python launch/retrain.py --config {best}{runs} --seeds 3",
        ]
