"""What every estimator of mutual information has to do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor

from mmsa.config import parse
from mmsa.errors import DataError
from mmsa.information import ESTIMATORS, Estimator, GradientNormaliser
from mmsa.information.score_estimators import ScoreEstimator
from mmsa.testing.contract import Applies, Case, Contract, only

X_DIM, Y_DIM = 2, 2
TRUTH = -math.log(1 - 0.9**2)
BEYOND = {"lower": TRUTH + 0.1, "plugin": TRUTH + 0.3, "surrogate": math.log(2), "upper": math.inf}
SCORES = {
    "separated": 200 * torch.eye(6) - 100,
    "inverted": 100 - 200 * torch.eye(6),
    "high": torch.full((6, 6), 100.0),
    "low": torch.full((6, 6), -100.0),
    "mixed": 200 * torch.randint(2, (6, 6), generator=torch.Generator().manual_seed(0)) - 100.0,
}


def build_estimator(case: Case, x_dim: int = X_DIM, y_dim: int = Y_DIM) -> Estimator:
    """The estimator of a case, with its parameters drawn from a fixed seed."""
    torch.manual_seed(0)
    kind: Any = ESTIMATORS[case.name]
    config = parse(kind.Config, {"name": case.name, **case.settings}, case.id)
    estimator: Estimator = kind(config, x_dim, y_dim)
    return estimator


def correlated(rho: float, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pairs of two independent components with correlation rho each; -ln(1 - rho^2) nats."""
    x, noise = torch.randn(2, count, X_DIM, generator=generator).unbind()
    return x, rho * x + (1 - rho**2) ** 0.5 * noise


@cache
def fitted(case: Case, rho: float, batch: int = 64) -> Estimator:
    """The estimator of a case after a short fit, with a falling rate, to fresh pairs of correlation rho.

    The value at 0.9 has to be met from both sides, which takes more steps than to read nothing at 0.
    """
    estimator, generator = build_estimator(case), torch.Generator().manual_seed(1)
    steps, rate = (300, 6e-3) if rho else (120, 1.2e-2)
    if estimator.spec.role != "measure":
        optimiser = torch.optim.Adam(estimator.parameters(), lr=rate, fused=True)
        schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
        for _ in range(steps):
            fit_step(estimator, optimiser, *correlated(rho, batch, generator))
            schedule.step()
    return estimator.eval()


@cache
def read_as(case: Case, trained: Case, rho: float) -> Estimator:
    """The estimator of a case with what was fitted for another; for itself, the fit."""
    if case is trained:
        return fitted(case, rho)
    estimator = build_estimator(case)
    estimator.load_state_dict(fitted(trained, rho).state_dict())
    return estimator.eval()


