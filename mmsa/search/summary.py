"""What a search came to, and the commands that go on from there."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from mmsa.information import Measurement
from mmsa.information.measurement import CLAIMS
from mmsa.search.costs import Cost
from mmsa.search.progress import ENDS, spoken
from mmsa.tracking import VALID, Outcome, Scalar, short
from mmsa.tracking.location import DEFAULT_RUNS
from mmsa.training.constants import LOWER_IS_BETTER, Constant, short_of

_NUM_MEASURED = 2
_NONE_FEASIBLE = "          no trial breaks less; export it by its number if that will do"
_TWO_SIDED_95 = 1.96


@dataclass(frozen=True)
class BestTrial:
    """The best trial by the first objective: its number and value, and what was sampled and set for it.

    finalist_of: the number of the searched trial that it ran again, of a finalist.
    information: what was measured of it.
    breaks: the bounds on metrics that it breaks, in words; empty for a feasible one.
    metrics: that were measured on valid in its best epoch, besides the first objective.
    standard_error: of its value, where it is known.
    """

    number: int
    value: float
    overrides: Mapping[str, Scalar]
    finalist_of: int | None = None
    information: Mapping[str, Measurement] = field(default_factory=dict, compare=False)
    breaks: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    best_epoch: int | None = None
    standard_error: float | None = None

    def at_its_best(self) -> list[str]:
        """What else was measured in its best epoch, as a line; none without anything."""
        shown = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
        return [f"          in epoch {self.best_epoch}: {shown}"] if shown else []

    def measured(self) -> list[str]:
        """What was measured of it, the most wanted first, as a line; none where nothing was to be measured.

        What has a claim comes before what has none; where nothing has, the line says why.
        """
        claims = {name: m for name, m in self.information.items() if m.status in CLAIMS}
        shown = list((claims or self.information).items())[:_NUM_MEASURED]
        found = ", ".join(f"{name} {measured.text(digits=2)}" for name, measured in shown)
        without = len(self.information) - len(claims)
        rest = f"; {without} more without a finding" if claims and without else ""
        return [f"          information in nats: {found}{rest}"] if found else []

    def text(self, metric: str) -> str:
        """In a few words."""
        origin = "" if self.finalist_of is None else f" (finalist, trial {self.finalist_of} of the search)"
        broken = f"; it {self.breaks}" if self.breaks else ""
        return f"trial {self.number}{origin}, {metric} {self.value:.4f}{broken}"


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
        default: value of the trial that runs the defaults; None when it has none.
        searched: the best of the search, where ``best`` is a finalist.
        stopped: why ``search.stop`` ended the search, in words, empty otherwise.
        interrupted: stopped by a signal.
        gave_up: why it stopped by itself before it was done, empty otherwise.
        spent: the budget that was spent before it was done, in words, empty otherwise.
        cost: of all trials of the study, over all launches.
        versions: how the space was edited since the study was begun, in lines.
        default_number: of the trial that runs the defaults; None before there is one.
        metrics: names of all objectives.
        constant: the best constant predictor by the first objective, where one is known.
        front: number and values of the trials that none is better than in all objectives.
        idle: searched parameters without an effect on these data.
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
    default_number: int | None = 0
    metrics: tuple[str, ...] = ()
    front: tuple[tuple[int, tuple[float, ...]], ...] = ()
    constant: Constant | None = None
    idle: frozenset[str] = frozenset()
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
            *([_NONE_FEASIBLE] if self.best.breaks else []),
            *(
                f"          {path}: {short(value)}"
                + (" (without effect on these data)" if path in self.idle else "")
                for path, value in self.best.overrides.items()
            ),
            *self.best.at_its_best(),
            *self.best.measured(),
            *([f"search:   {self.searched.text(self.metric)}"] if self.searched else []),
            "defaults: not tried yet"
            if self.default_number is None
            else f"defaults: trial {self.default_number}, {default}",
            *self._constant(self.best),
            *self._front(),
            *(f"note:     {note}" for note in self.notes),
        ]

    def _constant(self, best: BestTrial) -> list[str]:
        """What says the same of every row, and a word where the best trial is not surely better."""
        if self.constant is None:
            return []
        metric, error = self.metric.removeprefix(VALID), best.standard_error
        away = _TWO_SIDED_95 if metric in LOWER_IS_BETTER else -_TWO_SIDED_95
        worse_end = None if error is None else best.value + away * error
        line = f"constant: {self.metric} {self.constant.value:.4f} (the {self.constant.name} of train)"
        verdict = short_of(metric, best.value, worse_end, self.constant)
        return [line, *([f"          the best trial is {verdict}"] if verdict else [])]

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
        chosen = f" --trial {self.best.number}" if self.best and self.best.breaks else ""
        storage = "" if self.storage is None else f" --storage {shlex.quote(self.storage)}"
        return [
            f"python launch/export.py --study {self.study}{runs}{storage}{chosen} --out {best}",
            f"python launch/retrain.py --config {best}{runs} --seeds 3",
        ]
