"""Drawings as SVG elements for report pages, and scales that turn values into places.

Colours come from classes of ``mmsa.reports.style``, so that a drawing follows the page into dark mode.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

WIDTH = 760.0
"""Of a drawing, in its own units: about pixels on a page of 800."""

Point = tuple[float, float]
_TEXT, _SMALL = 12.0, 11.0
"""Sizes of text in ``mmsa.reports.style``, in units of a drawing."""
_NARROW, _WIDE = frozenset("fijlrtI.,:;|!'/()[] "), frozenset("mwMW@%…→")


@dataclass(frozen=True)
class Scale:
    """Places of values along one direction of a drawing.

    Attributes:
        low: value at ``start``.
        high: value at ``end``.
        start: place, in units of the drawing.
        end: place; before ``start`` if the direction is reversed.
        log: whether equal ratios have equal lengths.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float, *, room: float = 0.06) -> Scale:
        """A linear scale of all values, with some room on both sides."""
        low, high = min(values, default=0.0), max(values, default=1.0)
        spare = (high - low) * room or abs(high) * room or 1.0
        return cls(low - spare, high + spare, start, end)

    def __call__(self, value: float) -> float:
        """The place of a value; values outside are moved to the nearer end."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values at about equal distances: decades if logarithmic."""
        if self.log:
            exponents = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            decades = [10.0**exponent for exponent in exponents]
            return decades[:: math.ceil(len(decades) / most)] if decades else [self.low, self.high]
        rough = (self.high - self.low) / most
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * (1 - 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(number * step, 12) for number in range(first, last + 1)]


def spelled(value: float, apart: float = math.inf) -> str:
    """A value on an axis, as short as it is clear.

    Args:
        value: to spell.
        apart: how far it is from the next one, from which it has to be told.
    """
    if value == 0:
        return "0"
    digits = 4
    if apart > 0 and math.isfinite(apart):
        digits = max(digits, math.floor(math.log10(abs(value))) - math.floor(math.log10(apart)) + 1)
    return f"{value:.{min(digits, 15)}g}".replace("e-0", "e-").replace("e+0", "e")


