"""The section of a study's report on what to do next: with this study, and on the next data set."""

from __future__ import annotations

import math

import numpy as np

from mmsa.data.ledger import LEDGER, Ledger
from mmsa.interface import ReferencePoint, counted, decimals, signed
from mmsa.reports.document import Block, Paragraph, Section, Table
from mmsa.reports.evidence import Evidence
from mmsa.reports.path_runs import known_runs
from mmsa.reports.points import Axis
from mmsa.reports.sources import Composition
from mmsa.results.compared import COMPARED, PAGE, EarlierComparison

_TITLE = "What to do next"
_MOST_COMPARED, _STEPS = 5, 3


def next_section(evidence: Evidence, source: Composition | None) -> Section:
    """What the evidence asks for; commands are for the folder of runs that is the default."""
    study = evidence.study
    if evidence.best is None:
        return Section(_TITLE, [Paragraph(_without_result(evidence))] if evidence.trials else [])
    blocks: list[Block] = []
    if ahead := evidence.ahead:
        blocks.append(Paragraph(_simpler(evidence, ahead[0])))
    if study.remaining:
        left = counted(study.remaining, "trial")
        begin = "Then search on" if ahead else "Search on"  # what is simpler comes first, as it says itself
        blocks.append(Paragraph(f"{begin}, for {left} of {study.asked}: the same command goes on."))
    blocks += _choice(evidence)
    blocks += _knowledge(evidence, source)
    blocks += _elsewhere(evidence)
    return Section(_TITLE, blocks)


def _without_result(evidence: Evidence) -> str:
    """How to get at a first completed trial."""
    failed, left = sum(trial.failed for trial in evidence.trials), evidence.study.remaining
    again = "run the same search again" + ("" if left else " with --retry-failed" if failed else "")
    if failed:
        return f"{counted(failed, 'trial')} failed: mend what the section on failures names, then {again}."
    if left:
        return f"To go on, {again}."
    return (
        "Every trial that was asked for was stopped early: give the scheduler a longer grace, or ask for "
        "more trials with --trials +N."
    )


def _simpler(evidence: Evidence, point: ReferencePoint) -> str:
    """What to think of a reference with a better value than the best trial, which valid chose."""
    gain, value = point.gains.get(evidence.metric), point.metrics[evidence.metric]
    told = f"Look at what is simpler first: {point.spoken} has {decimals(value)}, better than the best trial"
    assert evidence.best is not None
    if gain is None or point.compared_with != evidence.best.number:
        return f"{told}. Until their rows are compared, more trials are worth less than finding out why."
    span = f"{signed(gain.low)} to {signed(gain.high)}"
    if gain.high < 0:
        return f"{told}, and surely so (gain {span}): more trials are worth less than finding out why."
    return f"{told}; rows of valid do not tell the two apart (gain {span}), so that the simpler one will do."


def _choice(evidence: Evidence) -> list[Block]:
    """Which configuration to take."""
    assert evidence.best is not None
    name, tied = evidence.study.name, len(evidence.tied)
    earlier = EarlierComparison.of(evidence.runs, name)
    if earlier is not None and evidence.best.number in earlier.trials:
        return _taken(name, earlier)
    closed = "" if evidence.study.nature.has_test else "there is no test split"
    if not closed and Ledger(evidence.runs / LEDGER).openings_of(name, ""):
        closed = "test has been opened for this study, and what is chosen now is no longer tested by it"
    only = " --valid-only" if closed else ""
    if tied > 1:
        once = f" on valid; {closed}." if closed else ", and test is opened once, for all of them."
        words = (
            f"Valid cannot tell {tied} trials apart. Fresh seeds can: the best ones and the defaults are "
            f"trained anew and compared{once}"
        )
        command = f"python launch/compare.py --study {name} --top {min(tied, _MOST_COMPARED)} --seeds 5{only}"
    else:
        first = f"Trial {evidence.best.number} is ahead by more than its standard error."
        if len(evidence.study.completed(evidence.best.stage)) == 1:
            first = f"Trial {evidence.best.number} is the only one that has completed."
        elif evidence.standard_error(evidence.best) is None:
            first = (
                f"How surely trial {evidence.best.number} is ahead is not known: it has no standard error."
            )
        where = f"on valid, which chose it; {closed}" if closed else "on test"
        words = f"{first} How good it is, say fresh seeds {where}:"
        command = (
            f"python launch/export.py --study {name} --out {name}-best.yaml\n"
            f"python launch/retrain.py --config {name}-best.yaml --seeds 5"
        )
        if closed:
            command = f"python launch/compare.py --study {name} --top 1 --seeds 5{only}"
    return [Paragraph(words), Paragraph(command, is_code=True)]


