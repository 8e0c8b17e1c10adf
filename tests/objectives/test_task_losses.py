"""Task losses of every kind of target, beside formulas and libraries; objectives of several targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical
from torch.nn import functional

from mmsa.config import parse
from mmsa.data.target_spec import TargetSpec
from mmsa.data.targets import Targets, TrainTargets
from mmsa.errors import ConfigError
from mmsa.models.base import RepresentationDims, Representations
from mmsa.models.heads import build_head, entropy_of, output_of, raw_output
from mmsa.objectives.base import TASKS
from mmsa.objectives.losses import balanced
from mmsa.objectives.objective import Objective, ObjectiveConfig

SCORE = TargetSpec("score", low=0.0, high=24.0, threshold=10.0, suite="phq8")
LEVEL = TargetSpec("level", "ordinal", low=0.0, high=3.0)
DEPRESSED = TargetSpec("depressed", "binary")
MOOD = TargetSpec("mood", "multiclass", classes=("sad", "calm", "glad"))
LABELS = TargetSpec("labels", "multilabel", classes=("anger", "joy"))
EVERY = (SCORE, LEVEL, DEPRESSED, MOOD, LABELS)
ROWS = 12


def values_of(target: TargetSpec, rows: int = ROWS) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (rows, 2) if target.kind == "multilabel" else (rows,)
    return torch.randint(0, int(target.high) + 1, shape, generator=generator).float()


def loss_of(name: str, target: TargetSpec, counts: tuple[float, ...] = (), **settings: Any) -> Any:
    return TASKS[name](TASKS[name].Config(**settings), target, counts)


@pytest.mark.parametrize("target", EVERY, ids=lambda target: target.kind)
@pytest.mark.parametrize("name", TASKS)
def test_every_loss_of_a_kind_leads_its_head_to_the_truth(name: str, target: TargetSpec) -> None:
    if target.kind not in TASKS[name].kinds:
        return
    torch.manual_seed(0)
    values, features = values_of(target), torch.eye(ROWS)
    head, loss = build_head(target, ROWS), loss_of(name, target)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.3)
    for _ in range(400):
        optimiser.zero_grad()
        loss(raw_output(target, head, features), values).backward()
        optimiser.step()
    output = output_of(target, raw_output(target, head, features)).detach()
    if target.is_scale:
        assert (output - values).abs().max() < 0.2 * target.high
    elif target.kind == "multiclass":
        assert (output.argmax(1) == values).all()
    else:
        assert ((output > 0.5) == (values > 0.5)).all()
    assert all(parameter.grad is not None for parameter in head.parameters())


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.floats(-50, 50), st.floats(0.1, 50))
def test_ccc_is_one_minus_the_population_formula(seed: int, shift: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=ROWS)
    y = scale * (x + rng.normal(size=ROWS)) + shift
    ccc = 2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    found = loss_of("ccc", SCORE)(torch.tensor(y), torch.tensor(x))
    assert float(found) == pytest.approx(1 - ccc, abs=1e-9)
    both = loss_of("ccc", SCORE, mae=0.5)(torch.tensor(y), torch.tensor(x))
    assert float(both) == pytest.approx(1 - ccc + 0.5 * np.abs(x - y).mean(), abs=1e-6)


def test_constant_outputs_have_a_finite_gradient() -> None:
    output = torch.zeros(ROWS, requires_grad=True)
    loss_of("ccc", SCORE)(output, values_of(SCORE)).backward()
    assert output.grad is not None
    assert output.grad.isfinite().all()
    assert output.grad.any()


def test_focal_is_cross_entropy_at_gamma_zero_and_less_of_easy_rows() -> None:
    raw, values = torch.randn(ROWS, 3, generator=torch.Generator().manual_seed(2)), values_of(MOOD)
    plain = functional.cross_entropy(raw, values.long(), reduction="none")
    probability = torch.exp(-plain)
    torch.testing.assert_close(loss_of("focal", MOOD, gamma=0.0)(raw, values), plain.mean())
    expected = ((1 - probability) ** 2 * plain).mean()
    torch.testing.assert_close(loss_of("focal", MOOD)(raw, values), expected, rtol=1e-4, atol=1e-6)
    binary = raw[:, 0], values_of(DEPRESSED)
    torch.testing.assert_close(
        loss_of("focal", DEPRESSED, gamma=0.0)(*binary), loss_of("bce", DEPRESSED)(*binary)
    )


def test_cumulative_logits_are_the_probability_of_the_level() -> None:
    raw = torch.tensor([[2.0, 0.5, -1.0], [2.0, 0.5, -1.0]], dtype=torch.float64)
    above = torch.sigmoid(raw[0])
    expected = -(torch.log(above[0] - above[1]) + torch.log(1 - above[0])) / 2
    torch.testing.assert_close(loss_of("ordinal", LEVEL)(raw, torch.tensor([1.0, 0.0])), expected)
    assert output_of(LEVEL, raw)[0] == pytest.approx(float(above.sum()))


def test_entropies_are_those_of_the_distributions_that_are_predicted() -> None:
    raw = torch.tensor([[2.0, 0.5, -1.0], [9.0, -9.0, -30.0]], dtype=torch.float64)
    above = torch.cat([torch.ones(2, 1), raw.sigmoid(), torch.zeros(2, 1)], 1)
    expected = {
        LEVEL: Categorical(probs=above[:, :-1] - above[:, 1:]).entropy(),
        MOOD: Categorical(logits=raw).entropy(),
        DEPRESSED: Bernoulli(logits=raw[:, 0]).entropy(),
        LABELS: Bernoulli(logits=raw[:, :2]).entropy().sum(1),
    }
    shown = {DEPRESSED: raw[:, 0], LABELS: raw[:, :2]}
    for target, entropy in expected.items():
        torch.testing.assert_close(entropy_of(target, shown.get(target, raw)), entropy)


def test_levels_that_are_predicted_wrongly_for_sure_still_have_a_gradient() -> None:
    raw = torch.tensor([[60.0, 59.0, 58.0]], requires_grad=True)
    loss = loss_of("ordinal", LEVEL)(raw, torch.tensor([0.0]))
    loss.backward()
    assert loss.item() == pytest.approx(60.0, rel=1e-3)
    assert raw.grad is not None
    assert raw.grad[0, 0] > 0.5


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array([0, 0, 0, 1, 1, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert balanced(MOOD, (3.0, 2.0, 1.0)) == pytest.approx(expected.tolist())
    assert balanced(MOOD, (3.0, 0.0, 3.0)) == pytest.approx((1.0, 0.0, 1.0))
    assert balanced(LABELS, (2.0, 0.0, 10.0)) == (4.0, 1.0)
    # Then every class has the same part of the loss of a head that knows nothing.
    loss = loss_of("bce", DEPRESSED, (2.0, 10.0), class_weights="balanced")
    zeros = torch.zeros(10, requires_grad=True)
    loss(zeros, (torch.arange(10) < 2).float()).backward()
    assert zeros.grad is not None
    assert float(zeros.grad.sum()) == pytest.approx(0.0, abs=1e-7)


def objective(spec: TrainTargets, **values: Any) -> Objective:
    dims = RepresentationDims({"text": 4, "audio": 4}, fusion=4, concept=spec.target.concept_width)
    return Objective(parse(ObjectiveConfig, values, "test"), dims, spec)


def spec_of(*targets: TargetSpec) -> TrainTargets:
    return TrainTargets(rows=ROWS, label_range=targets[0].scale, targets=targets)


def test_the_losses_of_several_targets_are_named_and_weighted_and_leave_out_what_is_missing() -> None:
    built = objective(
        spec_of(SCORE, DEPRESSED, MOOD),
        task={"name": "ccc"},
        tasks={"depressed": {"name": "bce", "weight": 0.5}, "mood": {"name": "default", "weight": 0.0}},
    )
    assert built.task_names == ["task", "task/depressed"]
    values = values_of(DEPRESSED)
    values[:5] = torch.nan
    raw = torch.randn(ROWS, generator=torch.Generator().manual_seed(3))
    found = built(
        Representations({}, torch.zeros(ROWS, 4), raw, {}, {"depressed": raw}),
        Targets(values_of(SCORE), torch.arange(ROWS), further={"depressed": values}),
    ).losses
    expected = functional.binary_cross_entropy_with_logits(raw[5:], values[5:])
    torch.testing.assert_close(found["task/depressed"], 0.5 * expected)
    torch.testing.assert_close(found["task"], loss_of("ccc", SCORE)(raw, values_of(SCORE)))


def test_without_any_value_a_further_target_adds_nothing() -> None:
    built = objective(spec_of(SCORE, DEPRESSED), tasks={"depressed": {"name": "bce"}})
    raw = torch.randn(ROWS).requires_grad_()
    missing = torch.full((ROWS,), torch.nan)
    found = built(
        Representations({}, torch.zeros(ROWS, 4), raw.detach(), {}, {"depressed": raw}),
        Targets(values_of(SCORE), torch.arange(ROWS), further={"depressed": missing}),
    ).losses["task/depressed"]
    found.backward()
    assert found.item() == 0.0
    assert raw.grad is not None
    assert not raw.grad.any()


def test_a_target_that_is_no_scale_has_the_loss_of_its_kind() -> None:
    (task,) = objective(spec_of(MOOD)).tasks
    assert type(task.loss).__name__ == "CrossEntropy"
    learned = objective(
        spec_of(SCORE, DEPRESSED), tasks={"depressed": {"name": "bce"}}, weighting={"name": "uncertainty"}
    )
    assert set(learned.weighting.log_variances) == {"task", "task/depressed"}


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"tasks": {"depresed": {"name": "bce"}}}, "no target of the data set.*Did you mean 'depressed'"),
        ({"task": {"name": "bce"}}, "no loss of score, a target of the kind regression.*mae"),
        ({"tasks": {"depressed": {"name": "ccc"}}}, "no loss of depressed, a target of the kind binary.*bce"),
        ({"task": {"name": "mae", "weight": 0.0}}, "always trained"),
    ],
)
def test_what_does_not_fit_the_targets_is_refused(values: dict[str, Any], rule: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){rule}"):
        objective(spec_of(SCORE, DEPRESSED), **values)


def test_batches_in_which_ccc_is_chance_are_refused() -> None:
    built = objective(spec_of(SCORE), task={"name": "ccc"})
    built.refuse_small_batches(163, 32)  # six batches of 27 or 28
    with pytest.raises(ConfigError, match="batches of 4 rows, and the task loss needs 8"):
        built.refuse_small_batches(12, 4)


@pytest.mark.parametrize(
    ("term", "rule"),
    [("barber_agakov", "any number of 2 labels"), ("supervised_contrastive", "any number of 2 labels")],
)
def test_terms_that_need_one_class_refuse_several(term: str, rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        Objective(
            parse(ObjectiveConfig, {"terms": {term: {}}}, "test"),
            RepresentationDims({"text": 8, "audio": 8}, fusion=8, concept=2),
            spec_of(LABELS),
        )


@pytest.mark.parametrize("target", [DEPRESSED, MOOD], ids=lambda target: target.kind)
def test_labels_are_generated_for_scales_only(target: TargetSpec) -> None:
    with pytest.raises(ConfigError, match="predict a number on a scale"):
        objective(spec_of(target), terms={"unimodal": {}})


def test_what_terms_see_of_a_target() -> None:
    depressed, mood, labels = (spec_of(target) for target in (DEPRESSED, MOOD, LABELS))
    assert mood.concept(torch.tensor([2.0, 0.0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert labels.concept(torch.tensor([[1.0, 1.0]])).tolist() == [[1, 1]]
    assert depressed.concept(torch.tensor([1.0, 0.0])).tolist() == [[1], [0]]
    scored = TrainTargets(targets=(SCORE,), mean=8.0, deviation=4.0)
    assert scored.concept(torch.tensor([12.0])).tolist() == [[1.0]]
    assert scored.sides(torch.tensor([9.0, 10.0])).tolist() == [-1.0, 1.0]
    assert mood.sides(torch.tensor([2.0])).tolist() == [2.0]
    assert TrainTargets().sides(torch.tensor([-2.0, 0.0])).tolist() == [-1.0, 0.0]


def test_a_head_begins_in_the_middle_of_a_declared_scale():
    """A plain label, which data sets had before there were targets, keeps the head and the numbers it had."""
    torch.manual_seed(0)
    fused_BD = torch.randn(256, 16)
    begun = raw_output(SCORE, build_head(SCORE, 16), fused_BD)
    assert 6 < begun.mean() < 18
    assert begun.std() > 2
    plain = TargetSpec("label", low=0.0, high=24.0)
    assert type(build_head(plain, 16)) is nn.Linear
