"""The benchmark of the headline: its compositions by closed form, and its rule on tables made by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks" / "headline"))
from compositions import FAMILIES, private_modality, synergy_of, truth

from mmsa.reports.naming import KINDS, Amount, Kind, best_quarter, held_kind, rewarded_kind

DOMINANT = {"shared": "invariant", "private": "specific", "synergy": "complementary", "balanced": None}


@pytest.mark.parametrize("draw", range(3))
@pytest.mark.parametrize("family", FAMILIES)
def test_a_composition_is_what_it_says(family: str, draw: int) -> None:
    bits, known = FAMILIES[family], truth(family, draw)
    alone, (x, y) = private_modality(draw), synergy_of(draw)
    assert known[x] == pytest.approx(bits.invariant)
    assert known[y] == pytest.approx(bits.invariant)
    assert known[alone] == pytest.approx(bits.invariant + bits.specific)
    assert known[f"{x}+{y}"] == pytest.approx(bits.invariant + bits.complementary)
    assert known["text+audio+vision"] == pytest.approx(3.0)
    assert bits.dominant == DOMINANT[family]


def shares(*kinds: Kind) -> np.ndarray:
    """48 trials, the best first; those of the best quarter have more of ``kinds``."""
    share_NK = 1 / 3 + np.random.default_rng(0).uniform(-0.1, 0.1, (48, 3))
    share_NK[:12, [KINDS.index(kind) for kind in kinds]] += 0.3
    return share_NK / share_NK.sum(1, keepdims=True)


ERRORS = np.linspace(0.5, 0.9, 48)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_which_the_best_trials_have_more_is_rewarded(kind: Kind) -> None:
    assert rewarded_kind(shares(kind), ERRORS) == kind
    assert rewarded_kind(shares(kind)[::-1], ERRORS[::-1]) == kind  # whatever the order of the trials
    assert rewarded_kind(shares(kind), ERRORS[::-1]) is None  # the worst quarter rewards nothing


def test_nothing_is_rewarded_without_evidence() -> None:
    assert rewarded_kind(shares(), ERRORS) is None
    assert rewarded_kind(np.full((48, 3), 1 / 3), ERRORS) is None  # no trial differs
    assert rewarded_kind(shares("specific")[:15], ERRORS[:15]) is None  # too few
    assert rewarded_kind(np.zeros((48, 3)), ERRORS) is None  # no trial has any of the kinds


def test_two_kinds_that_rise_alike_leave_the_shares_silent() -> None:
    assert rewarded_kind(shares("specific", "complementary"), ERRORS) is None


def test_strength_is_no_share() -> None:
    """A best quarter with ten times the total has no more of any kind."""
    strength_NK = shares()
    strength_NK[:12] *= 10
    assert rewarded_kind(strength_NK, ERRORS) is None


def test_the_best_quarter_is_rounded_up_and_of_the_lowest_errors() -> None:
    assert best_quarter(np.array([0.9, 0.5, 0.7, 0.8, 0.6])).tolist() == [False, True, False, False, True]
    # whoever equals the last of them is as good, whatever its number
    assert best_quarter(np.array([0.9, 0.5, 0.7, 0.7, 0.7])).tolist() == [False, True, True, True, True]


def test_trials_that_are_all_as_good_reward_nothing() -> None:
    assert rewarded_kind(shares("specific"), np.ones(48)) is None


def amounts(invariant: float, specific: float, complementary: float, error: float) -> dict[Kind, Amount]:
    bits = dict(zip(KINDS, (invariant, specific, complementary), strict=True))
    return {kind: Amount(value, error) for kind, value in bits.items()}


@pytest.mark.parametrize(
    ("bits", "error", "kind"),
    [
        ((1.5, 0.3, 0.3), 0.1, "invariant"),
        ((0.3, 0.3, 1.2), 0.1, "complementary"),
        ((1.5, 0.3, 0.3), 0.4, None),  # the same, not known well enough: .9 is less than 1.645 * .69
        ((1.0, 0.6, 0.6), 0.01, None),  # most, but not most of all
        ((1.0, 1.0, 1.0), 0.01, None),
    ],
)
def test_the_kind_held_is_surely_more_than_half(
    bits: tuple[float, float, float], error: float, kind: Kind | None
) -> None:
    assert held_kind(amounts(*bits, error)) == kind
