"""How a setting of another project is read here: where it stands, and as what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmsa.search.space.scalars import Scalar

Convert = Callable[[Any], Scalar]


@dataclass(frozen=True)
class Carried:
    """Where a setting stands here.

    elements: the paths of each element; a setting of several is a list there. convert: of one element.
    together: its elements only fit together, so that they are kept as shipped and not searched.
    """

    elements: tuple[tuple[str, ...], ...]
    convert: Convert
    together: bool = False


@dataclass(frozen=True)
class Counterpart:
    """What a model is here.

    base: of the space. settings: carried. lost: reasons by setting. notes: what is known to differ.
    """

    base: Mapping[str, Any]
    settings: Mapping[str, Carried]
    lost: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def number(value: Any) -> float:
    """A real number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("must be a number")
    return float(value)


def whole(value: Any) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a whole number")
    return value


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def word(value: Any) -> str:
    """Text."""
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value


def times(factor: float) -> Convert:
    """A coefficient of a sum that is a mean here."""
    return lambda value: round(factor * number(value), 10)  # 3 x 0.1 is written 0.3


def clip(value: Any) -> float:
    """A limit to clip to; below 0 is none, which is 0 here."""
    return max(0.0, number(value))


def zeros(value: Any) -> str:
    """Whether labels of 0 are left out of the classes."""
    return "neither" if flag(value) else "positive"


def to(*paths: str, convert: Convert = number) -> Carried:
    """A setting that stands at each of ``paths``."""
    return Carried((paths,), convert)


def each(*elements: str | tuple[str, ...], convert: Convert = number, together: bool = False) -> Carried:
    """A list whose elements stand at ``elements``, one or several paths each."""
    paths = tuple((element,) if isinstance(element, str) else element for element in elements)
    return Carried(paths, convert, together)
