"""Uncertainty weighting, the projection of the common head, and what goes with neither."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmsa.config import parse
from mmsa.errors import ConfigError
from mmsa.models import RepresentationDims
from mmsa.objectives import TERMS, Objective, ObjectiveConfig
from mmsa.objectives.strategies import HeadProjection
from mmsa.objectives.weightings import Uncertainty

DIMS = RepresentationDims({"text": 8, "audio": 8}, fusion=8, mixture=2)


def objective(**settings: Any) -> Objective:
    return Objective(parse(ObjectiveConfig, settings, "test"), DIMS)


def weighed(losses: dict[str, float], levels: list[float]) -> tuple[Uncertainty, torch.Tensor]:
    subject = Uncertainty(Uncertainty.Config(), list(losses))
    for name, level in zip(losses, levels, strict=True):
        subject.log_variances[name].data.fill_(level)
    scaled, _ = subject({name: torch.tensor(loss) for name, loss in losses.items()})
    return subject, torch.stack(list(scaled.values())).sum()


def test_losses_begin_as_they_are() -> None:
    _, total = weighed({"task": 2.0, "coral": 0.5}, [0.0, 0.0])
    torch.testing.assert_close(total, torch.tensor(2.5))


def test_the_best_log_variance_is_the_log_of_the_loss() -> None:
    best = [10 * torch.atanh(torch.tensor(loss).log() / 10).item() for loss in (2.0, 0.5)]
    subject, total = weighed({"task": 2.0, "coral": 0.5}, best)
    total.backward()
    torch.testing.assert_close(total.detach(), torch.tensor(2.0))  # 1 + ln 2, and 1 + ln 0.5
    for parameter in subject.parameters():
        assert abs(float(parameter.grad)) < 1e-6


@pytest.mark.parametrize("level", [-1e4, 1e4])
def test_a_log_variance_far_away_stays_finite(level: float) -> None:
    assert weighed({"task": 2.0}, [level])[1].isfinite()


def test_losses_that_may_be_negative_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"(?s)'uncertainty'.*cpc, infonce can be") as raised:
        objective(terms={"cpc": {}, "infonce": {}, "coral": {}}, weighting={"name": "uncertainty"})
    assert "weighting: {name: fixed}" in str(raised.value)
    objective(terms={"cpc": {"weight": 0.0}, "coral": {"text_audio": 1.0}}, weighting={"name": "uncertainty"})


def test_terms_that_may_be_negative_are_the_bounds() -> None:
    assert {name for name in TERMS if not TERMS[name].never_negative} == {
        "barber_agakov",
        "cpc",
        "dependency",
        "infonce",
        "information",
        "mimrl",
    }


def test_one_modality_at_a_time_takes_no_term_and_needs_a_common_head() -> None:
    with pytest.raises(ConfigError, match=r"(?s)'alternating'.*coral would relate nothing"):
        objective(terms={"coral": {}}, strategy={"name": "alternating"})
    config = parse(ObjectiveConfig, {"strategy": {"name": "alternating"}}, "test")
    with pytest.raises(ConfigError, match=r"(?s)alternating.*model.fusion: \{name: average\}"):
        Objective(config, RepresentationDims({"text": 8, "audio": 8}, fusion=8))


def test_the_projection_is_the_recursion_with_its_scalar() -> None:
    subject, width = HeadProjection(5, alpha=0.1), 5
    p, random = torch.eye(width, dtype=torch.float64), torch.Generator().manual_seed(0)
    for _ in range(6):
        inputs, gradient = torch.randn(7, width, generator=random), torch.randn(1, width, generator=random)
        found = gradient.clone()
        subject(found, inputs)
        torch.testing.assert_close(found.double(), gradient.double() @ p, rtol=1e-4, atol=1e-5)
        r = inputs.double().mean(0, keepdim=True)
        k = p @ r.T
        p = p - k @ k.T / (0.1 + r @ k)
        p = p / p.norm()
    torch.testing.assert_close(subject.projection.double(), p, rtol=1e-4, atol=1e-5)


def test_a_used_direction_is_almost_left_alone() -> None:
    subject, used = HeadProjection(4, alpha=0.01), torch.tensor([[2.0, 0.0, 0.0, 0.0]])
    subject(torch.zeros(1, 4), used)
    gradient = torch.ones(1, 4)
    subject(gradient, used)
    assert gradient[0, 0] < 0.01 * gradient[0, 1]


def test_gradients_of_the_head_are_left_alone_without_it() -> None:
    for settings in ({}, {"strategy": {"name": "alternating", "orthogonal_head": False}}):
        assert objective(**settings).head_projection is None
