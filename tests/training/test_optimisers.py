from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from mmsa.config import parse
from mmsa.data.batches import Batch
from mmsa.data.inputs import InputSpec
from mmsa.errors import ConfigError
from mmsa.experiment import OptimConfig, TrainConfig
from mmsa.models import Model, RepresentationDims, Representations, build_model
from mmsa.objectives import Objective, ObjectiveConfig
from mmsa.training.optimisers import Schedule, build_optimiser, clip_gradient, trained_parameters


class Stacked(Model):
    """An embedding, three "layers" and a head; the head alone is ``main``."""

    dims = RepresentationDims({"text": 4}, 4)

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.head = nn.Linear(4, 1)

    def forward(self, batch: Batch) -> Representations:
        raise NotImplementedError

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        pretrained = [self.embedding.weight, *self.layers.parameters()]
        return {"main": list(self.head.parameters()), "pretrained": pretrained}

    def pretrained_depths(self) -> dict[str, int]:
        depths = {f"layers.{i}.{name}": 2 - i for i in range(3) for name in ("weight", "bias")}
        return {"embedding.weight": 3, **depths}


@pytest.fixture
def model() -> Stacked:
    return Stacked()


@pytest.fixture
def objective(model: Stacked) -> Objective:
    return Objective(ObjectiveConfig(), model.dims)


class TestGroups:
    def test_all_parameters_once(self, model, objective):
        groups = trained_parameters(model, objective)
        assert list(groups) == ["main", "pretrained", "mixture", "estimator"]
        assert [len(group) for group in groups.values()] == [2, 7, 0, 0]

    def test_frozen_parameters_belong_nowhere(self, model, objective):
        model.embedding.weight.requires_grad_(False)
        assert len(trained_parameters(model, objective)["pretrained"]) == 6

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda groups: groups | {"main": groups["main"][:1]}, "head.bias': 0"),
            (
                lambda groups: groups | {"pretrained": groups["pretrained"] + groups["main"]},
                "head.weight': 2",
            ),
            (lambda groups: groups | {"main": groups["main"] * 2}, "head.weight': 2"),
            (lambda groups: groups | {"bert": []}, "declares the parameter group 'bert'"),
        ],
    )
    def test_a_wrong_partition_is_refused(self, model, objective, monkeypatch, change, message):
        wrong = change(model.parameter_groups())
        monkeypatch.setattr(model, "parameter_groups", lambda: wrong)
        with pytest.raises(ValueError, match=message):
            trained_parameters(model, objective)

    def test_rates_and_decay_of_each_parameter(self, model, objective):
        config = OptimConfig(
            lr=0.1, lr_pretrained=0.01, layer_decay=0.5, weight_decay=0.2, weight_decay_pretrained=0.3
        )
        optimiser = build_optimiser(config, model, trained_parameters(model, objective))
        found = {id(p): (g["lr"], g["weight_decay"]) for g in optimiser.param_groups for p in g["params"]}
        by_name = {name: found.pop(id(parameter)) for name, parameter in model.named_parameters()}
        assert not found
        assert by_name == {
            "head.weight": (0.1, 0.2),
            "head.bias": (0.1, 0.2),
            "layers.2.weight": (0.01, 0.3),
            "layers.2.bias": (0.01, 0.0),
            "layers.1.weight": (0.005, 0.3),
            "layers.1.bias": (0.005, 0.0),
            "layers.0.weight": (0.0025, 0.3),
            "layers.0.bias": (0.0025, 0.0),
            "embedding.weight": (0.00125, 0.3),
        }

    def test_encoders_have_rates_and_decay_of_their_own_where_they_are_written(self, corpus, late_fusion):
        run = late_fusion({"optim.lr_audio": 0.03, "optim.weight_decay_vision": 0.0})
        model = build_model(run.model, InputSpec.of(corpus))
        groups = trained_parameters(model, Objective(run.objective, model.dims))
        found = {
            id(p): (group["lr"], group["weight_decay"])
            for group in build_optimiser(run.optim, model, groups).param_groups
            for p in group["params"]
        }
        expected = {"encoders.audio": (0.03, 1e-4), "encoders.vision": (1e-3, 0.0)}
        for name, parameter in model.named_parameters():
            encoder = ".".join(name.split(".")[:2])
            assert found.pop(id(parameter)) == expected.get(encoder, (1e-3, 1e-4))
        assert not found

    @pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
    def test_the_named_optimiser_leaves_parameters_without_gradient_alone(self, model, objective, name, kind):
        config = OptimConfig(name=name, weight_decay=0.5, weight_decay_pretrained=0.5)
        optimiser = build_optimiser(config, model, trained_parameters(model, objective))
        before = {name: value.clone() for name, value in model.state_dict().items()}
        model.head(torch.ones(2, 4)).sum().backward()
        optimiser.step()
        changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
        assert isinstance(optimiser, kind)
        assert isinstance(optimiser, torch.optim.AdamW) == (name == "adamw")
        assert changed == {"head.weight", "head.bias"}


