from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmsa.data.targets import Targets
from mmsa.errors import ConfigError, TrainingDiverged
from mmsa.models import RepresentationDims, Representations
from mmsa.objectives import TERMS, Term, TermConfig, TermValue
from mmsa.training import epochs, evaluate, run
from mmsa.training.metrics import metric_names
from mmsa.training.resampling import standard_errors
from mmsa.training.trainer import Trainer


class ConstantTerm(Term):
    """One parameter, its own estimator; the main loss pulls at it with all its might."""

    class Config(TermConfig):
        pass

    def __init__(self, config: Config, dims: RepresentationDims):
        super().__init__()
        self.level = nn.Parameter(torch.zeros(()))

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        return TermValue(1e3 * self.level * (1 + representations.fusion.mean()))

    def estimator_loss(self, representations: Representations, targets: Targets) -> Tensor:
        assert not representations.fusion.requires_grad
        return (self.level - 2.0) ** 2

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"estimator": [self.level]}


class FailingTerm(Term):
    """Not finite from its fifth batch on; from the sixth on it cannot even be computed."""

    class Config(TermConfig):
        pass

    def __init__(self, config: Config, dims: RepresentationDims):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        self.seen += 1
        if self.seen > 5:
            torch.linalg.cholesky(torch.full((2, 2), -1.0))
        return TermValue(representations.fusion.mean() * (torch.nan if self.seen == 5 else 1.0))


@pytest.fixture
def own_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {**TERMS._entries(), "constant": ConstantTerm, "failing": FailingTerm}
    monkeypatch.setattr(TERMS, "_own", entries)


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


def test_it_learns_what_can_be_learnt(late_fusion, corpus):
    result = run(late_fusion({"train.epochs": 30, "optim.lr": 3e-3}), corpus)
    labels = corpus["valid"].labels
    assert result.metrics["valid/mae"] < 0.9 * np.abs(labels - np.median(labels)).mean()
    assert result.metrics["valid/pearson"] > 0.4
    assert result.history[-1]["loss/task"] < 0.7 * result.history[0]["loss/task"]


def test_result_is_of_the_best_epoch_and_its_weights_predict_its_metrics(configure, corpus):
    config = configure({"train.epochs": 6, "optim.lr": 0.02})
    reports = []
    result = run(config, corpus, reports.append)
    values = [metrics["valid/mae"] for metrics in result.history]
    assert result.best_epoch == int(np.argmin(values)) + 1 < 6
    assert result.metrics == result.history[result.best_epoch - 1]
    found = evaluate(corpus["valid"].labels, result.predict(corpus["valid"]), corpus.target)
    assert {f"valid/{name}": value for name, value in found.items()}.items() <= result.metrics.items()
    assert [report.epoch for report in reports] == [1, 2, 3, 4, 5, 6]
    assert [report.finished for report in reports] == [False] * 5 + [True]
    assert reports[-1].best == result.metrics
    assert result.counters == {"epochs": 6, "steps": reports[-1].step} == {"epochs": 6, "steps": 6 * 2 * 6}
    assert result.seconds > 0


def test_standard_errors_are_those_of_the_best_epoch_and_come_last(configure, corpus):
    config = configure({"train.epochs": 3})
    *earlier, last = epochs(config, corpus)
    with pytest.raises(ValueError, match="not the last"):
        earlier[0].standard_errors()
    valid = corpus["valid"]
    predictions = run(config, corpus).predict(valid)
    expected = standard_errors(valid.labels, predictions, valid.groups, corpus.target)
    assert last.standard_errors() == {f"valid/{name}": error for name, error in expected.items()}


def test_an_epoch_reports_losses_bounds_and_every_metric_of_the_label_scale(configure, corpus):
    metrics = next(epochs(configure(), corpus)).metrics
    expected = {"loss/task", "loss/cpc", "loss/barber_agakov", "loss/estimator/barber_agakov"}
    expected |= {"train/loss", "train/lr", "train/gradient", "train/gradient/estimator"}
    assert expected | {f"valid/{name}" for name in metric_names(corpus.suite)} <= set(metrics)
    assert {name.split("/")[0] for name in set(metrics) - expected} >= {"valid", "bound"}
    assert not any("test" in name for name in metrics)
    total = metrics["loss/task"] + metrics["loss/cpc"] + metrics["loss/barber_agakov"]
    assert metrics["train/loss"] == pytest.approx(total, rel=1e-5)


