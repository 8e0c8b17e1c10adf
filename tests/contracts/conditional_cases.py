"""The configurations in which every registered conditional estimator must keep the contract."""

from functools import cache

import torch

from mmsa.config import parse
from mmsa.information import CONDITIONAL_ESTIMATORS, ConditionalEstimator, Triples
from mmsa.information.conditional import Difference

SMALL = {"hidden": 32, "layers": 2}
TRUTH = 1.5185  # I(X; Y | Z) of the chain below, CMINE section V
CASES: dict[str, dict] = {
    "cmi_knn": {"name": "cmi_knn", "classifier": SMALL},
    "cmi_knn/k5": {"name": "cmi_knn", "classifier": SMALL, "k": 5},
    "cmi_knn_dv": {"name": "cmi_knn_dv", "classifier": SMALL},
    "cmi_knn_nwj": {"name": "cmi_knn_nwj", "classifier": SMALL},
    "cmi_knn_mimrl_code": {"name": "cmi_knn_mimrl_code", "classifier": SMALL},
    "cmi_cross_entropy": {"name": "cmi_cross_entropy", "conditional": {"name": "diagonal", **SMALL}},
    "cmi_cross_entropy/mixture": {
        "name": "cmi_cross_entropy",
        "conditional": {"name": "mixture", "components": 2, **SMALL},
    },
    "cmi_difference": {
        "name": "cmi_difference",
        "estimator": {"name": "gan_dime", "critic": {"name": "joint", "hidden": 32, "layers": 1}},
    },
    "cmi_difference/barber_agakov": {
        "name": "cmi_difference",
        "estimator": {"name": "barber_agakov", "conditional": {"name": "diagonal", **SMALL}},
    },
}


def build(case: str) -> ConditionalEstimator:
    """The estimator of a case for scalar x, y and z."""
    torch.manual_seed(0)
    entry = CONDITIONAL_ESTIMATORS[CASES[case]["name"]]
    return entry(parse(entry.Config, CASES[case], case), 1, 1, 1)


def chain(count: int, seed: int, markov: bool = False) -> Triples:
    """X ~ N(0, 100), Y = X + N(0, 1), Z = Y + N(0, 25), in tens; ``markov`` gives (X, Z, Y), truth 0."""
    generator = torch.Generator().manual_seed(seed)
    x, first, second = torch.randn(3, count, 1, generator=generator).unbind()
    y = x + 0.1 * first
    z = y + 0.5 * second
    return Triples(x, z, y) if markov else Triples(x, y, z)


STEPS = {"cmi_cross_entropy": 120, "cmi_difference": 160}
READINGS_OF_ONE = ("cmi_knn_dv", "cmi_knn_nwj", "cmi_knn_mimrl_code")
"""Trained as ``cmi_knn`` is, which a test proves step by step; what is fitted to the chain is fitted once."""


@cache
def fitted(case: str, markov: bool = False, batch: int = 48) -> ConditionalEstimator:
    """The estimator of a case after a short fit, with a falling rate."""
    estimator = build(case)
    if case in READINGS_OF_ONE:
        estimator.load_state_dict(fitted("cmi_knn", markov).state_dict())
        return estimator.eval()
    bank, steps = chain(2000, 1, markov), STEPS.get(CASES[case]["name"], 250)
    optimiser = torch.optim.Adam(estimator.parameters(), lr=1e-2, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
    for step in range(steps):
        fit_step(estimator, optimiser, chain(batch, 100 + step, markov), bank)
        schedule.step()
    return estimator.eval()


def fit_step(
    estimator: ConditionalEstimator, optimiser: torch.optim.Optimizer, triples: Triples, bank: Triples
) -> None:
    """One step on the critic's and the inner parameters."""
    optimiser.zero_grad()
    if estimator.critic_parameters():
        estimator(triples, bank).loss.backward()
    inner = estimator.inner_loss(triples, bank)
    if inner is not None:
        inner.backward()
    optimiser.step()


def reading(estimator: ConditionalEstimator, markov: bool = False) -> float:
    """The monitor on a large fresh batch; a critic of all pairs has many in fewer rows."""
    rows = 500 if isinstance(estimator, Difference) else 1500
    with torch.no_grad():
        return estimator(chain(rows, 2, markov), chain(2000, 3, markov)).monitor.item()
