"""What every registered fusion has to do. A new one joins with one line in ``CASES``."""

from __future__ import annotations

from typing import Any

from mmsa.models import FUSIONS
from mmsa.testing import Case, FusionContract

CASES: dict[str, list[dict[str, Any]]] = {
    "mlp": [{"width": 12}, {"width": 12, "activation": "relu"}],
    "average": [{}],
    "tfn": [{"width": 12}],
    "lmf": [{"width": 12, "rank": 2}],
    "misa": [{"width": 8, "feedforward": 16}],
    "cubemlp": [
        {"length": 5, "width": 8, "steps": [4, 3], "widths": [8, 6]},
        {"length": 5, "width": 8, "steps": [4], "widths": [8], "norm": "ln_first", "modalities": "cat"},
    ],
    "mult": [{"width": 8, "heads": 2, "levels": 1, "kernel": 3, "max_length": 4}],
    "mfn": [{"steps": 4, "text": 6, "audio": 5, "vision": 4, "memory": 8, "hidden": 8}],
}


class TestFusions(FusionContract):
    CASES = CASES

    def widths(self, case: Case) -> dict[str, int]:
        """One for all where the fusion asks for it."""
        return dict.fromkeys(super().widths(case), 6) if case.name == "average" else super().widths(case)


def test_every_fusion_has_a_case() -> None:
    assert set(CASES) == set(FUSIONS)
