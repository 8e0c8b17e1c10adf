"""The coefficients of information in a space, by level, and what they undo of each other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from mmsa.data.corpus import ModalityName
from mmsa.information.target.mimrl import Between, Estimate
from mmsa.objectives.base import InformationCoefficient
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.space.parameters import CategoricalParameter
from mmsa.search.space.shares import Coefficient

_TERMS = "objective.terms"
_LEVELS = ("input", "fusion")
_NOTHING = 1e-12


@dataclass(frozen=True)
class SearchedCoefficient:
    """A coefficient that the base gives or the space searches.

    Attributes:
        term: Name of its term.
        given: What the term says of it.
        weight: Of the term in the base.
        config: Of the study.
    """

    term: str
    given: InformationCoefficient
    weight: float
    config: StudyConfig

    @property
    def path(self) -> str:
        """Dotted path of the setting."""
        return f"{_TERMS}.{self.term}.{self.given.path}"

    @property
    def weight_path(self) -> str:
        """Dotted path of the weight of its term."""
        return f"{_TERMS}.{self.term}.weight"

    @property
    def amount(self) -> float:
        """What multiplies the information in the loss of the base."""
        return self.weight * self.given.value

    def may_act(self) -> bool:
        """Whether the base or any point of the space has it above 0."""
        settings = ((self.weight_path, self.weight), (self.path, self.given.value))
        return all(value > 0 or path in self.config.space.parameters for path, value in settings)

    def cells(self) -> tuple[str, ...]:
        """What is printed of it: name, value in the base, range, estimators, information."""
        formulas = (
            f"{'+' if share > 0 else '-'} {part.formula}" for part, share in self.given.raises.items()
        )
        value = self.weight if self.given.path == "weight" else self.given.value
        estimators = (
            self.in_space(f"{_TERMS}.{self.term}.{path}", name) if path else name
            for path, name in self.given.estimators.items()
        )
        return (
            f"{self.term}.{self.given.path}",
            f"{value:g}",
            self.in_space(self.path, "fixed"),
            " and ".join(dict.fromkeys(estimators)),
            " ".join(formulas).removeprefix("+ "),
        )

    def in_space(self, path: str, otherwise: str) -> str:
        """What the space may make of a setting, or ``otherwise`` if it is not searched."""
        parameter = self.config.space.parameters.get(path)
        if isinstance(parameter, CategoricalParameter):
            return " | ".join(map(str, parameter.choices))
        if isinstance(parameter, Coefficient):
            return f"a share of {parameter.group}"
        return otherwise if parameter is None else parameter.rule().removeprefix("must be ")


def searched_coefficients(
    config: StudyConfig, modalities: Collection[ModalityName]
) -> list[SearchedCoefficient]:
    """The coefficients that may be above 0 in a trial on data with these modalities."""
    objective = config.base.objective
    found = (
        SearchedCoefficient(name, coefficient, term.weight, config)
        for name, term in objective.terms.items()
        for coefficient in objective.kind_of(name).coefficients(term, modalities)
    )
    return [coefficient for coefficient in found if coefficient.may_act()]


def level_lines(config: StudyConfig, modalities: Collection[ModalityName]) -> Iterator[str]:
    """A table of the coefficients of information by level, and warnings of what cancels."""
    found = searched_coefficients(config, modalities)
    if not found:
        return
    yield "coefficients of information (value in the base, range, estimator, what they raise):"
    by_level = {level: [c.cells() for c in found if c.given.level == level] for level in _LEVELS}
    rows = [row for members in by_level.values() for row in members]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for level, members in by_level.items():
        if members:
            yield f"  {level} level"
        for row in members:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            yield f"    {'  '.join(cells).rstrip()}"
    weights = {c.term: f"{c.term} {c.weight:g} ({c.in_space(c.weight_path, 'fixed')})" for c in found}
    yield f"  each times the weight of its term: {'; '.join(weights.values())}"
    yield from (f"warning: {line}" for line in opposed(found))


def opposed(found: Sequence[SearchedCoefficient]) -> Iterator[str]:
    """A sentence for each information that one term raises and another lowers."""
    # What MIMRL's own coefficients subtract from each other is of the published form, and told by the term.
    by_information: dict[Estimate, list[tuple[SearchedCoefficient, Between, float]]] = {}
    for coefficient in found:
        for part, share in coefficient.given.raises.items():
            by_information.setdefault(part.estimate, []).append((coefficient, part, share))
    for members in by_information.values():
        raising = [(c, part) for c, part, share in members if share > 0]
        lowering = [(c, part) for c, part, share in members if share < 0]
        if not any(c.term != other.term for c, _ in raising for other, _ in lowering):
            continue
        part = raising[0][1]
        net = sum(c.amount * share for c, _, share in members)
        total = sum(c.amount * abs(share) for c, _, share in members)
        cancels = total > 0 and abs(net) <= _NOTHING * total
        up, down = (", ".join(dict.fromkeys(c.path for c, _ in side)) for side in (raising, lowering))
        yield (
            f"{part.formula} is raised by {up} and lowered by {down}, so that one undoes the other"
            f"{', entirely in the base' if cancels else ''}; keep one of the two"
        )
