"""Pictures of information: what one data set rewards, what several do, and what coefficients move.

A place, a shape or a word says what a colour says. Amounts are never stacked: brackets do not add up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmsa.reports.composition import Bracket, Part
from mmsa.reports.drawing import WIDTH, Drawing, Scale, spelled
from mmsa.reports.points import Axis, Floats
from mmsa.reports.surrogate import Guess, Response

HUES: Mapping[Part, int] = {"alone": 3, "redundancy": 0, "unique": 1, "synergy": 2, "total": 3}
_LEFT, _RIGHT, _ROW = 200.0, WIDTH - 80.0, 24.0
_PANEL_LEFT, _PANEL, _PANEL_HEIGHT, _GAP = 176.0, 104.0, 56.0, 12.5
_SAME = 1e-9  # of their size: guesses that are nearer to each other are equal
Ghosts = Mapping[str, tuple[float, float]]
"""Least and most of each part in planted data of about the same size."""


def rewarded_information(
    brackets: Sequence[Bracket], ghosts: Ghosts, label: str, title: str, most: float
) -> str:
    """Picture A: one row for each kind of information and the modalities that have it.

    Args:
        brackets: in the order of the rows.
        ghosts: of planted data; empty without any.
        label: of the axis.
        title: for those who do not see the picture.
        most: the end of the axis.
    """
    rows = _ROW * len(brackets)
    drawing = Drawing(rows + 60, title)
    scale = Scale(0.0, most, _LEFT, _RIGHT)
    drawing.bottom_axis(scale, rows + 12, label, top=6)
    before: Part | None = None
    for number, bracket in enumerate(brackets):
        y = 8 + number * _ROW
        if before not in (None, bracket.part):
            drawing.line((10, y - 1), (_RIGHT, y - 1), "axis")
        before = bracket.part
        _bracket_row(drawing, bracket, ghosts.get(bracket.part), scale, y)
    return drawing.svg()


def _bracket_row(
    drawing: Drawing, bracket: Bracket, ghost: tuple[float, float] | None, scale: Scale, y: float
) -> None:
    hue, middle = HUES[bracket.part], y + 10
    name = f"{bracket.part}: {bracket.members}"
    if bracket.part == "alone":
        name = "all, fused" if bracket.members == "fusion" else f"{bracket.members} alone"
    drawing.text(_LEFT - 10, middle + 4, name, anchor="end", room=_LEFT - 10)
    if bracket.null is not None:
        drawing.bar(scale(0.0), scale(bracket.null), y + 2, 16, "null", "what nothing gives")
    if ghost is not None:
        left = scale(ghost[0])
        right = max(scale(ghost[1]), left + 3)  # of a frame without any width nothing is drawn
        drawing.bar(left, right, y + 15, 8, "ghost", "planted data of this size")
        drawing.line((left, y + 19), (right, y + 19), "ghost")
    drawing.line((scale(bracket.low), middle), (scale(bracket.high), middle), f"l{hue}")
    tip = f"{name}: {_span(bracket)}"
    if bracket.most > bracket.least:
        css = f"f{hue}" if bracket.told else f"o{hue}"
        drawing.bar(scale(bracket.least), scale(bracket.most), y + 5, 10, css, tip)
    else:
        drawing.dot(scale(bracket.most), middle, 5, f"f{hue}" if bracket.told else f"o{hue}", tip)
    end = "→ at least" if bracket.saturated else _span(bracket)
    if not bracket.told:
        end = "contradicted" if bracket.contradicted else "none"
    drawing.text(_RIGHT + 8, middle + 4, end, "soft small")


def _span(bracket: Bracket) -> str:
    least, most = max(0.0, bracket.least), max(0.0, bracket.most)
    return f"{most:.2f}" if most - least < 0.005 else f"{least:.2f}–{most:.2f}"


@dataclass(frozen=True)
class Cell:
    """A share with its interval.

    Attributes:
        value: of the entropy of the label.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float

    def text(self) -> str:
        """The share with its interval."""
        return f"{self.value:.2f} ({max(0.0, self.low):.2f} to {self.high:.2f})"


def kinds_by_data_set(
    rows: Sequence[tuple[str, Mapping[str, Cell | None], str]], columns: Sequence[str], title: str
) -> str:
    """Picture B: data sets by kinds of information, the darker the surer, with the dominant modality beside.

    Args:
        rows: name of the data set, a cell for each column (None where nothing was measured), and the words
            in the margin.
        columns: names of the kinds.
        title: for those who do not see the picture.
    """
    left, margin, height = 130.0, 130.0, 34.0
    width = (WIDTH - left - margin) / len(columns)
    drawing = Drawing(30 + height * len(rows) + 6, title)
    for place, column in enumerate(columns):
        drawing.text(left + (place + 0.5) * width, 18, column, "soft small", "middle")
    drawing.text(WIDTH - margin + 8, 18, "dominant modality", "soft small")
    for number, (name, cells, words) in enumerate(rows):
        y = 26 + number * height
        drawing.text(left - 8, y + 20, name, anchor="end", room=left - 8)
        for place, column in enumerate(columns):
            x = left + place * width
            cell = cells.get(column)
            drawing.bar(x + 1, x + width - 1, y, height - 3, "band")
            if cell is None:
                drawing.text(x + width / 2, y + 20, "-", "soft", "middle")
                continue
            sure = min(max(cell.low, 0.0), 1.0)
            if sure > 0:
                drawing.bar(x + 1, x + width - 1, y, height - 3, "f0", cell.text(), opacity=0.12 + 0.6 * sure)
            drawing.text(x + width / 2, y + 14, f"{cell.value:.2f}", "strong", "middle")
            span = f"{max(0.0, cell.low):.2f} to {cell.high:.2f}"
            drawing.text(x + width / 2, y + 26, span, "small", "middle")
        drawing.text(WIDTH - margin + 8, y + 20, words, "small")
    return drawing.svg()


