"""The configurations in which every registered surrogate must keep the contract."""

from mmsa.config import parse
from mmsa.information.surrogates import SURROGATES, Surrogate

CASES: dict[str, dict] = {name: {"name": name} for name in ("hsic", "cka", "mmd", "cmd", "coral")}


def build(case: str, x_dim: int = 2, y_dim: int = 2) -> Surrogate:
    """The surrogate of a case."""
    entry = SURROGATES[CASES[case]["name"]]
    return entry(parse(entry.Config, CASES[case], case), x_dim, y_dim)