class Drawing:
    """An SVG element under construction.

    Args:
        height: in units of the drawing.
        title: what it shows, for those who do not see it.
        width: likewise.
    """

    def __init__(self, height: float, title: str, width: float = WIDTH):
        self.width, self.height, self._title = width, height, title
        self._parts: list[str] = []

    def svg(self) -> str:
        """The element."""
        box = f"0 0 {_short(self.width)} {_short(self.height)}"
        head = f'<svg viewBox="{box}" role="img">'
        return f"{head}<title>{escape(self._title)}</title>{''.join(self._parts)}</svg>"

    def text(
        self, x: float, y: float, words: str, css: str = "", anchor: str = "start", room: float = math.inf
    ) -> None:
        """Write words whose base line begins, is centred (``middle``) or ends (``end``) at a place.

        Words that are wider than ``room`` lose their beginning: the end tells settings apart.
        """
        words = _clipped(words, room, css)
        side = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self._add(f'<text x="{_short(x)}" y="{_short(y)}"{_css(css)}{side}>{escape(words)}</text>')

    def line(self, start: Point, end: Point, css: str) -> None:
        """Draw a straight line."""
        (x1, y1), (x2, y2) = start, end
        at = f'x1="{_short(x1)}" y1="{_short(y1)}" x2="{_short(x2)}" y2="{_short(y2)}"'
        self._add(f"<line {at}{_css(css)}/>")

    def bar(
        self, x1: float, x2: float, y: float, height: float, css: str, tip: str = "", opacity: float = 1.0
    ) -> None:
        """Fill a rectangle between two places across, whichever is first."""
        left, right = min(x1, x2), max(x1, x2)
        at = f'x="{_short(left)}" y="{_short(y)}" width="{_short(right - left)}" height="{_short(height)}"'
        faint = "" if opacity == 1.0 else f' opacity="{opacity:.2f}"'
        self._add(f"<rect {at}{_css(css)}{faint}{_tip('rect', tip)}")

    def dot(self, x: float, y: float, radius: float, css: str, tip: str = "") -> None:
        """Draw a circle."""
        at = f'cx="{_short(x)}" cy="{_short(y)}" r="{_short(radius)}"'
        self._add(f"<circle {at}{_css(css)}{_tip('circle', tip)}")

    def path(self, points: Sequence[Point], css: str, *, closed: bool = False) -> None:
        """Draw a line through points, closed for an area; nothing for fewer than two."""
        if len(points) > 1:
            way = " ".join(f"{_short(x)},{_short(y)}" for x, y in points)
            self._add(f'<path d="M{way}{"Z" if closed else ""}"{_css(css)}/>')

    def strokes(self, strokes: Sequence[tuple[Point, Point]], css: str) -> None:
        """Draw many straight lines as one element, which keeps pages of thousands of trials small."""
        if strokes:
            way = "".join(
                f"M{_short(x1)},{_short(y1)}L{_short(x2)},{_short(y2)}" for (x1, y1), (x2, y2) in strokes
            )
            self._add(f'<path d="{way}"{_css(css)}/>')

    def dots(self, places: Sequence[Point], css: str) -> None:
        """Draw many small dots as one element: lines of no length with round ends."""
        if places:
            way = "".join(f"M{_short(x)},{_short(y)}h0" for x, y in places)
            self._add(f'<path d="{way}"{_css(css)}/>')

    def bottom_axis(self, scale: Scale, y: float, label: str, *, top: float | None = None) -> None:
        """Draw ticks below ``y``, with faint lines up to ``top``, and a label."""
        self.line((scale.start, y), (scale.end, y), "axis")
        ticks = scale.ticks()
        for tick in ticks:
            x = scale(tick)
            self.line((x, y + 4), (x, y if top is None else top), "axis")
            self.text(x, y + 16, spelled(tick, _apart(ticks)), "soft small", "middle")
        self.text((scale.start + scale.end) / 2, y + 32, label, "soft", "middle")

    def left_axis(self, scale: Scale, x: float, *, right: float | None = None, most: int = 4) -> None:
        """Draw ticks left of ``x``, with faint lines to ``right``."""
        ticks = scale.ticks(most)
        for tick in ticks:
            y = scale(tick)
            self.line((x - 3, y), (x if right is None else right, y), "axis")
            self.text(x - 6, y + 4, spelled(tick, _apart(ticks)), "soft small", "end")

    def _add(self, part: str) -> None:
        self._parts.append(part)


def _apart(ticks: Sequence[float]) -> float:
    """Their smallest distance."""
    return min((after - before for before, after in pairwise(ticks)), default=math.inf)


def _clipped(words: str, room: float, css: str) -> str:
    """Words that fit into so much room in any usual font."""
    size = _SMALL if "small" in css else _TEXT
    most = room / (1.1 * size if "strong" in css else size)
    if sum(map(_breadth, words)) <= most:
        return words
    kept = len(words)
    while kept and sum(map(_breadth, words[-kept:])) + _breadth("…") > most:
        kept -= 1
    return f"…{words[len(words) - kept :]}"


def _breadth(letter: str) -> float:
    """Of a letter, as a part of the size of its font; of the wider ones of usual fonts."""
    if letter in _WIDE or unicodedata.east_asian_width(letter) in "WF":
        return 1.0
    return 0.42 if letter in _NARROW else 0.78 if letter.isupper() else 0.62


def _short(number: float) -> str:
    """A place to a tenth of a unit."""
    text = f"{number:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"


def _css(css: str) -> str:
    return f' class="{css}"' if css else ""


def _tip(tag: str, tip: str) -> str:
    return f"><title>{escape(tip)}</title></{tag}>" if tip else "/>"
