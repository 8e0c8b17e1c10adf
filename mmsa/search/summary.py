"""The result of a search, and the commands that continue from there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from textwrap import shorten

from mmsa.interface import VALID, Outcome, ReferencePoint, Scalar, decimals, direction_of, short, signed
from mmsa.masking import masked
from mmsa.measurement import ABSENT, CLAIMS, Measurement
from mmsa.search.honest import honest_lines
from mmsa.search.progress import ENDS, spoken
from mmsa.search.records import STANDARD_ERRORS, Cost, TrialRecord, shown_params
from mmsa.search.study.fidelity import Fidelity, fidelity
from mmsa.search.study.view import StudyView
from mmsa.tracking.location import runs_option, storage_option
from mmsa.training.constants import Constant, beaten_by, short_of
from mmsa.training.honest import HonestEstimate
from mmsa.training.presence import PatternResult, presence_lines

_NUM_MEASURED = 2
_NONE_FEASIBLE = "          no trial breaks less; export it by its number if that will do"
_TWO_SIDED_95 = 1.96


@dataclass(frozen=True)
class BestTrial:
    """The best trial by the first objective.

    Attributes:
        number: in the study.
        value: of the first objective.
        overrides: what was sampled and set for it, by dotted path.
        finalist_of: for a finalist, the number of the searched trial that it ran again.
        information: measured on the weights of its best epoch, by name.
        breaks: the bounds on metrics that it breaks, in words; empty for a feasible trial.
        metrics: measured on valid in its best epoch, besides the first objective.
        best_epoch: counted from 1.
        standard_error: of ``value``; None if it is unknown.
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
        """A line with the other metrics of its best epoch; no line without any."""
        shown = ", ".join(f"{name} {decimals(value)}" for name, value in self.metrics.items())
        return [f"          in epoch {self.best_epoch}: {shown}"] if shown else []

    def measured(self) -> list[str]:
        """A line with its measured information, the most wanted first; no line if nothing was to be measured.

        Measurements with a finding come first. If none has one, or the most wanted was not measured, the line
        says why.
        """
        claims = {name: m for name, m in self.information.items() if m.status in CLAIMS}
        shown = dict(list((claims or self.information).items())[:_NUM_MEASURED])
        shown |= {name: m for name, m in list(self.information.items())[:1] if m.status in ABSENT}
        found = ", ".join(f"{name} {measured.text(digits=2)}" for name, measured in shown.items())
        without = len(self.information.keys() - claims.keys() - shown.keys())
        rest = f"; {without} more without a finding" if claims and without else ""
        if any(measured.status == "skipped" for measured in shown.values()):
            rest += "; skipped: takes longer than information.budget allows"
        return [f"          information in nats: {found}{rest}"] if found else []

    def text(self, metric: str) -> str:
        """The trial in a few words."""
        origin = "" if self.finalist_of is None else f" (finalist, trial {self.finalist_of} of the search)"
        broken = f"; it {self.breaks}" if self.breaks else ""
        return f"trial {self.number}{origin}, {metric} {decimals(self.value)}{broken}"


