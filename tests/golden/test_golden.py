"""The code still computes the recorded losses."""

from __future__ import annotations

import pytest
from golden_losses import CASES, losses, recorded

from mmsa.models import MODELS
from mmsa.objectives import TERMS


def test_every_model_and_term_is_recorded() -> None:
    assert set(recorded()) == set(CASES)
    assert {case["model"]["name"] for case in CASES.values()} == set(MODELS)
    assert {name for case in CASES.values() for name in case.get("objective", {}).get("terms", {})} == set(
        TERMS
    )


@pytest.mark.parametrize("case", list(CASES))
def test_losses_are_the_recorded_ones(case: str) -> None:
    for found, expected in zip(losses(case), recorded()[case], strict=True):
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)
