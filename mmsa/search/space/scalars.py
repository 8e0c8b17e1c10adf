"""The values a parameter can have."""

from __future__ import annotations

from mmsa.interface import Scalar as Scalar


def same(one: object, other: object) -> bool:
    """Equality that tells True from 1, and 1 from 1.0."""
    return type(one) is type(other) and one == other