def fit_step(estimator: Estimator, optimiser: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    """One step on the critic's and the inner parameters, as a training loop takes it."""
    optimiser.zero_grad()
    if estimator.critic_parameters():
        estimator(x, y).loss.backward()
    inner = estimator.inner_loss(x, y)
    if inner is not None:
        inner.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(list(estimator.parameters()), 5.0)
    optimiser.step()


def reading(estimator: Estimator, rho: float, batches: int = 10, batch: int = 64) -> float:
    """Mean monitor over fresh batches."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        values = [float(estimator(*correlated(rho, batch, generator)).monitor) for _ in range(batches)]
    return sum(values) / batches


def _pairs(rho: float = 0.5, count: int = 16, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Pairs of correlation rho."""
    return correlated(rho, count, torch.Generator().manual_seed(seed))


def _leaves(rho: float = 0.5, count: int = 16, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Pairs that gradients arrive in."""
    x, y = _pairs(rho, count, seed)
    return x.requires_grad_(), y.requires_grad_()


def _gradients(*inputs: Tensor) -> Tensor:
    """Of all inputs in one vector."""
    return torch.cat([value.grad.flatten() for value in inputs if value.grad is not None])


def _of(
    *roles: Literal["loss", "penalty", "measure"], unit: str | None = None, scores: bool | None = None
) -> Applies:
    def applies(suite: EstimatorContract, case: Case) -> bool:
        entry = ESTIMATORS[case.name]
        fits = entry.spec.role in roles and (unit is None or entry.spec.unit == unit)
        return fits and (scores is None or issubclass(entry, ScoreEstimator) is scores)

    return applies


LEARNED = only(_of("loss", "penalty"))
IN_NATS = only(_of("loss", "penalty", "measure", unit="nat"))
ON_SCORES = only(_of("loss", scores=True))


class EstimatorContract(Contract):
    """Suite of estimators of mutual information: their values, gradients, limits and state.

    Attributes:
        SHORTFALL: by how many nats the reading of a case may lie below the truth, 1.66 nats, where that is
            more than a tenth.
        UPPER: the reading of an upper bound there.
        TRAINED_AS: cases that share the fit of another, by id, because they only read the same critic
            otherwise; that they are trained alike is tested.
    """

    SHORTFALL: ClassVar[Mapping[str, float]] = {}
    UPPER: ClassVar[Mapping[str, float]] = {}
    TRAINED_AS: ClassVar[Mapping[str, str]] = {}

    def trained_as(self, case: Case) -> Case:
        """The case whose fit this one shares; itself where nothing is said."""
        return next(other for other in self.cases() if other.id == self.TRAINED_AS.get(case.id, case.id))

    def fitted(self, case: Case, rho: float) -> Estimator:
        """The estimator of a case after a short fit to pairs of correlation rho."""
        return read_as(case, self.trained_as(case), rho)

    def test_it_is_an_estimator_whose_config_bears_its_name(self, case: Case) -> None:
        kind: Any = ESTIMATORS[case.name]
        assert issubclass(kind, Estimator)
        assert kind.Config.model_fields["name"].default == case.name

    def test_value_does_not_depend_on_the_order_of_the_batch(self, case: Case) -> None:
        estimator = build_estimator(case).eval()
        x, y = _pairs()
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(3))
        assert estimator(x[order], y[order]).monitor.item() == pytest.approx(
            estimator(x, y).monitor.item(), abs=1e-5
        )

    @LEARNED
    def test_half_precision_gives_the_value_of_single_precision(self, case: Case) -> None:
        estimator = build_estimator(case).eval()
        for autocast in (False, True):
            x, y = (value.bfloat16().requires_grad_() for value in _pairs())
            expected = estimator(x.float(), y.float())
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                value = estimator(x, y)
            value.loss.backward()
            assert torch.isfinite(_gradients(x, y)).all()
            assert value.loss.dtype == torch.float32
            assert value.monitor.item() == pytest.approx(expected.monitor.item(), rel=0.05, abs=0.05)

    @LEARNED
    def test_the_smallest_batch_gives_finite_values_and_gradients(self, case: Case) -> None:
        x, y = _leaves(count=2)
        value = build_estimator(case)(x, y)
        value.loss.backward()
        assert torch.isfinite(torch.stack([value.loss, value.monitor])).all()
        assert torch.isfinite(_gradients(x, y)).all()
        assert value.monitor.item() <= value.ceiling + 1e-6

    def test_one_pair_is_refused(self, case: Case) -> None:
        with pytest.raises(DataError, match="at least"):
            build_estimator(case)(*_pairs(count=1))

    def test_mismatched_inputs_are_refused(self, case: Case) -> None:
        x, y = _pairs()
        with pytest.raises(DataError, match="one row per sample"):
            build_estimator(case)(x, y[:-1])

    @only(lambda suite, case: case.id in suite.TRAINED_AS)
    def test_cases_that_share_a_fit_are_trained_alike(self, case: Case) -> None:
        trained = []
        for one in (case, self.trained_as(case)):
            estimator = build_estimator(one)
            optimiser = torch.optim.SGD(estimator.parameters(), lr=0.1)
            for seed in range(3):
                fit_step(estimator, optimiser, *_pairs(seed=seed))
            trained.append(estimator.state_dict())
        torch.testing.assert_close(*trained, rtol=0, atol=0)

    @IN_NATS
    def test_a_constant_gives_no_information(self, case: Case) -> None:
        estimator = self.fitted(case, 0.0)
        _, y = _pairs(count=256)
        assert estimator(torch.full_like(y, 0.3), y).monitor.item() == pytest.approx(0.0, abs=0.15)

    @LEARNED
    def test_constants_on_both_sides_give_finite_values_and_gradients(self, case: Case) -> None:
        x, y = torch.full((16, 2), 0.3, requires_grad=True), torch.full((16, 2), -0.7, requires_grad=True)
        value = build_estimator(case)(x, y)
        value.loss.backward()
        assert torch.isfinite(torch.stack([value.loss, value.monitor])).all()
        assert torch.isfinite(_gradients(x, y)).all()

    @IN_NATS
    def test_independent_inputs_give_no_information(self, case: Case) -> None:
        assert reading(self.fitted(case, 0.0), 0.0) == pytest.approx(0.0, abs=0.1)

    @IN_NATS
    def test_reading_grows_with_the_correlation_and_respects_its_kind(self, case: Case) -> None:
        readings = {rho: reading(self.fitted(case, rho), rho) for rho in (0.0, 0.9)}
        assert readings[0.0] < readings[0.9]
        kind = self.fitted(case, 0.9).spec.kind
        least = 0.3 if kind == "surrogate" else TRUTH - self.SHORTFALL.get(case.id, 0.1)
        assert least <= readings[0.9] <= BEYOND[kind]
        assert (kind != "upper") or readings[0.9] == pytest.approx(self.UPPER[case.id], rel=0.15)

    @only(_of("loss", "penalty", unit="nat"))
    def test_loss_wants_dependence_and_penalty_wants_independence(self, case: Case) -> None:
        estimator = self.fitted(case, 0.9)
        x, y = _pairs(rho=0.9, count=64)
        apart, together = estimator(x, y.roll(1, 0)).loss, estimator(x, y).loss
        assert (together < apart).item() is (estimator.spec.role == "loss")

    @only(_of("measure"))
    def test_a_measure_has_no_gradient(self, case: Case) -> None:
        assert not build_estimator(case)(*_leaves(count=64)).loss.requires_grad

    @ON_SCORES
    def test_extreme_scores_give_finite_gradients_below_the_ceiling(
        self, case: Case, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        estimator = build_estimator(case)
        for pattern, extreme in SCORES.items():
            scores = extreme.clone().requires_grad_()
            monkeypatch.setattr(estimator, "scores", lambda x, y, scores=scores: scores)
            value = estimator(*_pairs(count=6))
            value.loss.backward()
            assert torch.isfinite(torch.stack([value.loss, value.monitor])).all(), pattern
            assert torch.isfinite(_gradients(scores)).all(), pattern
            assert value.monitor.item() <= estimator.spec.ceiling(6) + 1e-4, pattern

    @ON_SCORES
    def test_blocks_of_rows_reduce_as_declared(self, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
        estimator = build_estimator(case).double().eval()
        x, y = (value.double() for value in _pairs(count=6))
        generator = torch.Generator().manual_seed(0)
        first, second = 3 * torch.randn(2, 6, 6, dtype=torch.float64, generator=generator)
        upper = (torch.arange(6) < 3)[:, None]

        def loss(scores: Tensor) -> float:
            monkeypatch.setattr(estimator, "scores", lambda x, y: scores)
            value: float = estimator(x, y).loss.item()
            return value

        mixed = loss(torch.where(upper, first, second)) + loss(torch.where(upper, second, first))
        is_mean = mixed == pytest.approx(loss(first) + loss(second), abs=1e-9)
        declared = estimator.spec.reducible
        assert is_mean or declared != "mean"
        assert not is_mean or declared != "logmeanexp"

    @LEARNED
    def test_a_normalised_loss_has_gradients_of_unit_size_whatever_the_batch(self, case: Case) -> None:
        for count in (16, 64):
            estimator, normaliser = self.fitted(case, 0.9).train(), GradientNormaliser()
            squares = []
            for seed in range(5):
                x, y = _leaves(0.9, count, seed)
                normaliser(estimator(x, y).loss, (x, y)).backward()
                squares.append(count * _gradients(x, y).square().sum().item())
            self.fitted(case, 0.9).eval()
            assert 0.25 < sum(squares) / len(squares) < 4

    @only(_of("loss", "penalty", scores=False))
    def test_extreme_inputs_give_finite_gradients(self, case: Case) -> None:
        x, y = ((100 * value).requires_grad_() for value in _pairs())
        value = build_estimator(case)(x, y)
        value.loss.backward()
        assert torch.isfinite(torch.stack([value.loss, value.monitor])).all()
        assert torch.isfinite(_gradients(x, y)).all()

    def test_reading_stays_below_the_ceiling_of_identical_inputs(self, case: Case) -> None:
        x, _ = _pairs(count=32)
        value = self.fitted(case, 0.9)(x, x.clone())
        assert value.monitor.item() <= value.ceiling + 1e-5
        assert value.ceiling <= ESTIMATORS[case.name].spec.ceiling(32) + 1e-9

    @LEARNED
    def test_state_is_restored(self, case: Case) -> None:
        estimator, restored = build_estimator(case), build_estimator(case)
        optimiser = torch.optim.SGD(estimator.parameters(), lr=0.1)
        for seed in range(3):
            fit_step(estimator, optimiser, *_pairs(seed=seed))
        restored.load_state_dict(estimator.state_dict())
        for seed in (10, 11):
            values = []
            for one in (estimator, restored):
                x, y = _leaves(seed=seed)
                value = one(x, y)
                value.loss.backward()
                values.append((value.monitor, x.grad, y.grad))
            for first, second in zip(*values, strict=True):
                torch.testing.assert_close(first, second, rtol=0, atol=0)

    @LEARNED
    def test_loss_never_moves_inner_parameters_and_inner_loss_moves_no_other(self, case: Case) -> None:
        estimator = build_estimator(case)
        x, y = _leaves()
        estimator(x, y).loss.backward()
        assert all(parameter.grad is None for parameter in estimator.inner_parameters())
        assert all(parameter.grad is not None for parameter in estimator.critic_parameters())
        estimator.zero_grad()
        inner = estimator.inner_loss(x.detach(), y.detach())
        assert (inner is not None) is bool(estimator.inner_parameters())
        if inner is not None:
            inner.backward()  # type: ignore[no-untyped-call]
            assert all(parameter.grad is not None for parameter in estimator.inner_parameters())
            assert all(parameter.grad is None for parameter in estimator.critic_parameters())
