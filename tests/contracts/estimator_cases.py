"""The configurations in which every registered information estimator must keep the contract."""

from functools import cache

import torch

from mmsa.config import parse
from mmsa.information import ESTIMATORS, Estimator

X_DIM, Y_DIM = 2, 2
SMALL = {"hidden": 32, "layers": 2}
SEPARABLE = {"name": "separable", "embedding": 8, **SMALL}
COSINE = {"name": "cosine", "embedding": 8, **SMALL}
DIAGONAL = {"name": "diagonal", **SMALL}
MIXTURE = {"name": "mixture", "components": 2, **SMALL}

CASES: dict[str, dict] = {
    "infonce": {"name": "infonce", "critic": SEPARABLE},
    "infonce/cosine": {"name": "infonce", "critic": COSINE, "temperature": 0.1, "symmetric": True},
    "infonce/bilinear": {"name": "infonce", "critic": {"name": "bilinear"}},
    "infonce_anchor": {"name": "infonce_anchor", "critic": SEPARABLE, "anchor": 20.0},
    "jsd": {"name": "jsd", "critic": SEPARABLE},
    "gan_dime": {"name": "gan_dime", "critic": SEPARABLE},
    "gan_dime/joint": {"name": "gan_dime", "critic": {"name": "joint", "norm": "layer", **SMALL}},
    "jsd_lb": {"name": "jsd_lb", "critic": SEPARABLE},
    "nwj": {"name": "nwj", "critic": SEPARABLE},
    "tuba": {"name": "tuba", "critic": SEPARABLE, "baseline": SMALL},
    "interpolated": {"name": "interpolated", "critic": SEPARABLE, "baseline": SMALL, "alpha": 0.3},
    "dv": {"name": "dv", "critic": SEPARABLE},
    "mine": {"name": "mine", "critic": SEPARABLE},
    "smile": {"name": "smile", "critic": SEPARABLE},
    "flo": {"name": "flo", "critic": SEPARABLE, "pointwise": SMALL},
    "barber_agakov": {"name": "barber_agakov", "conditional": DIAGONAL},
    "barber_agakov/full-knife": {
        "name": "barber_agakov",
        "conditional": {"name": "full", **SMALL},
        "entropy": {"name": "knife", "components": 2},
    },
    "barber_agakov/mixture-gmm": {
        "name": "barber_agakov",
        "conditional": MIXTURE,
        "entropy": {"name": "gmm", "components": 2},
    },
    "barber_agakov/diagonal-kde": {
        "name": "barber_agakov",
        "conditional": DIAGONAL,
        "entropy": {"name": "kde"},
    },
    "barber_agakov_mmim_code": {"name": "barber_agakov_mmim_code", "conditional": DIAGONAL},
    "club": {"name": "club", "conditional": DIAGONAL},
    "gaussian_copula": {"name": "gaussian_copula"},
    "ksg": {"name": "ksg"},
    "l1out": {"name": "l1out", "conditional": MIXTURE},
}


def build(case: str, x_dim: int = X_DIM, y_dim: int = Y_DIM) -> Estimator:
    """The estimator of a case, with its parameters drawn from a fixed seed."""
    torch.manual_seed(0)
    entry = ESTIMATORS[CASES[case]["name"]]
    return entry(parse(entry.Config, CASES[case], case), x_dim, y_dim)


def correlated(rho: float, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs of two independent components with correlation rho each; -ln(1 - rho^2) nats."""
    x, noise = torch.randn(2, count, X_DIM, generator=generator).unbind()
    return x, rho * x + (1 - rho**2) ** 0.5 * noise


@cache
def fitted(case: str, rho: float, steps: int = 300, batch: int = 64) -> Estimator:
    """The estimator of a case after a short fit, with a falling rate, to fresh pairs of correlation rho."""
    estimator, generator = build(case), torch.Generator().manual_seed(1)
    if estimator.spec.role != "measure":
        optimiser = torch.optim.Adam(estimator.parameters(), lr=6e-3)
        schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
        for _ in range(steps):
            fit_step(estimator, optimiser, *correlated(rho, batch, generator))
            schedule.step()
    return estimator.eval()


def fit_step(
    estimator: Estimator, optimiser: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor
) -> None:
    """One step on the critic's and the inner parameters, as a training loop takes it."""
    optimiser.zero_grad()
    if estimator.critic_parameters():
        estimator(x, y).loss.backward()
    inner = estimator.inner_loss(x, y)
    if inner is not None:
        inner.backward()
    torch.nn.utils.clip_grad_norm_(list(estimator.parameters()), 5.0)
    optimiser.step()


def reading(estimator: Estimator, rho: float, batches: int = 10, batch: int = 64) -> float:
    """Mean monitor over fresh batches."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        values = [estimator(*correlated(rho, batch, generator)).monitor.item() for _ in range(batches)]
    return sum(values) / batches
