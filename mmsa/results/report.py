"""The text report of a study: outcomes, best trials, and openings of test."""

from __future__ import annotations

from mmsa.data.ledger import Ledger, Opening
from mmsa.interface import TrialCard, short
from mmsa.ranking import ranked
from mmsa.results.test_information import information_table
from mmsa.search.definition.reported import reported_lines
from mmsa.search.study.cards import study_card, trial_card
from mmsa.search.study.view import StudyView
from mmsa.search.summary import reference_lines
from mmsa.tracking.artifacts import count_outcomes

_TOP = 5


def study_report(study: StudyView, ledger: Ledger) -> str:
    """The report that ``launch/report.py`` prints.

    Args:
        study: to report on.
        ledger: of the same folder of runs.
    """
    card = study_card(study)
    trials = [trial_card(study, record) for record in study.trials()]
    counts = ", ".join(
        f"{count} {outcome.replace('_', ' ')}" for outcome, count in count_outcomes(trials).items() if count
    )
    ran_defaults = study.defaults()
    defaults = None if ran_defaults is None else ran_defaults.number
    lines = [f"study {card.name} on {card.data_set}: {len(trials)} of {card.num_trials} trials begun"]
    lines += [f"  {counts or 'none yet'}"]
    for objective, (metric, direction) in enumerate(zip(card.metrics, card.directions, strict=True)):
        order = ranked(trials, card.directions, objective)
        lines += [f"best by {metric} ({direction}):", *_top(order, objective, defaults)]
    lines += [
        f"constant: {metric} {constant.value:.4f} (the {constant.name} of train for every row)"
        for metric in card.metrics
        if (constant := study.constant(metric)) is not None
    ]
    best = study.best()
    lines += reference_lines(study.references(), card.metrics[0], None if best is None else best.number)
    if best is not None:
        lines += information_table("of the best trial on valid", {f"trial {best.number}": best.information})
    lines += [f"note: {line}" for line in study.tested]
    lines += _test(ledger.openings_of(card.name, ""))
    return "\n".join([*lines, *reported_lines(study.config.reported)])


def _top(order: list[TrialCard], objective: int, defaults: int | None) -> list[str]:
    """Lines for the best trials, and for the defaults as a comparison."""
    if not order:
        return ["  no trial completed yet"]
    shown = order[:_TOP] + [trial for trial in order[_TOP:] if trial.number == defaults]
    head = ["  every trial breaks a bound on a metric"] if order[0].violation else []
    return head + [f"  {_line(trial, objective, defaults)}" for trial in shown]


def _line(trial: TrialCard, objective: int, defaults: int | None) -> str:
    params = ", ".join(f"{path}={short(value)}" for path, value in trial.params.items())
    mark = " (defaults)" if trial.number == defaults else ""
    broken = f" ({trial.reason})" if trial.violation else ""
    return f"{trial.values[objective]:.4f}  trial {trial.number}{mark}: {params}{broken}"


def _test(openings: list[Opening]) -> list[str]:
    if not openings:
        return ["test: never opened for this study"]
    lines = [f"test: opened {len(openings)} times for this study"]
    return lines + [f"  {opening.date}  {_opening(opening)}" for opening in openings]


def _opening(opening: Opening) -> str:
    changes = "".join(f", {path}={value}" for path, value in opening.overrides.items())
    num_fresh = len(opening.seeds) - (opening.selected is not None)
    what = f"trial {opening.trial}{changes}, {num_fresh} seeds"
    means = ", ".join(f"{name} {mean:.4f}" for name, mean in opening.means().items())
    return f"{what}: {means or 'nothing was recorded'}"