class TestDeterminism:
    def test_same_configuration_same_run_whatever_happens_to_the_generators(self, configure, corpus):
        first = run(configure(), corpus)
        history = []
        for progress in epochs(configure(), corpus):
            history.append(progress.metrics)
            torch.manual_seed(len(history))
            np.random.seed(len(history))
            random.seed(len(history))
        assert history == first.history

    @pytest.mark.slow
    def test_same_in_a_fresh_process_which_loads_nothing_it_does_not_need(self, configure, corpus):
        config = configure({"train.epochs": 2})
        code = (
            "import sys, json; from mmsa.config import parse; from mmsa.data import open_corpus\n"
            "from mmsa.experiment import RunConfig; from mmsa.training import run\n"
            "config = parse(RunConfig, json.loads(sys.argv[1]), 'argument')\n"
            "history = run(config, open_corpus(config.data)).history\n"
            "heavy = {'ray', 'optuna', 'mlflow', 'transformers', 'torchmetrics', 'sklearn', 'scipy.stats'}\n"
            "heavy = (heavy | {'torch._dynamo'}) & set(sys.modules)\n"
            "print(json.dumps([history, sorted(heavy)]))"
        )
        command = [sys.executable, "-c", code, config.model_dump_json()]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        # The corpus of the other process has no test split, which changes nothing.
        assert json.loads(printed) == [run(config, corpus).history, []]

    def test_another_seed_is_another_run(self, configure, corpus):
        first, second = (next(epochs(configure({"seed": seed}), corpus)).metrics for seed in (0, 1))
        assert first["valid/mae"] != second["valid/mae"]

    def test_epochs_see_different_orders_and_the_order_depends_on_the_seed(self, configure, corpus):
        def orders(seed: int) -> list[tuple[int, ...]]:
            trainer = Trainer(configure({"seed": seed}), corpus)
            passes = [part for epoch in trainer.plan for part in epoch]
            return [tuple(np.concatenate(trainer.batches.plan(part.order)).tolist()) for part in passes]

        assert len(set(orders(0))) == 6
        assert not set(orders(0)) & set(orders(1))


class TestPasses:
    def test_each_pass_moves_its_own_groups_and_estimator_passes_do_not_touch_the_graph(
        self, configure, corpus
    ):
        trainer = Trainer(configure(), corpus)
        grad_enabled: list[bool] = []
        trainer.model.register_forward_hook(lambda *_: grad_enabled.append(torch.is_grad_enabled()))
        both = nn.ModuleList([trainer.model, trainer.objective])
        estimator = {id(parameter) for parameter in trainer.groups["estimator"]}
        estimator_names = {name for name, parameter in both.named_parameters() if id(parameter) in estimator}
        moved: dict[str, set[str]] = {"estimator": set(), "main": set()}
        forwards = {"estimator": 0, "main": 0}
        before = weights(both)
        for current in trainer.steps():
            after = weights(both)
            moved[current.loss] |= changed(before, after)
            forwards[current.loss] += 1
            assert grad_enabled == [current.loss == "main"]  # one forward a step
            grad_enabled.clear()
            before = after
        assert forwards == {"estimator": 6, "main": 6}
        assert estimator_names
        assert moved["estimator"] == estimator_names
        assert moved["main"] == {
            name for name, parameter in both.named_parameters() if parameter.requires_grad
        } - (estimator_names)

    @pytest.mark.usefixtures("own_terms")
    @pytest.mark.parametrize("strategy", ["joint", "two_stage"])
    def test_estimators_follow_their_own_loss_alone(self, late_fusion, corpus, strategy):
        config = late_fusion(
            {
                "objective.terms": {"constant": {"weight": 1.0}},
                "objective.strategy.name": strategy,
                "optim.lr_estimator": 0.5,
                "optim.weight_decay_estimator": 0.0,
                "train.epochs": 20,
                "train.patience": 20,
            }
        )
        trainer = Trainer(config, corpus)
        while not trainer.finished:
            trainer.train_epoch()
        (level,) = trainer.groups["estimator"]
        assert level.item() == pytest.approx(2.0, abs=1e-2)

    @pytest.mark.usefixtures("own_terms")
    def test_the_estimator_gradient_does_not_scale_down_the_step_of_the_model(self, late_fusion, corpus):
        config = late_fusion({"objective.terms": {"constant": {"weight": 1.0}}, "optim.clip_norm": 0.01})
        trainer = Trainer(config, corpus)
        next(trainer.steps())
        model = torch.cat([p.grad.flatten() for p in trainer.groups["main"] if p.grad is not None])
        (level,) = trainer.groups["estimator"]
        assert model.norm().item() == pytest.approx(0.01, rel=1e-3)
        assert level.grad.norm().item() == pytest.approx(0.01, rel=1e-3)

    def test_two_stage_without_estimators_is_one_pass(self, late_fusion, corpus):
        joint = run(late_fusion(), corpus)
        two_stage = run(late_fusion({"objective.strategy.name": "two_stage"}), corpus)
        assert two_stage.history == joint.history
        assert two_stage.counters == joint.counters

    def test_an_estimator_pass_with_nothing_to_fit_yet_steps_nothing(self, late_fusion, corpus):
        """Conditional information alone needs the epoch before."""
        none = {"text": 0.0, "audio": 0.0, "vision": 0.0}
        term = {
            "fusion": none,
            "invariant": 0.0,
            "conditional": {"name": "cmi_knn", "classifier": {"hidden": 8}},
        }
        config = late_fusion({"objective.terms": {"mimrl": term}, "objective.strategy.name": "two_stage"})
        trainer = Trainer(config, corpus)
        before = weights(trainer.objective)
        trainer.train_epoch()
        assert changed(before, weights(trainer.objective)) == set()
        trainer.train_epoch()
        assert changed(before, weights(trainer.objective)) == set(before)
        assert "loss/estimator/mimrl" not in trainer.history[0]
        assert "loss/estimator/mimrl" in trainer.history[1]

    def test_joint_steps_everything_with_one_forward(self, configure, corpus):
        trainer = Trainer(configure({"objective.strategy.name": "joint"}), corpus)
        both = nn.ModuleList([trainer.model, trainer.objective])
        before = weights(both)
        assert [current.loss for current in trainer.steps()] == ["joint"] * 6
        trained = {name for name, parameter in both.named_parameters() if parameter.requires_grad}
        assert changed(before, weights(both)) == trained


