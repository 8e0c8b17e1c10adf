"""Colombo's measures against their formulas, and that the statistic of Wasserstein is 1-Lipschitz."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmsa.data.targets import Targets
from mmsa.errors import ConfigError
from mmsa.models import RepresentationDims, Representations
from mmsa.objectives.terms.dependency import Dependency

ROWS, WIDTH = 40, 6
DIMS = RepresentationDims({"text": 3, "audio": 3}, WIDTH)
TARGETS = Targets(torch.zeros(ROWS), torch.arange(ROWS))


def term(**settings: Any) -> Dependency:
    torch.manual_seed(0)
    return Dependency(Dependency.Config.model_validate(settings), DIMS).train()


def given(shift: float = 1.0) -> Representations:
    """Fused vectors that lie elsewhere than the shuffled ones."""
    fused, shuffled = torch.randn(2, ROWS, WIDTH, generator=torch.Generator().manual_seed(0))
    unimodal = {"text": torch.zeros(ROWS, 3), "audio": torch.zeros(ROWS, 3)}
    return Representations(unimodal, fused + shift, torch.zeros(ROWS), {"shuffled": shuffled})


@pytest.mark.parametrize("measure", ["kl", "f", "wasserstein"])
def test_the_loss_is_minus_the_bound(measure: str) -> None:
    subject = term(measure=measure)
    value = subject(given(), TARGETS)
    subject.eval()  # the norms stay as they are
    p, q = (subject.statistic(x)[:, 0] for x in (given().fusion, given().extra["shuffled"]))
    expected = {
        "kl": p.mean() - q.exp().mean().log(),
        "f": (p + 1).mean() - (q + 1 - 1).exp().mean(),  # of T + 1, so that T = 0 says that nothing depends
        "wasserstein": p.mean() - q.mean(),
    }[measure]
    torch.testing.assert_close(value.loss, -expected)
    assert set(value.monitors) == ({"bound/dependency"} if measure != "wasserstein" else set())


@pytest.mark.parametrize("measure", ["kl", "f", "wasserstein"])
def test_fitting_the_statistic_finds_a_difference(measure: str) -> None:
    subject = term(measure=measure, statistic={"hidden": 16})
    optimiser = torch.optim.Adam(subject.parameters(), lr=1e-2)
    before = float(subject.estimator_loss(given(), TARGETS).detach())
    for _ in range(60):
        optimiser.zero_grad()
        subject.estimator_loss(given(), TARGETS).backward()
        optimiser.step()
    assert float(subject.estimator_loss(given(), TARGETS).detach()) < before - 0.5


def test_the_statistic_of_wasserstein_is_lipschitz() -> None:
    subject = term(measure="wasserstein")
    for parameter in subject.parameters():
        parameter.data *= 50.0
    for _ in range(100):  # one power iteration in each
        subject(given(), TARGETS)
    x, y = torch.randn(2, 500, WIDTH, generator=torch.Generator().manual_seed(1))
    gap = (subject.statistic(x) - subject.statistic(y)).abs()[:, 0]
    assert (gap <= 1.01 * (x - y).norm(dim=1)).all()


def test_one_modality_depends_on_nothing() -> None:
    with pytest.raises(ConfigError, match="relates modalities, and the data set brings text only"):
        Dependency(Dependency.Config(), RepresentationDims({"text": 3}, WIDTH))
