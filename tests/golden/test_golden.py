"""The code still computes the recorded losses."""

from __future__ import annotations

import pytest
from golden_losses import CASES, losses, recorded

from mmsa.models import FUSIONS, MODELS
from mmsa.objectives import TERMS


def test_every_model_fusion_and_term_is_recorded() -> None:
    assert set(recorded()) == set(CASES)
    models = [MODELS[case["model"]["name"]].Config.model_validate(case["model"]) for case in CASES.values()]
    assert {model.name for model in models} == set(MODELS)
    assert {model.fusion.name for model in models} == set(FUSIONS)
    terms = [case.get("objective", {}).get("terms", {}) for case in CASES.values()]
    assert {entry.get("term", name) for block in terms for name, entry in block.items()} == set(TERMS)


@pytest.mark.parametrize("case", list(CASES))
def test_losses_are_the_recorded_ones(case: str) -> None:
    for found, expected in zip(losses(case), recorded()[case], strict=True):
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)
