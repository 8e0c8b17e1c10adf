"""The weighted sum, the task losses and the passes of an epoch."""

from __future__ import annotations

import pytest
import torch

from mmsa.config import parse
from mmsa.data.target_spec import TargetSpec
from mmsa.data.targets import Targets
from mmsa.errors import ConfigError
from mmsa.models import RepresentationDims, Representations
from mmsa.objectives import STRATEGIES, TASKS, Objective, ObjectiveConfig

DIMS = RepresentationDims({"text": 8, "audio": 8}, fusion=6)
TERMS_BLOCK = {"cpc": {"weight": 0.25}, "barber_agakov": {"weight": 2.0}}


def objective(terms: dict[str, dict[str, float]]) -> Objective:
    torch.manual_seed(0)
    return Objective(parse(ObjectiveConfig, {"terms": terms}, "test"), DIMS).train()


def representations(rows: int = 20) -> Representations:
    generator = torch.Generator().manual_seed(0)
    text, audio = torch.randn(2, rows, 8, generator=generator).requires_grad_()
    return Representations(
        {"text": text, "audio": audio}, torch.randn(rows, 6, generator=generator), torch.zeros(rows)
    )


LABELS = torch.linspace(-3, 3, 20)
TARGETS = Targets(LABELS, torch.arange(20))


def test_the_total_is_the_task_and_the_weighted_terms() -> None:
    subject = objective(TERMS_BLOCK)
    value = subject(representations(), TARGETS)
    assert list(value.losses) == ["task", "cpc", "barber_agakov"]
    torch.testing.assert_close(value.losses["task"], LABELS.abs().mean())
    torch.testing.assert_close(value.total(), sum(value.losses.values()))
    assert {"bound/cpc/text", "bound/cpc/audio", "bound/barber_agakov/text_audio"} <= set(value.monitors)


def test_a_term_of_weight_zero_is_not_built() -> None:
    subject = objective({**TERMS_BLOCK, "cpc": {"weight": 0.0}})
    assert list(subject.terms) == ["barber_agakov"]
    assert "cpc" not in subject(representations(), TARGETS).losses


def test_estimators_are_fitted_on_detached_representations() -> None:
    subject, given = objective(TERMS_BLOCK), representations()
    losses = subject.estimator_losses(given, TARGETS)
    assert list(losses) == ["barber_agakov"]
    (gradient,) = torch.autograd.grad(losses["barber_agakov"], [given.unimodal["text"]], allow_unused=True)
    assert gradient is None


def test_groups_of_all_terms_are_joined() -> None:
    groups = objective(TERMS_BLOCK).parameter_groups()
    assert {name: bool(parameters) for name, parameters in groups.items()} == {
        "main": True,
        "estimator": True,
    }


def test_an_unknown_term_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'barber_agakov'"):
        objective({"barber_agakow": {}})


@pytest.mark.parametrize(("name", "expected"), [("mae", 1.5), ("mse", 2.5), ("huber", 1.0)])
def test_task_losses(name: str, expected: float) -> None:
    task = TASKS[name](TASKS[name].Config(), TargetSpec("label"))
    found = task(torch.tensor([0.0, 1.0]), torch.tensor([1.0, -1.0]))
    torch.testing.assert_close(found, torch.tensor(expected))


def test_joint_is_one_pass_over_everything() -> None:
    (only,) = STRATEGIES["joint"](STRATEGIES["joint"].Config()).passes(0)
    assert (only.loss, set(only.groups)) == ("joint", {"main", "pretrained", "mixture", "estimator"})


def test_two_stage_fits_the_estimators_first() -> None:
    config = STRATEGIES["two_stage"].Config(repeats=2, fraction=0.5)
    first, second, main = STRATEGIES["two_stage"](config).passes(0)
    assert first == second
    assert (first.loss, first.groups, first.fraction) == ("estimator", ("estimator",), 0.5)
    assert (main.loss, set(main.groups), main.fraction) == ("main", {"main", "pretrained", "mixture"}, 1.0)
