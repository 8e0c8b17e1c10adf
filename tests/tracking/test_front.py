"""The Pareto front, its table and its picture."""

from __future__ import annotations

from itertools import product
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mmsa.interface import StudyCard, TrialCard
from mmsa.ranking import front_of, pareto_front
from mmsa.tracking.artifacts import front_csv, front_figure

STUDY = StudyCard("s", "i", "d", ("valid/mae", "valid/pearson"), ("minimize", "maximize"), 4, "")


def trial(number: int, *values: float, stage: str = "search", **known: Any) -> TrialCard:
    return TrialCard(number, "completed", {}, "", values, stage=stage, **known)


def dominates(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Minimise the first, maximise the second, minimise the third."""
    better = [one[0] - other[0], other[1] - one[1], one[2] - other[2]]
    return max(better) <= 0 and min(better) < 0


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), max_size=30))
def test_the_front_is_what_nothing_dominates(points):
    front = pareto_front(points, ("minimize", "maximize", "minimize"))
    dominated = {b for a, b in product(range(len(points)), repeat=2) if dominates(points[a], points[b])}
    assert sorted(front) == [place for place in range(len(points)) if place not in dominated]
    assert [points[place][0] for place in front] == sorted(points[place][0] for place in front)


def test_what_breaks_a_bound_counts_only_where_all_do():
    kept, broken = trial(0, 0.9, 0.1), trial(1, 0.1, 0.9, violation=0.2)
    assert front_of([kept, broken], STUDY.directions) == [kept]
    assert front_of([broken], STUDY.directions) == [broken]
    assert front_of([], STUDY.directions) == []


def test_finalists_have_a_front_of_their_own():
    searched, finalist = trial(0, 0.1, 0.9), trial(1, 0.5, 0.5, stage="finalist")
    assert front_of([searched, finalist], STUDY.directions) == [finalist]


def test_what_does_not_lie_in_the_space_any_more_is_neither_on_the_front_nor_in_its_picture():
    now, then = trial(0, 0.9, 0.1), trial(1, 0.1, 0.9, superseded=True)
    assert front_of([now, then], STUDY.directions) == [now]
    (axes,) = front_figure(STUDY, [now, then]).axes
    assert len(axes.collections[0].get_offsets()) == 1


def test_table_and_picture_show_the_front():
    trials = [trial(0, 0.9, 0.8), trial(1, 0.5, 0.5), trial(2, 0.95, 0.1)]
    assert (
        front_csv(STUDY, front_of(trials, STUDY.directions))
        == "number,valid/mae,valid/pearson\n1,0.5,0.5\n0,0.9,0.8\n"
    )
    (axes,) = front_figure(STUDY, trials).axes
    assert [text.get_text() for text in axes.texts] == ["1", "0"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("valid/mae (minimize)", "valid/pearson (maximize)")