class TestStopping:
    def test_patience(self, late_fusion, corpus):
        config = late_fusion({"train.epochs": 9, "train.patience": 2, "optim.lr": 1e-30})
        reports = list(epochs(config, corpus))
        assert [report.epoch for report in reports] == [1, 2, 3]
        assert [report.best_epoch for report in reports] == [1, 1, 1]
        assert reports[-1].finished

    def test_maximize(self, late_fusion, corpus):
        config = late_fusion({"train.metric": "valid/pearson", "train.direction": "maximize"})
        result = run(config, corpus)
        assert result.metrics["valid/pearson"] == max(epoch["valid/pearson"] for epoch in result.history)

    @pytest.mark.parametrize("metric", ["valid/maee", "test/mae", "mae", "loss/task", "valid/acc3"])
    def test_a_metric_that_no_epoch_will_have(self, late_fusion, corpus, metric):
        with pytest.raises(ConfigError, match=r"train\.metric: '" + metric) as caught:
            epochs(late_fusion({"train.metric": metric}), corpus)
        assert "valid/mae, valid/pearson, valid/acc7" in str(caught.value)


class TestDivergence:
    @pytest.mark.usefixtures("own_terms")
    @pytest.mark.parametrize("steps_between_checks", [1, 4, 50])
    def test_step_and_term_are_named_however_rarely_one_looks(
        self, late_fusion, corpus, steps_between_checks
    ):
        trainer = Trainer(late_fusion({"objective.terms": {"failing": {}}}), corpus)
        trainer.runtime = replace(trainer.runtime, steps_between_checks=steps_between_checks)
        with pytest.raises(TrainingDiverged, match="failing became nan at step 4"):
            trainer.train_epoch()
        assert trainer.position.step <= 5

    def test_a_learning_rate_that_explodes(self, late_fusion, corpus):
        with pytest.raises(TrainingDiverged):
            run(late_fusion({"optim.lr": 1e30, "train.epochs": 20}), corpus)

    def test_predictions_that_are_not_finite(self, late_fusion, corpus):
        trainer = Trainer(late_fusion(), corpus)
        trainer.model.register_forward_hook(
            lambda module, _, output: (
                None if module.training else replace(output, prediction=output.prediction / 0)
            )
        )
        with pytest.raises(TrainingDiverged, match=r"prediction became -?inf at step 6"):
            trainer.train_epoch()

    @pytest.mark.parametrize("error", [torch.OutOfMemoryError("no memory"), MemoryError("no memory")])
    def test_out_of_memory_passes_through(self, late_fusion, corpus, error):
        trainer = Trainer(late_fusion(), corpus)

        def fail(*_: object) -> None:
            raise error

        trainer.model.register_forward_hook(fail)
        with pytest.raises(type(error)) as caught:
            trainer.train_epoch()
        assert caught.value is error


class TestAverage:
    def test_it_is_the_exponential_moving_average_of_the_weights(self, configure, corpus):
        trainer = Trainer(configure({"train.average": 0.9}), corpus)
        expected: dict[str, Tensor] = {}
        for current in trainer.steps():
            if current.loss == "estimator":
                continue
            for name, value in weights(trainer.model).items():
                expected[name] = 0.9 * expected[name] + 0.1 * value if name in expected else value
        for name, value in trainer.average.module.named_parameters():
            torch.testing.assert_close(value.detach(), expected[name])

    def test_it_is_what_is_evaluated_and_kept(self, configure, corpus):
        config = configure({"train.average": 0.9})
        trainer = Trainer(config, corpus)
        trainer.train_epoch()
        plain = next(epochs(configure(), corpus)).metrics
        assert trainer.history[0]["loss/task"] == plain["loss/task"]
        assert trainer.history[0]["valid/mae"] != plain["valid/mae"]
        averaged = trainer.average.module.state_dict()
        kept = trainer.result().predictor.model.state_dict()
        assert all(torch.equal(value, averaged[name]) for name, value in kept.items())


def test_threads_are_pinned_in_an_epoch_and_restored_after_it(late_fusion, corpus):
    before = torch.get_num_threads()

    def seen(threads: int) -> set[int]:
        trainer, counts = Trainer(late_fusion({"train.threads": threads}), corpus), set()
        trainer.model.register_forward_hook(lambda *_: counts.add(torch.get_num_threads()))
        trainer.train_epoch()
        return counts

    assert seen(before + 1) == {before + 1}
    assert seen(0) == {before}
    assert torch.get_num_threads() == before
