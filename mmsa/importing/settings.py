"""How settings of another project map to settings of mmsa: where they belong, and how to convert them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmsa.interface import Scalar

Convert = Callable[[Any], Scalar]


@dataclass(frozen=True)
class Carried:
    """The place of a setting of another project.

    Attributes:
        elements: dotted paths of each element; a setting with several elements is a list in the other
            project.
        convert: of one element.
        together: whether its elements only fit together, so that they are kept as shipped and not searched.
    """

    elements: tuple[tuple[str, ...], ...]
    convert: Convert
    together: bool = False


@dataclass(frozen=True)
class Counterpart:
    """The counterpart of another project's model.

    Attributes:
        base: of the space.
        settings: that carry over.
        lost: settings that do not, with reasons.
        notes: known differences.
    """

    base: Mapping[str, Any]
    settings: Mapping[str, Carried]
    lost: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def number(value: Any) -> float:
    """Accept a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("must be a number")
    return float(value)


def whole(value: Any) -> int:
    """Accept a whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a whole number")
    return value


def flag(value: Any) -> bool:
    """Accept true or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def word(value: Any) -> str:
    """Accept text."""
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value


def times(factor: float) -> Convert:
    """Multiply: the coefficient of a sum that is a mean here."""
    return lambda value: round(factor * number(value), 10)  # 3 x 0.1 is written 0.3


def clip(value: Any) -> float:
    """Accept a limit to clip to; a negative one means none, which is 0 here."""
    return max(0.0, number(value))


def zeros(value: Any) -> str:
    """Convert whether labels of 0 are left out of the classes."""
    return "neither" if flag(value) else "positive"


def to(*paths: str, convert: Convert = number) -> Carried:
    """A setting that belongs at each of ``paths``."""
    return Carried((paths,), convert)


def each(*elements: str | tuple[str, ...], convert: Convert = number, together: bool = False) -> Carried:
    """A list whose elements belong at ``elements``, one or several paths each."""
    paths = tuple((element,) if isinstance(element, str) else element for element in elements)
    return Carried(paths, convert, together)
