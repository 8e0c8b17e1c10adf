"""The four kinds of information as MIMRL's released code defines them, from given estimates.

The code is centred on text: it looks at (text, audio) and (text, vision), never at (audio, vision). All
quantities are sums, without averages. Specific information subtracts two conditional informations that do not
overlap, so it is a heuristic and may be negative. For quantities with a meaning see
``mmsa.information.target``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mmsa.errors import DataError

FUSION, TARGET = "fusion", "target"
Estimate = tuple[frozenset[str], str | None]
"""({a, b}, c) for I(a; b | c), and ({a, b}, None) for I(a; b)."""
Pairwise = Mapping[frozenset[str], float]
"""I(a; b) by {a, b}, such as {"text", "audio"} and {"fusion", "text"}."""
Conditional = Mapping[tuple[frozenset[str], str], float]
"""I(a; b | c) by ({a, b}, c), such as ({"audio", "target"}, "text") and ({"text", "audio"}, "target")."""


class Between(NamedTuple):
    """I(x; y), or I(x; y | given), of vectors by name.

    Attributes:
        x: Name of a vector.
        y: Name of another one.
        given: Name of a third one, or None.

    Examples:
        >>> between = Between("text", "audio", "target")
        >>> str(between), between.formula
        ('text-audio-given-target', 'I(text; audio | target)')
    """

    x: str
    y: str
    given: str | None = None

    @property
    def estimate(self) -> Estimate:
        """Key of the estimate, in which x and y have no order."""
        return frozenset({self.x, self.y}), self.given

    @property
    def formula(self) -> str:
        """``I(x; y | given)``."""
        return f"I({self.x}; {self.y}" + (f" | {self.given})" if self.given else ")")

    def __str__(self) -> str:
        return f"{self.x}-{self.y}" + (f"-given-{self.given}" if self.given else "")


Shares = Mapping[Between, float]
"""How often each estimate is added to a sum."""


def mimrl_shares(modalities: Sequence[str], centre: str = "text", target: str = TARGET) -> dict[str, Shares]:
    """Return how often each estimate is added to ``invariant``, ``specific/m`` and ``complementary``.

    For each other modality m: invariant adds I(centre; m), complementary adds I(centre; m | target),
    specific/m is I(m; target | centre) - I(centre; m | target), and specific/centre adds
    I(centre; target | m) - I(centre; m | target). Absent modalities leave out their terms.

    Args:
        modalities: The modalities that are present.
        centre: The one that every pair contains.
        target: What the target is called in the estimates.

    Raises:
        DataError: If the centre is not among the modalities, or is alone.

    Examples:
        >>> shares = mimrl_shares(["text", "audio"])
        >>> {part.formula: share for part, share in shares["specific/audio"].items()}
        {'I(audio; target | text)': 1.0, 'I(text; audio | target)': -1.0}
    """
    others = [name for name in modalities if name != centre]
    if centre not in modalities or not others:
        raise DataError(
            f"modalities {', '.join(modalities)}: needs the centre {centre!r} and at least one other; "
            "name another centre"
        )
    shared = {name: Between(centre, name, target) for name in others}
    own = {Between(centre, target, name): 1.0 for name in others}
    specific: dict[str, Shares] = {f"specific/{centre}": own | {shared[name]: -1.0 for name in others}}
    for name in others:
        specific[f"specific/{name}"] = {Between(name, target, centre): 1.0, shared[name]: -1.0}
    return {
        "invariant": {Between(centre, name): 1.0 for name in others},
        **specific,
        "complementary": {shared[name]: 1.0 for name in others},
    }


def mimrl_code(
    pairwise: Pairwise, conditional: Conditional, modalities: Sequence[str], centre: str = "text"
) -> dict[str, float]:
    """Return the quantities of MIMRL's code from estimates, in their unit.

    These are ``fusion/m``, as far as given, and the sums of ``mimrl_shares``.

    Raises:
        DataError: As ``mimrl_shares``, and if estimates are missing, with all of them.

    Examples:
        >>> pairwise = {frozenset({"text", "audio"}): 0.5}
        >>> conditional = {
        ...     (frozenset({"text", "target"}), "audio"): 0.3,
        ...     (frozenset({"audio", "target"}), "text"): 0.1,
        ...     (frozenset({"text", "audio"}), "target"): 0.2,
        ... }
        >>> found = mimrl_code(pairwise, conditional, ["text", "audio"])
        >>> {name: round(value, 1) for name, value in found.items()}
        {'invariant': 0.5, 'specific/text': 0.1, 'specific/audio': -0.1, 'complementary': 0.2}
    """
    shares = mimrl_shares(modalities, centre)
    known: dict[Estimate, float] = {(pair, None): value for pair, value in pairwise.items()}
    known |= {(pair, given): value for (pair, given), value in conditional.items()}
    missing = {part: None for parts in shares.values() for part in parts if part.estimate not in known}
    if missing:
        raise DataError(f"estimates are missing: {', '.join(part.formula for part in missing)}")
    fused = {f"fusion/{name}": Between(FUSION, name).estimate for name in modalities}
    sums = {
        name: sum(share * known[part.estimate] for part, share in parts.items())
        for name, parts in shares.items()
    }
    return {**{name: known[part] for name, part in fused.items() if part in known}, **sums}
