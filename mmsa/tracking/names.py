"""Names of metrics in MLflow: few, and in few sections.

MLflow opens a section of charts for everything that stands before the last slash of a name, and a column for
every name. So a run gets the numbers that are read side by side; the rest is in its tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mmsa.information.panel import METRIC as INFORMATION
from mmsa.interface import VALID
from mmsa.measurement import ABSENT, Measurement

MOST_CURVES = 7
MOST_BEST = 8
MOST_INFORMATION = 10
"""Together 25 names for a trial."""

_BEST = "best/"
_LOSS = "train/loss"
_SECTIONS = ("loss/", "bound/", VALID, "train/")
"""Of curves, in the order in which they get a place after the objectives and the loss."""
_FAMILIES = ("target", "mimrl", "fusion", "invariant", "conditional")
"""Of information, the most wanted first. A decomposition is brackets, and so a table."""
_WITHOUT_NUMBER = (*ABSENT, "disagree", "incoherent", "saturated")
_ENDS = ("/low", "/high")


def in_mlflow(name: str) -> str:
    """A metric's name with one slash, so that it opens no section of its own.

    Examples:
        >>> in_mlflow("information/target/text")
        'information/target.text'
    """
    section, slash, rest = name.partition("/")
    return f"{section}{slash}{rest.replace('/', '.')}"


def best_name(objective: str) -> str:
    """The metric with the value at the best epoch; of information it is the measurement's own.

    Examples:
        >>> best_name("valid/mae"), best_name("information/target/text")
        ('best/valid/mae', 'information/target.text')
    """
    return in_mlflow(objective) if objective.startswith(INFORMATION) else f"{_BEST}{objective}"


def chosen_curves(epochs: Mapping[int, Mapping[str, float]], objectives: Sequence[str]) -> list[str]:
    """The metrics of which a run gets curves.

    An epoch more never takes away a name that the epochs before it gave.
    """
    chosen: dict[str, None] = {}
    for epoch in sorted(epochs):
        for name in sorted(epochs[epoch], key=lambda name: _place(name, objectives)):
            if len(chosen) < MOST_CURVES and _place(name, objectives) < (len(_SECTIONS) + 2, ""):
                chosen.setdefault(name)
    return list(chosen)


def _place(name: str, objectives: Sequence[str]) -> tuple[int, str]:
    if name in objectives and not name.startswith(INFORMATION):
        return 0, f"{objectives.index(name):06}"
    if name == _LOSS:
        return 1, ""
    sections = (place for place, section in enumerate(_SECTIONS, 2) if name.startswith(section))
    return next(sections, len(_SECTIONS) + 2), name


def of_epoch(metrics: Mapping[str, float], chosen: Iterable[str]) -> dict[str, float]:
    """What a run is told of an epoch, by its name in MLflow: the chosen curves, and information."""
    shown = {in_mlflow(name): metrics[name] for name in chosen if name in metrics}
    measured = {
        name.removeprefix(INFORMATION): value
        for name, value in metrics.items()
        # Without an interval it is a ceiling: the truth may lie far above it.
        if name.startswith(INFORMATION) and not name.endswith(_ENDS) and f"{name}/low" in metrics
    }
    return shown | {in_mlflow(INFORMATION + name): measured[name] for name in _wanted(measured)}


def of_best(best: Mapping[str, float]) -> dict[str, float]:
    """The metrics of a best epoch, objectives first, by name in MLflow."""
    return {best_name(name): value for name, value in list(best.items())[:MOST_BEST]}


def of_information(information: Mapping[str, Measurement], scope: str = "") -> dict[str, float]:
    """The measurements that are plain numbers, in nats, by name in MLflow.

    What is saturated, contradicts itself or was not measured is in the table only: a chart would show it as
    a number like the others.

    Args:
        information: by name.
        scope: what it was measured on, if that is not valid.
    """
    numbers = {
        name: m.value
        for name, m in information.items()
        if m.status not in _WITHOUT_NUMBER and m.value is not None
    }
    return {in_mlflow(f"{INFORMATION}{scope}{name}"): numbers[name] for name in _wanted(numbers)}


def _wanted(names: Iterable[str]) -> list[str]:
    """Names of quantities that get a number, in the order of their families."""
    place = {family: position for position, family in enumerate(_FAMILIES)}
    known = [name for name in names if name.partition("/")[0] in place]
    return sorted(known, key=lambda name: place[name.partition("/")[0]])[:MOST_INFORMATION]