def _taken(name: str, earlier: EarlierComparison) -> list[Block]:
    page = f"{COMPARED}/{name}/{PAGE} in the folder of runs"
    words = f"{earlier.num_seeds} fresh seeds of each have said which ({page}): {earlier.text}."
    if earlier.trial is None:
        return [Paragraph(f"{words} The defaults are what the space says.")]
    command = f"python launch/export.py --study {name} --trial {earlier.trial} --out {name}-best.yaml"
    return [Paragraph(f"{words} To hand it on:"), Paragraph(command, is_code=True)]


def _knowledge(evidence: Evidence, source: Composition | None) -> list[Block]:
    """What can be known for a little more computing."""
    name, wanted = evidence.study.name, []
    informed = any(trial.information for trial in evidence.completed)
    if source is None and informed and evidence.study.nature.can_be_divided:
        wanted.append(f"python launch/report.py --study {name} --measure")
    path = evidence.path
    if path is not None and len(path.steps) > 1:
        known = known_runs(evidence.runs, evidence.study, path.start, path.end, path.steps)
        if not known.keys() & set(range(1, min(_STEPS, len(path.steps) - 1) + 1)):
            wanted.append(f"python launch/report.py --study {name} --run-path {_STEPS}")
    if not wanted:
        return []
    words = "What the data consist of, and which steps from the defaults really help, is not known yet:"
    if len(wanted) == 1:
        words = (
            "Which information the modalities share, and which they have alone, is not known yet:"
            if "--measure" in wanted[0]
            else "Which steps from the defaults really help is a forest's guess until they are run:"
        )
    return [Paragraph(words), Paragraph("\n".join(wanted), is_code=True)]


def _elsewhere(evidence: Evidence) -> list[Block]:
    """What to search on the next data set, and what to leave."""
    found = evidence.importance
    if not found:
        return []
    against = {of.axis.name: of.told for of in evidence.ablations}
    told = {name for name, words in against.items() if words != "not told apart"}
    quarter = math.ceil(len(evidence.completed) / 4)
    rows = []
    for p in sorted(range(len(found)), key=lambda p: -found[p].share):
        axis = evidence.axes[p]
        if not found[p].above_null and axis.name not in told:
            continue
        zero = against.get(axis.name, "-")
        value_N = evidence.points[:quarter, p]
        rows.append([axis.label, f"{found[p].share:.2f}", _range(axis, value_N[~np.isnan(value_N)]), zero])
    rest = len(found) - len(rows)
    if not rows:
        ended = len(evidence.completed) + len(evidence.others)
        words = (
            f"For the next data set: none of {counted(rest, 'choice')} is told from chance by "
            f"{counted(ended, 'trial')}. Begin "
            "with the defaults and the point of the best trial, and search the same space."
        )
        return [Paragraph(words)]
    others = (
        f" Not told from chance: {counted(rest, 'other choice')}; leave them at the defaults, or search them "
        "last."
    )
    caption = (
        "For the next data set: search these first, within what the best quarter of the trials has, and add "
        f"the best point as a start.{others if rest else ''} What matters here need not matter there."
    )
    return [Table(caption, ["choice", "importance", "in the best quarter", "against 0"], rows)]


def _range(axis: Axis, value_N: np.ndarray) -> str:
    if not len(value_N):
        return "-"
    if axis.choices:
        values, counts = np.unique(value_N, return_counts=True)
        return ", ".join(axis.spoken(float(values[n])) for n in np.argsort(-counts, kind="stable"))
    zeros = int((value_N == 0).sum()) if axis.has_zero else 0
    above_N = value_N[value_N != 0] if zeros else value_N
    words = (
        f"{axis.spoken(float(above_N.min()))} to {axis.spoken(float(above_N.max()))}" if len(above_N) else ""
    )
    return " or ".join(filter(None, [f"0 (×{zeros})" if zeros else "", words]))