@dataclass(frozen=True)
class Moved:
    """What one coefficient does to several quantities.

    Attributes:
        axis: the coefficient.
        responses: of each quantity, in the order of the columns; None where there are too few trials.
        completed: its values in completed trials.
        others: its values in trials that were stopped early.
    """

    axis: Axis
    responses: Sequence[Response | None]
    completed: Floats
    others: Floats


def coefficient_responses(moved: Sequence[Moved], columns: Sequence[str], title: str) -> str:
    """Picture C: a row for each coefficient, a column for each quantity; an exact 0 has a place of its own.

    Args:
        moved: the rows.
        columns: names of the quantities.
        title: for those who do not see the picture.
    """
    pitch = _PANEL_HEIGHT + 34
    # As wide as other drawings, however few columns there are: the page gives all of them its own width.
    drawing = Drawing(44 + pitch * len(moved), title)
    for place, scale in enumerate(_column_scales(moved, len(columns))):
        x = _PANEL_LEFT + place * (_PANEL + _GAP)
        drawing.text(x + _PANEL / 2, 14, columns[place], "small strong", "middle", _PANEL + _GAP)
        if scale is not None:
            low, high = (spelled(end, scale[1] - scale[0]) for end in scale)
            drawing.text(x + _PANEL / 2, 29, f"{low} to {high}", "soft small", "middle", _PANEL + _GAP)
        for number, row in enumerate(moved):
            y = 38 + number * pitch
            response = row.responses[place]
            drawing.bar(x, x + _PANEL, y, _PANEL_HEIGHT, "band")
            if response is None or scale is None:
                continue
            across = _across(row.axis, x)
            up = Scale(scale[0], scale[1], y + _PANEL_HEIGHT - 4, y + 4)
            _curve(drawing, response, across, up, x)
            _rug(drawing, row, across, x, y + _PANEL_HEIGHT + 4)
    for number, row in enumerate(moved):
        y = 38 + number * pitch
        drawing.text(_PANEL_LEFT - 8, y + 24, row.axis.label, "small strong", "end", _PANEL_LEFT - 8)
        log = ", log" if row.axis.log else ""
        zero = ", and 0" if row.axis.has_zero and row.axis.low > 0 else ""
        span = f"{spelled(row.axis.low)} to {spelled(row.axis.high)}{log}{zero}"
        drawing.text(_PANEL_LEFT - 8, y + 40, span, "soft small", "end")
    return drawing.svg()


def _column_scales(moved: Sequence[Moved], columns: int) -> list[tuple[float, float] | None]:
    """One scale for each quantity, so that coefficients are compared by height."""
    found: list[tuple[float, float] | None] = []
    for place in range(columns):
        guesses: list[Guess] = []
        for response in (row.responses[place] for row in moved):
            if response is not None:
                guesses += [*response.curve, *([response.zero] if response.zero else [])]
        low, high = min((g.low for g in guesses), default=0.0), max((g.high for g in guesses), default=0.0)
        if high - low <= _SAME * abs(high):
            low, high = low - 0.05 * (abs(low) or 1.0), high + 0.05 * (abs(high) or 1.0)
        # Outwards to what is a hundredth of their distance at most, so that the ends are short to tell.
        grain = 10.0 ** (math.floor(math.log10(high - low)) - 1)
        ends = grain * math.floor(low / grain), grain * math.ceil(high / grain)
        found.append(ends if guesses else None)
    return found


def _across(axis: Axis, x: float) -> Scale:
    start = x + (18 if axis.has_zero else 6)
    return Scale(axis.low, axis.high, start, x + _PANEL - 6, axis.log)


def _curve(drawing: Drawing, response: Response, across: Scale, up: Scale, x: float) -> None:
    upper = [(across(at), up(g.high)) for at, g in zip(response.at, response.curve, strict=True)]
    lower = [(across(at), up(g.low)) for at, g in zip(response.at, response.curve, strict=True)]
    drawing.path([*upper, *reversed(lower)], "t0", closed=True)
    drawing.path([(across(at), up(g.value)) for at, g in zip(response.at, response.curve, strict=True)], "l0")
    if response.zero is not None:
        zero = response.zero
        drawing.line((x + 8, up(zero.low)), (x + 8, up(zero.high)), "l1")
        drawing.dot(x + 8, up(zero.value), 3, "f1", f"at exactly 0: {zero.value:.4g}")


def _rug(drawing: Drawing, row: Moved, across: Scale, x: float, y: float) -> None:
    """Where trials were: full dots for completed ones, hollow ones for those that were stopped early."""
    for values_N, is_hollow in ((row.others, True), (row.completed, False)):
        known_N = values_N[~np.isnan(values_N)]
        places = [
            (x + 8 if row.axis.has_zero and value == 0 else across(value), y + (5 if is_hollow else 0))
            for value in known_N.tolist()
        ]
        drawing.dots(sorted({(round(px, 1), py) for px, py in places}), "rug")
        if is_hollow:
            drawing.dots(sorted({(round(px, 1), py) for px, py in places}), "hole")
