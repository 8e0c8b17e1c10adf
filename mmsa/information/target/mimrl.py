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


def mimrl_code(
    pairwise: Pairwise, conditional: Conditional, modalities: Sequence[str], centre: str = "text"
) -> dict[str, float]:
    """``fusion/m`` where given, ``invariant``, ``specific/m``, ``complementary``, in the given unit.

    For each other modality m: invariant adds I(centre; m), complementary adds I(centre; m | target),
    specific/m is I(m; target | centre) - I(centre; m | target), and specific/centre adds
    I(centre; target | m) - I(centre; m | target). Absent modalities leave out their terms.

    Raises:
        DataError: where the centre is not among the modalities, or estimates are missing; names all of them.
    """
    others = [name for name in modalities if name != centre]
    if centre not in modalities or not others:
        raise DataError(
            f"modalities {', '.join(modalities)}: needs the centre {centre!r} and at least one other; "
            "name another centre"
        )
    _refuse_missing(pairwise, conditional, others, centre)
    invariant = {name: pairwise[frozenset({centre, name})] for name in others}
    shared = {name: conditional[frozenset({centre, name}), TARGET] for name in others}
    own = {name: conditional[frozenset({name, TARGET}), centre] for name in others}
    centres = {name: conditional[frozenset({centre, TARGET}), name] for name in others}
    fused = {name: frozenset({FUSION, name}) for name in modalities}
    return {
        **{f"fusion/{name}": pairwise[key] for name, key in fused.items() if key in pairwise},
        "invariant": sum(invariant.values()),
        f"specific/{centre}": sum(centres[name] - shared[name] for name in others),
        **{f"specific/{name}": own[name] - shared[name] for name in others},
        "complementary": sum(shared.values()),
    }


def _refuse_missing(pairwise: Pairwise, conditional: Conditional, others: Sequence[str], centre: str) -> None:
    missing = [f"I({centre}; {name})" for name in others if frozenset({centre, name}) not in pairwise]
    for name in others:
        for one, other, given in ((centre, name, TARGET), (name, TARGET, centre), (centre, TARGET, name)):
            if (frozenset({one, other}), given) not in conditional:
                missing.append(f"I({one}; {other} | {given})")
    if missing:
        raise DataError(f"estimates are missing: {', '.join(missing)}")
