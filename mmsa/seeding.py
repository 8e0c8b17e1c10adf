"""Seeds that do not depend on the order or the place in which work is done."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import numpy as np
import torch

_SEED_BITS = 31  # numpy and torch both take any non-negative 31-bit integer


def derive_seed(*parts: Any) -> int:
    """A seed determined by ``parts`` alone, which may be anything JSON can write.

    Equal parts give equal seeds in every process and Python version, and any change gives an unrelated seed.
    """
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _SEED_BITS)


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)  # third-party layers draw from the global generator
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """State of the torch generators, readable by ``torch.load(weights_only=True)``."""
    state: dict[str, Any] = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Restore the torch generators to the state that ``random_state`` returned."""
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([part.cpu() for part in state["cuda"]])
