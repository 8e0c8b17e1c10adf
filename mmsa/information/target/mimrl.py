"""The four kinds of information as MIMRL's released code defines them, from given estimates.

The code is centred on text: it looks at (text, audio) and (text, vision), never at (audio, vision). All terms
are sums, without averages. Specific information subtracts two conditional informations that do not overlap,
so it is a heuristic and may be negative; see ``mmsa.information.target`` for quantities with a meaning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmsa.errors import DataError

FUSION, TARGET = "fusion", "target"
Pairwise = Mapping[frozenset[str], float]
"""I(a; b) by {a, b}, such as {"text", "audio"} and {"fusion", "text"}."""
Conditional = Mapping[tuple[frozenset[str], str], float]
"""I(a; b | c) by ({a, b}, c), such as ({"audio", "target"}, "text") and ({"text", "audio"}, "target")."""
Estimate = tuple[frozenset[str], str | None]
"""({a, b}, c) for I(a; b | c), and ({a, b}, None) for I(a; b)."""
Shares = Mapping[Estimate, float]


def mimrl_shares(modalities: Sequence[str], centre: str = "text") -> dict[str, Shares]:
    """``invariant``, ``specific/m`` and ``complementary``: how often each estimate is added.

    For each other modality m: invariant adds I(centre; m), complementary adds I(centre; m | target),
    specific/m is I(m; target | centre) - I(centre; m | target), and specific/centre adds
    I(centre; target | m) - I(centre; m | target). Absent modalities leave out their terms.

    Raises:
        DataError: where the centre is not among the modalities, or is alone.
    """
    others = [name for name in modalities if name != centre]
    if centre not in modalities or not others:
        raise DataError(
            f"modalities {', '.join(modalities)}: needs the centre {centre!r} and at least one other; "
            "name another centre"
        )
    shared: dict[str, Estimate] = {name: (frozenset({centre, name}), TARGET) for name in others}
    centres: dict[Estimate, float] = {(frozenset({centre, TARGET}), name): 1.0 for name in others}
    specific: dict[str, Shares] = {f"specific/{centre}": centres | {shared[name]: -1.0 for name in others}}
    for name in others:
        specific[f"specific/{name}"] = {(frozenset({name, TARGET}), centre): 1.0, shared[name]: -1.0}
    return {
        "invariant": {(frozenset({centre, name}), None): 1.0 for name in others},
        **specific,
        "complementary": {shared[name]: 1.0 for name in others},
    }


def mimrl_code(
    pairwise: Pairwise, conditional: Conditional, modalities: Sequence[str], centre: str = "text"
) -> dict[str, float]:
    """``fusion/m`` where given, and the sums of ``mimrl_shares``, in the given unit.

    Raises:
        DataError: as ``mimrl_shares``, and where estimates are missing; names all of them.
    """
    shares = mimrl_shares(modalities, centre)
    known: dict[Estimate, float] = {(pair, None): value for pair, value in pairwise.items()}
    known |= {(pair, given): value for (pair, given), value in conditional.items()}
    missing = {part: None for parts in shares.values() for part in parts if part not in known}
    if missing:
        order = [*modalities, TARGET]
        raise DataError(f"estimates are missing: {', '.join(_written(part, order) for part in missing)}")
    fused = {f"fusion/{name}": (frozenset({FUSION, name}), None) for name in modalities}
    return {
        **{name: known[part] for name, part in fused.items() if part in known},
        **{name: sum(n * known[part] for part, n in parts.items()) for name, parts in shares.items()},
    }


def _written(estimate: Estimate, order: Sequence[str]) -> str:
    pair, given = estimate
    x, y = sorted(pair, key=order.index)
    return f"I({x}; {y}" + (f" | {given})" if given else ")")