class TestSchedule:
    def test_shapes_after_warm_up(self):
        def factors(shape: str) -> list[float]:
            optim = OptimConfig(lr=1.0, schedule=shape, warmup=0.2)
            parameter = nn.Parameter(torch.zeros(1))
            return [
                Schedule(torch.optim.AdamW([parameter]), optim, TrainConfig(), 10).factor(step)
                for step in range(11)
            ]

        assert factors("constant") == factors("plateau") == [0.5, *[1.0] * 10]
        assert factors("linear") == pytest.approx([0.5, 1.0, *[1 - step / 8 for step in range(9)]])
        cosine = [0.5 + 0.5 * math.cos(math.pi * step / 8) for step in range(9)]
        assert factors("cosine") == pytest.approx([0.5, 1.0, *cosine])

    def test_the_optimiser_follows(self):
        optim = OptimConfig(lr=2.0, schedule="linear", warmup=0.25)
        parameter = nn.Parameter(torch.zeros(1))
        optimiser = torch.optim.AdamW([parameter], lr=optim.lr)
        schedule = Schedule(optimiser, optim, TrainConfig(), 8)
        found = []
        for _ in range(8):
            found.append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            schedule.after_step()
        assert found == pytest.approx([1.0, 2.0, 2.0, *[2 * (1 - step / 6) for step in range(1, 6)]])

    @pytest.mark.parametrize(("direction", "sign"), [("minimize", 1), ("maximize", -1)])
    def test_plateau_halves_after_half_the_patience_and_keeps_its_warm_up(self, direction, sign):
        optim = OptimConfig(lr=1.0, schedule="plateau", warmup=2 / 16)
        train = TrainConfig(patience=4, direction=direction)
        optimiser = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=optim.lr)
        schedule = Schedule(optimiser, optim, train, 16)
        found = []
        for metric in (3.0, 2.0, 2.0, 2.5, 2.1, 1.9, 1.9, 1.9):
            found.append(optimiser.param_groups[0]["lr"])
            for _ in range(2):
                optimiser.step()
                schedule.after_step()
            schedule.after_epoch(sign * metric)
        assert found == pytest.approx([0.5, 1, 1, 1, 1, 0.5, 0.5, 0.5])

    def test_milestones_lower_the_rates_and_keep_their_warm_up(self):
        optim = OptimConfig(lr=1.0, schedule="multi_step", milestones=(2, 3), decay=0.5, warmup=2 / 10)
        optimiser = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=optim.lr)
        schedule = Schedule(optimiser, optim, TrainConfig(), 10)
        found = []
        for _ in range(5):
            found.append(optimiser.param_groups[0]["lr"])
            for _ in range(2):
                optimiser.step()
                schedule.after_step()
            schedule.after_epoch(1.0)
        assert found == pytest.approx([0.5, 1, 0.5, 0.25, 0.25])

    def test_what_falls_into_the_warm_up_is_not_lost(self):
        """A milestone after 2 epochs and a plateau within a warm-up of 3, also when resumed in between."""
        for schedule, settings in (("multi_step", {"milestones": (2,), "decay": 0.5}), ("plateau", {})):
            optim = OptimConfig(lr=1.0, schedule=schedule, warmup=3 / 5, **settings)
            optimiser = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=optim.lr)
            subject, found = Schedule(optimiser, optim, TrainConfig(patience=1), 5), []
            for _ in range(5):
                found.append(optimiser.param_groups[0]["lr"])
                optimiser.step()
                subject.after_step()
                subject.after_epoch(1.0 if len(found) <= 2 else -len(found))
                state = copy.deepcopy((optimiser.state_dict(), subject.state_dict()))
                optimiser = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=optim.lr)
                subject = Schedule(optimiser, optim, TrainConfig(patience=1), 5)
                optimiser.load_state_dict(state[0])
                subject.load_state_dict(state[1])
            assert found == pytest.approx([1 / 3, 2 / 3, 0.5, 0.5, 0.5]), schedule

    @pytest.mark.parametrize(
        "settings", [{"schedule": "multi_step"}, {"schedule": "cosine", "milestones": [3]}]
    )
    def test_milestones_go_with_their_schedule(self, settings):
        with pytest.raises(ConfigError, match=r"milestones: .*\n +go with schedule: multi_step"):
            parse(OptimConfig, settings, "test")


def test_clipping_cuts_entries_then_scales_to_the_limit_and_zero_is_no_limit():
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))]

    def clipped(**limits: float) -> tuple[float, float]:
        for parameter in parameters:
            parameter.grad = torch.tensor([3.0, 4.0])
        before = clip_gradient(parameters, OptimConfig(**limits))
        after = torch.cat([parameter.grad for parameter in parameters]).norm()
        return float(before), float(after)

    assert clipped(clip_norm=1.0) == pytest.approx((math.sqrt(50), 1.0), rel=1e-5)
    assert clipped(clip_norm=100.0) == clipped(clip_norm=0.0) == pytest.approx((math.sqrt(50),) * 2)
    assert clipped(clip_norm=0.0, clip_value=1.0) == pytest.approx((2.0, 2.0))
    assert clipped(clip_norm=1.0, clip_value=1.0) == pytest.approx((2.0, 1.0), rel=1e-5)


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_steps_and_states_are_those_of_torch(name, kind):
    """Ours are torch's without the wrappers for its compiler, which a process would load for them."""
    model, reference = Stacked(), Stacked()
    reference.load_state_dict(model.state_dict())
    config = OptimConfig(name=name, weight_decay=0.1)
    ours = build_optimiser(
        config, model, {"main": list(model.parameters()), "pretrained": [], "mixture": [], "estimator": []}
    )
    theirs = kind(reference.parameters(), lr=config.lr, weight_decay=0.1, fused=True)
    assert isinstance(ours, kind)
    for _ in range(2):
        for _ in range(2):
            for stacked, optimiser in ((model, ours), (reference, theirs)):
                optimiser.zero_grad()
                sum((parameter**3).sum() for parameter in stacked.parameters()).backward()
                optimiser.step()
        ours.load_state_dict(copy.deepcopy(ours.state_dict()))
    for one, other in zip(model.parameters(), reference.parameters(), strict=True):
        assert one.requires_grad
        assert torch.equal(one, other)
    for one, other in zip(
        ours.state_dict()["state"].values(), theirs.state_dict()["state"].values(), strict=True
    ):
        assert all(torch.equal(one[key], other[key]) for key in other)