@dataclass(frozen=True)
class SearchSummary:
    """The end of one launch.

    Attributes:
        study: its name.
        runs: the folder of all runs.
        storage: URL of the study's database without its password; None for the file in ``runs``.
        counts: finished trials of the study by outcome.
        num_trials: how many the study shall have.
        begun: trials that have begun and not ended: they were interrupted, or paused.
        launched: trials that ended in this launch, by outcome.
        seconds: that this launch took.
        metric: name of the first objective.
        best: None without a completed trial.
        default: value of the trial that runs the defaults; None without one.
        searched: the best trial of the search, if ``best`` is a finalist.
        stopped: why ``search.stop`` ended the search; empty if it did not.
        interrupted: whether a signal stopped the launch.
        gave_up: why the launch stopped by itself before it was done; empty if it did not.
        spent: the budget that ran out before it was done, and how to go on, in words; empty if none did.
        cost: of all trials of the study, over all launches.
        versions: a line for each edit of the space since the study began.
        default_number: of the trial that runs the defaults; None before there is one.
        metrics: names of all objectives.
        front: number and values of each trial on the Pareto front.
        constant: the best constant predictor by the first objective; None if unknown.
        constants: the best constant predictor by each metric of valid, without its prefix.
        idle: searched parameters without an effect on these data.
        notes: lines about the data that one should know when reading the values.
        references: reference points of the study, apart from its trials.
        presence: the best trial on valid by what rows have; empty where all have the same modalities.
        honest: the value of what is chosen, less the optimism of the choice; None without folds.
        fidelity: how well the search foretold its finalists; None without at least two of them.
        default_finalist: the finalist that ran the defaults again; None without one.
        has_test: whether the data have a test split, without which nothing is retrained.
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
    begun: int = 0
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
    constants: Mapping[str, Constant] = field(default_factory=dict)
    idle: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    references: tuple[ReferencePoint, ...] = ()
    honest: HonestEstimate | None = None
    presence: tuple[PatternResult, ...] = ()
    fidelity: Fidelity | None = None
    default_finalist: BestTrial | None = None
    has_test: bool = True

    @property
    def done(self) -> bool:
        """Whether the study has the trials it was asked for."""
        return sum(self.counts.values()) >= self.num_trials

    @property
    def successful(self) -> bool:
        """Whether the study is done or its budget spent, it has a best trial, and this launch went well.

        A launch of which half of the trials failed is not successful.
        """
        failed = 2 * self.launched.get("failed", 0) >= max(1, sum(self.launched.values()))
        return (self.done or bool(self.spent)) and self.best is not None and not failed

    def text(self, browse: str = "") -> str:
        """The summary for a terminal or a log; ``browse`` are the lines that say how to see it in MLflow."""
        stopped = [f"stopped:  {self.stopped}"] if self.stopped else []
        lines = [self._ends(), *stopped, *self._costs(), *(f"space:    {line}" for line in self.versions)]
        return "\n".join([*lines, *self._results(), *self._next_steps(browse)])

    def _ends(self) -> str:
        counts = ", ".join(f"{self.counts[end]} {spoken(end)}" for end in ENDS if self.counts.get(end))
        begun = f"; {self.begun} more begun, to go on with the search" if self.begun else ""
        return (
            f"study {self.study}: {sum(self.counts.values())} of {self.num_trials} trials ended"
            f" ({counts or 'none'}); {sum(self.launched.values())} of them in this launch, in "
            f"{timedelta(seconds=round(self.seconds))}{begun}"
        )

    def _costs(self) -> list[str]:
        ended = sum(self.counts.values())
        if not (ended and self.cost.seconds):
            return []
        each = timedelta(seconds=round(self.cost.seconds / ended))
        return [f"cost:     {self.cost} over all launches, {each} a trial"]

    def _results(self) -> list[str]:
        if self.best is None:
            return ["no trial completed", *reference_lines(self.references, self.metric, None)]
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
            *([f"          {self.fidelity.text()}"] if self.fidelity else []),
            *self._defaults(),
            *self._constant(self.best),
            *honest_lines(self.honest, self.constant),
            *self._presence(),
            *reference_lines(self.references, self.metric, self.best.number),
            *self._front(),
            *(f"note:     {note}" for note in self.notes),
        ]

    def _defaults(self) -> list[str]:
        if self.default_number is None:
            return ["defaults: not tried yet"]
        default = "without a result" if self.default is None else f"{self.metric} {decimals(self.default)}"
        line = f"defaults: trial {self.default_number}, {default}"
        again = self.default_finalist
        return [line if again is None else f"{line}; as a finalist {again.text(self.metric)}"]

    def _constant(self, best: BestTrial) -> list[str]:
        """The best constant predictor, and a warning unless the best trial is surely better."""
        if self.constant is None:
            return []
        metric, error = self.metric.removeprefix(VALID), best.standard_error
        away = _TWO_SIDED_95 if direction_of(metric) == "minimize" else -_TWO_SIDED_95
        worse_end = None if error is None else best.value + away * error
        line = f"constant: {self.metric} {decimals(self.constant.value)} (the {self.constant.name} of train)"
        verdict = short_of(metric, best.value, worse_end, self.constant)
        others = {name.removeprefix(VALID): value for name, value in best.metrics.items()}
        beaten = beaten_by(others, self.constants)
        return [
            line,
            *([f"          the best trial is {verdict}"] if verdict else []),
            *([f"          it is no better than a constant by {beaten}"] if beaten else []),
        ]

    def _presence(self) -> list[str]:
        """The best trial for rows with the same modalities, where these differ."""
        table = presence_lines(self.presence, self.metric.removeprefix(VALID))
        return [f"by what rows have, trial {self.best.number if self.best else ''}:", *table] if table else []

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
            return [f"stopped: {self.spent}"]
        if not self.done:
            return ["to continue, run the same command again"]
        if self.best is None:
            return []
        return ["next:", *(f"  {command}" for command in [*self._commands(), *browse.splitlines()])]

    def _commands(self) -> list[str]:
        best = f"{self.study}-best.yaml"
        runs, storage = runs_option(self.runs), storage_option(self.storage)
        chosen = f" --trial {self.best.number}" if self.best and self.best.breaks else ""
        return [
            f"python launch/report.py --study {self.study}{runs}{storage}  # how sure the choice is",
            f"python launch/export.py --study {self.study}{runs}{storage}{chosen} --out {best}",
            f"python launch/retrain.py --config {best}{runs} --seeds 3  # opens test"
            if self.has_test
            else f"python launch/compare.py --study {self.study}{runs}{storage} --valid-only"
            "  # there is no test split",
        ]


def summary_of(
    study: StudyView, runs: Path, storage: str | None, before: Counter[Outcome], seconds: float
) -> SearchSummary:
    """What a study came to, without what only its launch knows.

    Args:
        study: after the launch.
        runs: the folder of all runs.
        storage: URL of the study's database, None for the file in ``runs``.
        before: what ``ended`` said before the launch.
        seconds: how long the launch took.
    """
    counts = ended(study)
    best, defaults, searched = study.best(), study.defaults(), study.completed("search")
    metric = study.config.search.objectives[0].metric
    again = [
        trial for trial in study.completed("finalist") if defaults and trial.finalist_of == defaults.number
    ]
    return SearchSummary(
        study=study.name,
        runs=runs,
        storage=storage and masked(storage),
        counts=counts,
        begun=study.counts().get("running", 0),
        num_trials=study.asked,
        launched=counts - before,
        seconds=seconds,
        metric=metric,
        references=tuple(study.references()),
        constant=study.constant(metric),
        constants=study.constants(),
        best=None if best is None else _best(study, best),
        searched=_best(study, searched[0]) if best and best.stage == "finalist" and searched else None,
        stopped=study.stopped,
        default=defaults.values[0] if defaults and defaults.values else None,
        default_number=defaults.number if defaults else None,
        cost=study.cost(),
        metrics=tuple(objective.metric for objective in study.config.search.objectives),
        front=tuple((trial.number, trial.values) for trial in study.front()),
        versions=_versions(study),
        fidelity=fidelity(study),
        default_finalist=next((_best(study, trial) for trial in again), None),
        has_test=study.nature.has_test,
    )


def _best(study: StudyView, trial: TrialRecord) -> BestTrial:
    first = study.config.search.objectives[0].metric
    return BestTrial(
        trial.number,
        trial.values[0],
        shown_params(trial, study.divided(trial)),
        trial.finalist_of,
        trial.information,
        study.broken(trial),
        {name: m for name, m in trial.metrics.items() if name.startswith(VALID) and name != first},
        trial.best_epoch,
        trial.notes.get(STANDARD_ERRORS, {}).get(first),
    )


def reference_lines(references: Sequence[ReferencePoint], metric: str, best: int | None) -> list[str]:
    """A line for each reference point, and in words which of them the best trial does not surely beat.

    Args:
        references: of the study.
        metric: the first objective.
        best: number of the best trial; None without one.
    """
    if not references:
        return []
    lines = [f"references, none of them a trial: {metric}, and by how much trial {best} is better [95 %]"]
    if best is None:
        lines = [f"references, none of them a trial: {metric}"]
    lines += [f"  {point.spoken:<25}{_reference(point, metric, best)}" for point in references]
    gains = {
        point.spoken: point.gains[metric]
        for point in references
        if point.compared_with == best and metric in point.gains
    }
    worse = [name for name, gain in gains.items() if gain.high < 0.0]
    equal = [name for name, gain in gains.items() if gain.value <= 0.0 <= gain.high]
    unsure = [name for name, gain in gains.items() if gain.low <= 0.0 < gain.value]
    if worse:
        lines.append(f"  the best trial is worse than {_listed(worse)}")
    if equal:
        lines.append(f"  the best trial is no better than {_listed(equal)}")
    if unsure:
        lines.append(f"  the best trial is not surely better than {_listed(unsure)}: the interval includes 0")
    return lines


def _reference(point: ReferencePoint, metric: str, best: int | None) -> str:
    value, gain = point.metrics.get(metric), point.gains.get(metric)
    if point.outcome != "completed":
        return f"{spoken(point.outcome)}: {shorten(point.reason.strip().splitlines()[-1], 80)}"
    if value is None:
        return f"{metric} is not measured"
    if best is None:
        return decimals(value)
    if gain is None or point.compared_with != best:
        return f"{decimals(value)}  not compared row by row: the predictions of trial {best} are not kept"
    return f"{decimals(value)}  {signed(gain.value)} [{signed(gain.low)}, {signed(gain.high)}]"


def _listed(names: Sequence[str]) -> str:
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last


def ended(study: StudyView) -> Counter[Outcome]:
    """Finished trials by outcome."""
    return Counter({outcome: n for outcome, n in study.counts().items() if outcome != "running"})


def _versions(study: StudyView) -> tuple[str, ...]:
    """A line for each launch that came with an edit of the space."""
    superseded = sum(trial.superseded for trial in study.trials())
    lines = [f"version {v.number} ({v.date}): {'; '.join(v.changes)}" for v in study.space_versions[1:]]
    return (*lines, f"{superseded} trials do not lie in the space as it is now") if lines else ()
