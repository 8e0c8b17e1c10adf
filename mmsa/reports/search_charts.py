"""Pictures of a search: its best trials, what mattered, its way, its rungs, its time, its Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmsa.interface import Outcome, decimals
from mmsa.reports.drawing import WIDTH, Drawing, Scale
from mmsa.reports.importance import Importance
from mmsa.reports.points import TERMS
from mmsa.reports.surrogate import Guess, Step

_LEFT, _RIGHT, _ROW = 210.0, WIDTH - 70.0, 22.0
_STROKES: Mapping[Outcome, str] = {
    "completed": "l0",
    "pruned": "lgrey",
    "running": "l2",
    "diverged": "lbad",
    "out_of_memory": "lbad",
    "failed": "lbad",
}


@dataclass(frozen=True)
class ScoredLine:
    """A trial, or something it is compared with, on one line.

    Attributes:
        name: for people.
        value: of the first objective.
        error: its standard error; None if unknown.
        is_tied: whether it is within one standard error of the best.
        is_trial: or else a reference point.
    """

    name: str
    value: float
    error: float | None
    is_tied: bool
    is_trial: bool = True


def best_trials(candidates: Sequence[ScoredLine], metric: str, tie: float | None, title: str) -> str:
    """The best trials with one standard error, and the reference points under them.

    Args:
        candidates: in the order of the rows.
        metric: the first objective.
        tie: the value up to which trials are tied with the best; None if unknown.
        title: for those who do not see the picture.
    """
    rows = _ROW * len(candidates)
    drawing = Drawing(rows + 56, title)
    ends = [c.value + side * (c.error or 0.0) for c in candidates for side in (-1, 1)]
    scale = Scale.around(ends, _LEFT, _RIGHT)
    drawing.bottom_axis(scale, rows + 8, metric, top=4)
    if tie is not None:
        drawing.line((scale(tie), 2), (scale(tie), rows + 8), "rule")
    for number, candidate in enumerate(candidates):
        y = 16 + number * _ROW
        drawing.text(_LEFT - 10, y + 4, candidate.name, anchor="end", room=_LEFT - 10)
        if candidate.error is not None:
            low, high = candidate.value - candidate.error, candidate.value + candidate.error
            drawing.line((scale(low), y), (scale(high), y), "l0" if candidate.is_trial else "lgrey")
        if candidate.is_trial:
            drawing.dot(scale(candidate.value), y, 4.5, "f0" if candidate.is_tied else "o0")
        else:
            drawing.bar(scale(candidate.value) - 4, scale(candidate.value) + 4, y - 4, 8, "grey")
        drawing.text(_RIGHT + 8, y + 4, decimals(candidate.value), "soft small")
    return drawing.svg()


def importance_bars(names: Sequence[str], found: Sequence[Importance], title: str) -> str:
    """A bar for each choice with its interval; hollow where shuffled results give as much.

    Args:
        names: of the choices, in the order of the rows.
        found: their importances.
        title: for those who do not see the picture.
    """
    rows = _ROW * len(names)
    drawing = Drawing(rows + 56, title)
    scale = Scale(0.0, max(of.high for of in found) * 1.05, 260.0, _RIGHT)
    drawing.bottom_axis(scale, rows + 8, "share of the importance for being in the best quarter", top=4)
    for number, (name, of) in enumerate(zip(names, found, strict=True)):
        y = 16 + number * _ROW
        drawing.text(250, y + 4, name, anchor="end", room=250)
        drawing.bar(scale(0.0), scale(of.share), y - 6, 12, "f0" if of.above_null else "o0")
        drawing.line((scale(of.low), y), (scale(of.high), y), "ink")
        ranks = f"rank {of.first}" if of.first == of.last else f"rank {of.first}–{of.last}"
        drawing.text(_RIGHT + 6, y + 4, ranks, "soft small")
    return drawing.svg()


def path_chart(
    first: Guess, steps: Sequence[Step], known: Mapping[int, float], metric: str, title: str
) -> str:
    """The way from the defaults to the best trial, guessed, with diamonds where it was run.

    Args:
        first: the guess at the defaults.
        steps: in order.
        known: values of runs by number of the step, 0 for the defaults.
        metric: the first objective.
        title: for those who do not see the picture.
    """
    guesses = [first, *(step.guess for step in steps)]
    names = ["defaults", *(f"+ {step.choice.removeprefix(TERMS)}" for step in steps)]
    rows = _ROW * len(guesses)
    drawing = Drawing(rows + 56, title)
    ends = [end for guess in guesses for end in (guess.low, guess.high)]
    scale = Scale.around([*ends, *known.values()], 280.0, _RIGHT)
    drawing.bottom_axis(scale, rows + 8, f"{metric}, by the surrogate", top=4)
    for number, (name, guess) in enumerate(zip(names, guesses, strict=True)):
        y = 16 + number * _ROW
        drawing.text(270, y + 4, name, anchor="end", room=270)
        drawing.bar(scale(guess.low), scale(guess.high), y - 5, 10, "t0")
        drawing.dot(scale(guess.value), y, 4, "f0")
        if number in known:
            x = scale(known[number])
            diamond = [(x, y - 6), (x + 6, y), (x, y + 6), (x - 6, y)]
            drawing.path(diamond, "f1", closed=True)
        shown = f"{decimals(known[number])} run" if number in known else decimals(guess.value)
        drawing.text(_RIGHT + 6, y + 4, shown, "soft small")
    return drawing.svg()


def survival(reached: Sequence[int], title: str) -> str:
    """How many trials reached each epoch.

    Args:
        reached: by epoch, counted from 1.
        title: for those who do not see the picture.
    """
    drawing = Drawing(190, title)
    across = Scale(1.0, max(2.0, float(len(reached))), 60.0, WIDTH - 30)
    up = Scale(0.0, max(reached) * 1.05, 140.0, 10.0)
    drawing.left_axis(up, 60, right=WIDTH - 30)
    drawing.bottom_axis(across, 140, "epoch")
    points: list[tuple[float, float]] = []
    for number, trials in enumerate(reached):
        x = across(number + 1.0)
        points += [(x, points[-1][1])] if points else []
        points.append((x, up(trials)))
    drawing.path(points, "l0")
    return drawing.svg()


@dataclass(frozen=True)
class Span:
    """A trial in time.

    Attributes:
        start: seconds since the first trial began.
        end: likewise.
        outcome: how it ended.
        value: of the first objective; None without a rank.
    """

    start: float
    end: float
    outcome: Outcome
    value: float | None


def timeline(spans: Sequence[Span], sign: float, metric: str, title: str) -> str:
    """When trials ran, and the best value so far.

    Args:
        spans: in the order of trials.
        sign: 1 where smaller values are better, otherwise -1.
        metric: the first objective.
        title: for those who do not see the picture.
    """
    lanes, ends = [], list[float]()
    for span in spans:  # the first lane that is free
        lane = next((n for n, end in enumerate(ends) if end <= span.start), len(ends))
        ends[lane : lane + 1] = [span.end]
        lanes.append(lane)
    pitch = min(10.0, 120.0 / max(1, len(ends)))
    bottom = 150 + pitch * len(ends)
    drawing = Drawing(bottom + 46, title)
    last = max((span.end for span in spans), default=1.0) or 1.0
    unit, word = (3600.0, "hours") if last > 7200 else (60.0, "minutes") if last > 120 else (1.0, "seconds")
    across = Scale(0.0, last / unit, 70.0, WIDTH - 30)
    drawing.bottom_axis(across, bottom, f"{word} since the first trial began")
    valued = sorted((span.end, span.value) for span in spans if span.value is not None)
    if valued:
        values = [value for _, value in valued]
        up = Scale.around(values, 130, 12)
        drawing.left_axis(up, 70, right=WIDTH - 30)
        drawing.dots([(across(end / unit), up(value)) for end, value in valued], "rug")
        best, way = sign * valued[0][1], list[tuple[float, float]]()
        for end, value in valued:
            better = min(best, sign * value)
            way += [(across(end / unit), up(sign * best)), (across(end / unit), up(sign * better))]
            best = better
        drawing.path([*way, (across(last / unit), up(sign * best))], "l1")
        drawing.text(74, 10, f"{metric}, and the best so far", "soft small")
    for outcome, css in _STROKES.items():
        strokes = [
            ((across(span.start / unit), y), (across(span.end / unit), y))
            for span, lane in zip(spans, lanes, strict=True)
            if span.outcome == outcome and (y := round(146 + pitch * (lane + 0.5), 1))
        ]
        drawing.strokes(strokes, css)
    return drawing.svg()


def front_chart(
    points: Sequence[tuple[int, Sequence[float]]],
    front: Sequence[int],
    metrics: Sequence[str],
    other: int,
    title: str,
) -> str:
    """The first objective against another one, with the trials of the Pareto front in colour.

    They are numbered as far as their numbers leave each other room, in the order of the front.

    Args:
        points: number and values of each completed trial.
        front: numbers of the trials on it.
        metrics: names of the objectives.
        other: index of the objective that goes up.
        title: for those who do not see the picture.
    """
    drawing = Drawing(330, title)
    across = Scale.around([values[0] for _, values in points], 80.0, WIDTH - 40)
    up = Scale.around([values[other] for _, values in points], 270.0, 24.0)
    drawing.left_axis(up, 80, right=WIDTH - 40, most=6)
    drawing.bottom_axis(across, 274, metrics[0])
    drawing.text(84, 14, metrics[other], "soft small")
    drawing.dots([(across(v[0]), up(v[other])) for n, v in points if n not in front], "rug")
    places = {number: (across(values[0]), up(values[other])) for number, values in points if number in front}
    numbered: list[tuple[float, float]] = []
    for number in filter(places.__contains__, front):
        x, y = places[number]
        drawing.dot(x, y, 5, "f1", f"trial {number}")
        if all(abs(x - taken_x) > 26 or abs(y - taken_y) > 11 for taken_x, taken_y in numbered):
            drawing.text(x + 8, y - 4, str(number), "small strong")
            numbered.append((x, y))
    return drawing.svg()
