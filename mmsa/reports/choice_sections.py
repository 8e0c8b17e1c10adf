"""Sections of a study's report about what mattered: choices, the way to the best, and coefficients."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from mmsa.interface import decimals, signed
from mmsa.reports.document import Block, Paragraph, Picture, Section, Table
from mmsa.reports.evidence import Evidence
from mmsa.reports.importance import Importance
from mmsa.reports.information_charts import Moved, coefficient_responses
from mmsa.reports.naming import FEWEST_TRIALS
from mmsa.reports.path_runs import known_runs
from mmsa.reports.points import TERMS, Floats
from mmsa.reports.search_charts import importance_bars, path_chart
from mmsa.reports.surrogate import Forest

_MOST_BARS, _MOST_COEFFICIENTS, _COLUMNS, _MOST_COLUMNS = 16, 12, 5, 10
_FIRST = ("target/fusion", "mimrl/", "fusion/", "invariant/", "target/")
"""Which quantities come first in pictures: what the fused vector knows, then what coefficients ask for."""


def importance_section(evidence: Evidence) -> Section:
    """Which choices decide whether a trial is among the best, and which move what is measured."""
    found, axes = evidence.importance, evidence.axes
    if not axes or not evidence.trials:
        return Section("What mattered", [])
    if not found:
        ended = len(evidence.completed) + len(evidence.others)
        text = f"Importance needs {FEWEST_TRIALS} trials that ended; there are {ended}."
        if ended >= FEWEST_TRIALS:
            text = f"All {ended} trials that ended came to the same, whatever they chose."
        return Section("What mattered", [Paragraph(text)])
    order = sorted(range(len(axes)), key=lambda p: (not found[p].above_null, -found[p].share))
    shown = order[:_MOST_BARS]
    rows = [
        [
            axes[p].label,
            f"{found[p].share:.2f}",
            f"{found[p].low:.2f} to {found[p].high:.2f}",
            _ranks(found[p]),
            _told(found[p]),
        ]
        for p in shown
    ]
    num_told = sum(of.above_null for of in found)
    caption = (
        f"PED-ANOVA over {len(evidence.completed)} completed trials and {len(evidence.others)} that were "
        "stopped or diverged, "
        "which count as not among the best. Intervals of 90 % over resampled trials. "
        f"{num_told} of {len(axes)} choices matter more than shuffled results show, at 5 % over all together."
    )
    picture = importance_bars(
        [axes[p].label for p in shown], [found[p] for p in shown], "importance of choices"
    )
    text = (
        "Full bars exceed the shuffled null, hollow ones do not. A group of shares is its total; 0 and the "
        "range are one choice."
    )
    if len(order) > len(shown):
        text += f" {len(order) - len(shown)} more choices are below these."
    head = ["choice", "importance", "90 % interval", "rank", "above the null"]
    blocks: list[Block] = [
        Picture(picture, text),
        Table(caption, head, rows),
        *_of_information(evidence),
        *_ablations(evidence),
    ]
    return Section("What mattered", blocks)


def _ranks(of: Importance) -> str:
    return str(of.first) if of.first == of.last else f"{of.first} to {of.last}"


def _told(of: Importance) -> str:
    return "yes" if of.above_null else "no"


def _of_information(evidence: Evidence) -> list[Block]:
    by_quantity = evidence.importance_of_information
    if not by_quantity:
        if not evidence.quantities:
            return []
        text = f"Importance for measured information needs {FEWEST_TRIALS} completed trials that have it."
        return [Paragraph(text)]
    rows = []
    for name, found in by_quantity.items():
        told = sorted((p for p, of in enumerate(found) if of.above_null), key=lambda p: -found[p].share)
        first = max(range(len(found)), key=lambda p: found[p].share)
        words = ", ".join(f"{evidence.axes[p].label} ({found[p].share:.2f})" for p in told)
        largest = f"{evidence.axes[first].label} ({found[first].share:.2f}, rank {_ranks(found[first])})"
        known = int((~np.isnan(evidence.quantities[name])).sum())
        rows.append([name, str(known), words or "none", largest])
    caption = (
        "Which choices decide whether a trial has much of an information (its best quarter by that), among "
        "completed "
        "trials that have it. Measured on valid, in nats."
    )
    return [Table(caption, ["information", "trials", "choices above the null", "largest"], rows)]


def _ablations(evidence: Evidence) -> list[Block]:
    rows = [
        [
            of.axis.label,
            f"{decimals(of.off.mean())} ({len(of.off)})",
            f"{decimals(of.on.mean())} ({len(of.on)})",
            signed(of.on.mean() - of.off.mean()),
            f"{signed(of.low)} to {signed(of.high)}" if math.isfinite(of.low) else "-",
            of.told,
        ]
        for of in evidence.ablations
    ]
    if not rows:
        return []
    caption = (
        f"Ablations within the search: mean {evidence.metric} of completed trials (their number) with a "
        "coefficient at "
        "exactly 0 and above it. Intervals (Welch, of four trials or more on both sides) are of 95 % for all "
        "coefficients together, and still too narrow, since the sampler chose by results."
    )
    return [Table(caption, ["coefficient", "at 0", "above 0", "difference", "95 % interval", "told"], rows)]


def path_section(evidence: Evidence) -> Section:
    """From the defaults to the best trial, one choice at a time."""
    title, path, study, best = "From the defaults to the best", evidence.path, evidence.study, evidence.best
    if path is None or best is None:
        return Section(title, [])
    first, steps = path.first, path.steps
    if not steps:
        words = "runs" if path.start == path.end else "differs only in settings without an effect from"
        return Section(title, [Paragraph(f"The best trial {words} the defaults.")])
    known = known_runs(evidence.runs, study, path.start, path.end, steps)
    defaults = study.defaults()
    if defaults is not None and defaults.values:
        known[0] = defaults.values[0]
    if best.finalist_of is None:
        known[len(steps)] = best.values[0]
    rows = [["0", "the defaults", "-", decimals(first.value), _run(known, 0)]]
    before = first.value
    for number, step in enumerate(steps, 1):
        moves = "; ".join(
            f"{old} → {new}" if name == step.choice else f"{name.removeprefix(TERMS)}: {old} → {new}"
            for name, (old, new) in step.moves.items()
        )
        rows.append(
            [
                str(number),
                step.choice.removeprefix(TERMS),
                moves or "-",
                f"{decimals(step.guess.value)} ({signed(step.guess.value - before)})",
                _run(known, number),
            ]
        )
        before = step.guess.value
    caption = (
        "Each step takes the choice that helps most by a random forest, with what depends on it. Only runs "
        "are facts, and settings of terms that have no weight are no steps: "
        f"--run-path N runs the first N steps in earnest; {len(known)} of {len(rows)} points are known."
    )
    picture = path_chart(first, steps, known, evidence.metric, "from the defaults to the best trial")
    text = "Dots and bands are the forest's guesses with the middle 80 % of its trees; diamonds were run."
    head = ["step", "choice", "change", "guess", "run"]
    return Section(title, [Picture(picture, text), Table(caption, head, rows)])


def _run(known: Mapping[int, float], number: int) -> str:
    return decimals(known[number]) if number in known else "-"


def response_section(evidence: Evidence) -> Section:
    """How score and information follow each coefficient."""
    score = evidence.forest(evidence.values) if len(evidence.values) else None
    if score is None:
        return Section("What coefficients move", [])
    axes = evidence.axes
    num_done = len(evidence.completed)
    varied = [p for p, axis in enumerate(axes) if not axis.choices and _varies(evidence.points[:num_done, p])]
    order, what = [p for p in evidence.coefficient_axes if p in varied], "coefficients"
    if not order:
        order, what = varied, "settings"
    left_out = len(order) - _MOST_COEFFICIENTS
    if evidence.importance:
        order.sort(key=lambda p: -evidence.importance[p].share)
    order = sorted(order[:_MOST_COEFFICIENTS])
    if not order:
        return Section("What coefficients move", [])
    names = sorted(
        evidence.quantities,
        key=lambda name: next(n for n, prefix in enumerate(_FIRST) if name.startswith(prefix)),
    )
    forests: dict[str, Forest | None] = {evidence.metric: score}
    forests |= {name: evidence.forest(evidence.quantities[name]) for name in names}
    forests = {name: forest for name, forest in forests.items() if forest is not None}
    columns = [*forests][:_MOST_COLUMNS]
    moved = {
        name: dict(zip(order, forest.responses(order), strict=True))
        for name, forest in forests.items()
        if forest is not None and name in columns
    }
    pictures: list[Block] = []
    for first in range(0, len(columns), _COLUMNS):
        shown = columns[first : first + _COLUMNS]
        rows = [
            Moved(
                axes[p],
                [moved[name].get(p) for name in shown],
                evidence.points[:num_done, p],
                evidence.points[num_done:, p],
            )
            for p in order
        ]
        text = "The same of more quantities."
        if not pictures:
            text = (
                f"Each row is one of the {what}, each column a quantity (information in nats) with one scale "
                "for all rows. Curve: mean of a random forest, all else as in the trials; band: the middle "
                "80 % of its trees; the separate dot on the left: at exactly 0. Dots below: trials, hollow "
                "ones were stopped early."
            )
        pictures.append(
            Picture(coefficient_responses(rows, shown, f"how {what} move {', '.join(shown)}"), text)
        )
    more = [Paragraph(f"Left out are {left_out} of less importance.")] if left_out > 0 else []
    return Section("What coefficients move", [*pictures, *more])


def _varies(value_N: Floats) -> bool:
    return len(np.unique(value_N[~np.isnan(value_N)])) > 1
