"""What every registered scheduler has to do. A new scheduler joins with one line in ``CASES``."""

from __future__ import annotations

from typing import Any

from mmsa.search.schedulers import SCHEDULERS
from mmsa.testing import SchedulerContract

CASES: dict[str, dict[str, Any]] = {
    "asha": {},
    "hyperband": {"brackets": 2},
    "median": {},
    "halving": {},
    "pasha": {},
    "pbt": {},
    "none": {},
}


class TestSchedulers(SchedulerContract):
    CASES = CASES
    SAVES = {
        "asha": 0.6,
        "hyperband": 0.75,
        "median": 0.95,
        "halving": 0.45,
        "pasha": 0.45,
        "pbt": 1.0,
        "none": 1.0,
    }
    STOPS_NONE = {"none"}


def test_every_scheduler_has_a_case():
    assert set(CASES) == set(TestSchedulers.SAVES) == set(SCHEDULERS)
