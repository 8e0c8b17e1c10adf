"""Sections of a study's report about its course: outcomes, failures, rungs, time, costs, provenance."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import get_args

from mmsa.interface import Outcome, counted
from mmsa.reports.document import Block, Paragraph, Picture, Section, Table
from mmsa.reports.evidence import Evidence
from mmsa.reports.search_charts import Span, survival, timeline
from mmsa.search.definition.reported import reported_lines
from mmsa.search.progress import spoken
from mmsa.search.records import Cost, TrialRecord
from mmsa.search.schedulers.base import RungSettings
from mmsa.search.study.fidelity import fidelity

_NUMBERS = re.compile(r"\d+(?:\.\d+)?")
_LONGEST_REASON, _MOST_REASONS, _MOST_LISTED = 160, 12, 8


def course_section(evidence: Evidence) -> Section:
    """How the trials ended, and when."""
    study = evidence.study
    counts = study.counts()
    if not evidence.trials:
        return Section("Course of the search", [])
    by_outcome: dict[Outcome, list[TrialRecord]] = {
        outcome: [trial for trial in evidence.trials if trial.outcome == outcome]
        for outcome in get_args(Outcome)
    }
    rows = [
        [
            spoken(outcome),
            str(len(trials)),
            str(sum(len(t.epochs) for t in trials)),
            _time(trials),
            str(sum((t.cost for t in trials), Cost())),
        ]
        for outcome, trials in by_outcome.items()
        if trials
    ]
    begun = sum(counts.values())
    caption = f"Trials that have begun: {begun} of {study.asked}. All of them: {study.cost()}."
    blocks: list[Block] = [Table(caption, ["outcome", "trials", "epochs", "time", "cost"], rows)]
    if study.stopped:
        blocks.append(Paragraph(f"The search was ended early: {study.stopped}."))
    blocks += _over_time(evidence)
    references = [point for point in study.references() if point.trained]
    if references:
        spent = timedelta(seconds=round(sum(point.seconds for point in references)))
        blocks.append(Paragraph(f"Besides, {counted(len(references), 'reference training')} took {spent}."))
    return Section("Course of the search", blocks)


def _time(trials: Sequence[TrialRecord]) -> str:
    return str(timedelta(seconds=round(sum(trial.cost.seconds for trial in trials))))


def _over_time(evidence: Evidence) -> list[Block]:
    known = [(t, t.started.timestamp()) for t in evidence.trials if t.started is not None]
    if not known:
        return []
    first = min(start for _, start in known)
    last = max((t.finished.timestamp() for t, _ in known if t.finished is not None), default=first)
    ranked = {trial.number for trial in evidence.completed}
    spans = [
        Span(
            start - first,
            max(start, last if t.finished is None else t.finished.timestamp()) - first,
            t.outcome,
            t.values[0] if t.number in ranked else None,
        )
        for t, start in known
    ]
    caption = (
        "Above: completed trials of the search when they ended, and the best so far. Below: a line for each "
        "trial from "
        "start to end; completed in blue, stopped early in grey, failed in red, running or interrupted "
        "in green."
    )
    return [Picture(timeline(spans, evidence.sign, evidence.metric, "trials over time"), caption)]


def failures_section(evidence: Evidence) -> Section:
    """What went wrong, by reason; reasons that differ in numbers alone are counted together."""
    failed = [trial for trial in evidence.trials if trial.failed]
    if not failed:
        return Section("Failures", [])
    by_reason: dict[tuple[str, str], list[TrialRecord]] = {}
    for trial in failed:
        line = trial.reason.strip().splitlines()[-1] if trial.reason.strip() else "no reason is known"
        by_reason.setdefault((spoken(trial.outcome), _NUMBERS.sub("#", line)), []).append(trial)
    order = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    rows = []
    for (outcome, _), trials in order[:_MOST_REASONS]:
        numbers = ", ".join(str(trial.number) for trial in trials[:_MOST_LISTED])
        reason = (trials[0].reason.strip() or "no reason is known").splitlines()[-1][:_LONGEST_REASON]
        rows.append(
            [outcome, str(len(trials)), numbers + (" …" if len(trials) > _MOST_LISTED else ""), reason]
        )
    caption = (
        f"{counted(len(failed), 'trial')} ended without a result, for {counted(len(by_reason), 'reason')}; "
        "the first of each is quoted."
    )
    return Section("Failures", [Table(caption, ["outcome", "trials", "numbers", "reason"], rows)])


def rungs_section(evidence: Evidence) -> Section:
    """Where trials were stopped early."""
    scheduler = evidence.study.config.search.scheduler
    lengths = [len(t.epochs) for t in evidence.trials if t.outcome in ("completed", "pruned") and t.epochs]
    pruned = Counter(len(t.epochs) for t in evidence.trials if t.outcome == "pruned")
    if not pruned:
        return Section("Rungs", [])
    longest = max(lengths)
    reached = [sum(length >= epoch for length in lengths) for epoch in range(1, longest + 1)]
    rows = [
        [str(epoch), str(reached[epoch - 1] if epoch else len(lengths)), str(count)]
        for epoch, count in sorted(pruned.items())
    ]
    levels = (
        scheduler.levels(evidence.study.config.base.train.epochs)
        if isinstance(scheduler, RungSettings)
        else []
    )
    after = f"after epoch{'s' if len(levels) > 1 else ''} {', '.join(map(str, levels))}"
    words = f"; its rungs are {after}" if levels else ""
    caption = (
        f"Trials that the scheduler {scheduler.name} stopped early, by the epoch after which it did{words}."
    )
    return Section(
        "Rungs",
        [
            Table(caption, ["epoch", "trials that reached it", "stopped after it"], rows),
            Picture(survival(reached, "trials by epoch"), "How many trials reached each epoch."),
        ],
    )


def provenance_section(evidence: Evidence) -> Section:
    """What the study was made of, what others report, and how to go on."""
    study, config = evidence.study, evidence.study.config
    known = study.attributes
    rows = [
        ["data set", config.base.data.name],
        ["digest of train and valid", str(known.get("corpus_digest", "-"))[:16]],
        ["commit", f"{known.get('git_commit') or '-'}{' (dirty)' if known.get('git_dirty') else ''}"],
        ["identity", str(known.get("identity", "-"))],
        ["sampler", config.search.sampler.name],
        ["scheduler", config.search.scheduler.name],
        ["seed", str(config.base.seed)],
    ]
    rows += [
        [f"space, version {v.number} ({v.date})", "; ".join(v.changes)] for v in study.space_versions[1:]
    ]
    rows += [[name, str(version)] for name, version in dict(known.get("versions", {})).items()]
    blocks: list[Block] = [Table("From the study itself.", ["what", "value"], rows)]
    outside = sum(trial.superseded for trial in evidence.trials)
    if outside:
        blocks.append(
            Paragraph(f"Outside the space as it is now, and not ranked: {counted(outside, 'trial')}.")
        )
    found = fidelity(study)
    if found is not None:
        blocks.append(Paragraph(f"{found.text()[0].upper()}{found.text()[1:]}."))
    blocks += [Paragraph(line) for line in reported_lines(config.reported)]
    return Section("Provenance", blocks)
