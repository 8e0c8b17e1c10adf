"""Sections of a study's report about its result: the verdict, the best trials, what they are held against."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mmsa.data.ledger import LEDGER, Ledger
from mmsa.interface import VALID, ReferencePoint, counted, decimals, direction_of, signed
from mmsa.reports.document import VERDICT_LENGTH, Block, Paragraph, Picture, Section, Table
from mmsa.reports.evidence import Evidence
from mmsa.reports.points import Axis
from mmsa.reports.search_charts import ScoredLine, best_trials, front_chart
from mmsa.search.honest import honest_lines, read_estimate
from mmsa.search.progress import spoken
from mmsa.search.records import TrialRecord
from mmsa.training.constants import beaten_by, better

_TOP, _MOST_ON_FRONT = 10, 30
_TWO_SIDED_95 = 1.96
_MOST_NAMED = 3


def answer(evidence: Evidence) -> str:
    """The answer in at most 200 characters: which trial, tied with how many, better than what."""
    study, best = evidence.study, evidence.best
    if best is None:
        return _without_result(evidence)
    soon = " so far" if study.remaining else ""
    parts = [f"trial {best.number} is best{soon}: {evidence.metric} {decimals(best.values[0])}"]
    if best.violation:
        parts = [
            f"every trial breaks a bound; trial {best.number} does by least: {evidence.metric} "
            f"{decimals(best.values[0])}"
        ]
    parts.append(_against_references(evidence, best))
    rivals = len(study.completed(best.stage)) - 1
    if not rivals:
        parts.append("no other trial has completed")
    elif evidence.standard_error(best) is not None:
        tied = len(evidence.tied) - 1
        parts.append(
            f"{tied} of {counted(rivals, 'other')} {'is' if tied == 1 else 'are'} within its standard error"
            if tied
            else "no other trial is within its standard error"
        )
    if len(study.directions) > 1:
        on_front = counted(len(study.front()), "trial")
        parts.append(f"{on_front} on the front of {len(study.directions)} objectives")
    shown = ""
    for part in filter(None, parts):
        longer = f"{shown}; {part}" if shown else part
        if len(longer) < VERDICT_LENGTH:
            shown = longer
    return f"{shown or parts[0][: VERDICT_LENGTH - 1]}."


def _without_result(evidence: Evidence) -> str:
    study = evidence.study
    if not evidence.trials:
        return f"no trial has begun; {study.asked} are asked for."
    counts = ", ".join(f"{n} {spoken(outcome)}" for outcome, n in study.counts().items())
    return f"no trial has completed: {counts}."[:VERDICT_LENGTH]


def _against_references(evidence: Evidence, best: TrialRecord) -> str:
    """Which reference points the best trial does not surely beat; how many it does, if all."""
    compared = [
        p
        for p in evidence.study.references()
        if p.compared_with == best.number and evidence.metric in p.gains
    ]
    open_names = [p.spoken for p in compared if p.gains[evidence.metric].low <= 0]
    known = len(compared)
    constant = evidence.study.constant(evidence.metric)
    if constant is not None:
        known += 1
        if not _surely_beats_constant(evidence, best, constant.value):
            open_names.insert(0, "the constant")
    waiting = sum(p.outcome == "completed" and p not in compared for p in evidence.study.references())
    if ahead := evidence.ahead:
        first, further = ahead[0], f" and {len(ahead) - 1} more" if len(ahead) > 1 else ""
        verb = "are" if further else "is"
        said = f"{first.spoken} ({decimals(first.metrics[evidence.metric])}){further} {verb} ahead of it"
        open_names = [name for name in open_names if name not in {point.spoken for point in ahead}]
        return f"{said}, and it is {_not_surely(open_names)}" if open_names else said
    if not known:
        return (
            f"{counted(waiting, 'reference')} not compared yet" if waiting else "held against nothing simpler"
        )
    rest = f", {counted(waiting, 'reference')} not compared yet" if waiting else ""
    if not open_names:
        only = "the constant" if constant is not None else compared[0].spoken
        return f"surely better than {only if known == 1 else f'all {known} references'}{rest}"
    return f"{_not_surely(open_names)}{rest}"


def _not_surely(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    others = f" and {more} more" if more > 0 else ""
    return f"not surely better than {', '.join(names[:_MOST_NAMED])}{others}"


def _surely_beats_constant(evidence: Evidence, best: TrialRecord, constant: float) -> bool:
    error = evidence.standard_error(best) or 0.0
    sign = 1.0 if direction_of(evidence.metric_name) == "minimize" else -1.0
    worse = sign * _TWO_SIDED_95 * error
    return better(evidence.metric_name, best.values[0] + worse, constant)


def best_section(evidence: Evidence) -> Section:
    """The best trials beside each other, and the point of the best one beside the defaults."""
    if evidence.best is None:
        text = "No trial completed yet. Failures and their reasons are below, if there are any."
        return Section("Best trials", [Paragraph(text)])
    study, best = evidence.study, evidence.best
    order = study.completed(best.stage)
    defaults = study.defaults()
    shown = order[:_TOP] + [t for t in order[_TOP:] if defaults is not None and t.number == defaults.number]
    tied = {trial.number for trial in evidence.tied}
    error, kind = evidence.standard_error(best), "finalist" if best.stage == "finalist" else "trial"

    def name(trial: TrialRecord) -> str:
        mark = " (defaults)" if defaults is not None and trial.number == defaults.number else ""
        return f"trial {trial.number}{mark}"

    rows = [
        [
            name(trial),
            decimals(trial.values[0]),
            _error(evidence, trial),
            "-" if error is None else "yes" if trial.number in tied else "no",
            "-" if trial.best_epoch is None else str(trial.best_epoch),
            study.broken(trial) or "-",
        ]
        for trial in shown
    ]
    caption = (
        f"The best of {counted(len(order), f'completed {kind}')} by "
        f"{evidence.metric} "
        f"({study.directions[0]}). Tied: within one standard error of the best, over resampled groups of "
        "valid; "
        "this split cannot tell them apart."
    )
    blocks: list[Block] = [
        Table(
            caption,
            ["trial", evidence.metric, "standard error", "tied", "best epoch", "bounds"],
            rows,
            frozenset({0}),
        )
    ]
    if error is not None:
        tie = best.values[0] + evidence.sign * error
        candidates = [
            ScoredLine(name(t), t.values[0], evidence.standard_error(t), t.number in tied) for t in shown
        ] + [
            ScoredLine(point.spoken, point.metrics[evidence.metric], None, False, is_trial=False)
            for point in study.references()
            if evidence.metric in point.metrics
        ]
        picture = best_trials(
            candidates, evidence.metric, tie, f"{evidence.metric} of the best trials and the references"
        )
        text = (
            "Dots are trials with one standard error, full where tied with the best; squares are references. "
            "The dashed line is one standard error from the best."
        )
        blocks.append(Picture(picture, text))
    return Section("Best trials", [*blocks, *_of_targets(evidence, best), *_point(evidence, best)])


def _of_targets(evidence: Evidence, best: TrialRecord) -> list[Block]:
    """All metrics of the best trial, a line for each target, where it is trained for several."""
    tasks = evidence.study.config.base.objective.tasks
    rows: dict[str, list[str]] = {}
    for name, value in best.metrics.items():
        target, _, metric = name.removeprefix(VALID).rpartition("/")
        if name.startswith(VALID) and (not target or target in tasks):
            rows.setdefault(target, []).append(f"{metric} {decimals(value)}")
    if not rows.keys() - {""}:
        return []
    caption = f"All targets that trial {best.number} is trained for, on valid in the epoch that was chosen."
    told = [[target or "first target", ", ".join(rows[target])] for target in sorted(rows)]  # the first first
    return [Table(caption, ["target", "metrics"], told)]


def _error(evidence: Evidence, trial: TrialRecord) -> str:
    error = evidence.standard_error(trial)
    return "-" if error is None else decimals(error)


def _point(evidence: Evidence, best: TrialRecord) -> list[Block]:
    """What the best trial chose, and how far the trials that are tied with it agree."""
    study = evidence.study
    searched = study.trial(best.finalist_of) if best.finalist_of is not None else best
    default, chosen = study.config.complete({}), study.point(searched)
    points = [default, chosen, *(study.point(t) for t in evidence.tied if t.finalist_of is None)]
    mutes = [evidence.silent(point) for point in points]

    def heard(axis: Axis) -> list[float]:
        """The value of a choice at each point; NaN where it changes nothing."""
        return [
            math.nan if all(path.startswith(mute) for path in axis.paths) else axis.of(point)
            for point, mute in zip(points, mutes, strict=True)
        ]

    rows = []
    for axis in evidence.axes:
        of_default, of_best, *of_tied = heard(axis)
        among = np.array([value for value in of_tied if not math.isnan(value)])
        own = axis.spoken(of_default), axis.spoken(of_best)
        if {*own} != {"-"} or len(among):
            rows.append([axis.name, *own, _spread(axis, among)])
    caption = (
        f"What trial {best.number} chose. The wider the tied trials lie, the less the choice matters or is "
        "known. A setting of a term whose weight, or total, is 0 changes nothing, and has no value (-)."
    )
    return [Table(caption, ["setting", "default", "best", "among the tied"], rows)] if rows else []


def _spread(axis: Axis, among: np.ndarray) -> str:
    if not len(among):
        return "-"
    if axis.choices:
        values, counts = np.unique(among, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return ", ".join(f"{axis.spoken(float(values[n]))} ×{counts[n]}" for n in order)
    low, high = axis.spoken(float(among.min())), axis.spoken(float(among.max()))
    return low if low == high else f"{low} to {high}"


def references_section(evidence: Evidence) -> Section:
    """What is simpler than the trials, and by how much the best one is better, row by row of valid."""
    study, best, metric = evidence.study, evidence.best, evidence.metric
    rows = []
    constant = study.constant(metric)
    if constant is not None:
        words = "-"
        if best is not None:
            words = (
                "surely better"
                if _surely_beats_constant(evidence, best, constant.value)
                else "not surely better"
            )
        rows.append([f"constant ({constant.name} of train)", decimals(constant.value), "-", "-", words])
    for point in study.references():
        rows.append([point.spoken, *_reference_cells(point, evidence)])
    if not rows:
        return Section("References", [])
    head = ["reference", metric, "gain of the best", "95 % interval", "the best is"]
    caption = (
        "None of them is a trial. The gain is paired row by row on valid, over resampled groups; the "
        "constant is held "
        "against the standard error of the best. Valid chose the best trial, so gains are flattered."
    )
    blocks: list[Block] = [Table(caption, head, rows)]
    others = (
        {} if best is None else {n.removeprefix(VALID): v for n, v in best.metrics.items() if n != metric}
    )
    if beaten := beaten_by(others, study.constants()):
        number = "" if best is None else best.number
        blocks.append(Paragraph(f"Trial {number} is no better than a constant by {beaten}."))
    return Section("References", blocks)


def _reference_cells(point: ReferencePoint, evidence: Evidence) -> list[str]:
    metric, best = evidence.metric, evidence.best
    value, gain = point.metrics.get(metric), point.gains.get(metric)
    if point.outcome != "completed":
        reason = point.reason.strip().splitlines()[-1] if point.reason.strip() else ""
        return ["-", "-", "-", f"{spoken(point.outcome)}: {reason}"]
    shown = "-" if value is None else decimals(value)
    if gain is None or best is None or point.compared_with != best.number:
        behind = "behind by value, " if point in evidence.ahead else ""
        return [shown, "-", "-", f"{behind}not compared row by row"]
    word = "surely better" if gain.low > 0 else "surely worse" if gain.high < 0 else "not surely better"
    return [shown, signed(gain.value), f"{signed(gain.low)} to {signed(gain.high)}", word]


def honest_section(evidence: Evidence) -> Section:
    """What a search by folds chooses, less the optimism of the choice; empty without folds."""
    study = evidence.study
    lines = honest_lines(read_estimate(evidence.runs / study.name), study.constant(evidence.metric))
    return Section("Honest value of the choice", [Paragraph(line.strip()) for line in lines])


def front_section(evidence: Evidence) -> Section:
    """The Pareto front of several objectives."""
    study = evidence.study
    if len(study.directions) < 2 or evidence.best is None:
        return Section("Pareto front", [])
    metrics = [objective.metric for objective in study.config.search.objectives]
    front = study.front()
    rows = [[f"trial {t.number}", *(f"{value:.5g}" for value in t.values)] for t in front[:_MOST_ON_FRONT]]
    caption = (
        f"{counted(len(front), 'trial')} that no other beats in every objective, best {metrics[0]} first"
    )
    caption += f"; {len(front) - len(rows)} more are left out." if len(front) > len(rows) else "."
    points = [(trial.number, trial.values) for trial in study.completed(evidence.best.stage)]
    numbers = [trial.number for trial in front]
    pictures = [
        Picture(
            front_chart(points, numbers, metrics, other, f"{metrics[0]} against {metrics[other]}"),
            f"{metrics[0]} ({study.directions[0]}) against {metrics[other]} ({study.directions[other]}); the "
            "front is in colour, and numbered where there is room.",
        )
        for other in range(1, len(metrics))
    ]
    return Section("Pareto front", [Table(caption, ["trial", *metrics], rows), *pictures])


def test_section(evidence: Evidence) -> Section:
    """The openings of test for this study, from the ledger, and what of the study has seen test before."""
    notes = [Paragraph(f"note: {line}") for line in evidence.study.tested]
    openings = Ledger(evidence.runs / LEDGER).openings_of(evidence.study.name, "")
    if not openings:
        return Section("Test", [*notes, Paragraph("test: never opened for this study")])
    rows = []
    for opening in openings:
        fresh = len(opening.seeds) - (opening.selected is not None)
        means = ", ".join(f"{name} {decimals(mean)}" for name, mean in opening.means().items())
        rows.append([opening.date, opening.spoken, str(fresh), means or "nothing was recorded"])
    caption = (
        f"test: opened {counted(len(openings), 'time')} for this study; means over fresh seeds. What is "
        "chosen after "
        "the first look is no longer tested."
    )
    return Section("Test", [*notes, Table(caption, ["date", "what", "fresh seeds", "means"], rows)])
