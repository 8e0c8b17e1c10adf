"""What every registered strategy and weighting has to do in a run. A new one joins with one line."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mmsa.config import parse, with_overrides
from mmsa.data import Corpus, open_corpus
from mmsa.experiment import RunConfig
from mmsa.objectives import STRATEGIES, WEIGHTINGS
from mmsa.training.trainer import Trainer

ENCODERS = {name: {"name": "mlp", "output": 8, "dropout": 0.0} for name in ("text", "audio", "vision")}
BASE: dict[str, Any] = {
    "data": {"name": "planted", "rows_train": 24, "rows_valid": 8},
    "model": {"name": "mmim", **ENCODERS, "fusion": {"name": "mlp", "width": 12, "dropout": 0.0}},
    "objective": {
        "terms": {"cpc": {"weight": 0.1}, "barber_agakov": {"weight": 0.1, "vision_to_audio": True}}
    },
    "optim": {"lr": 0.01, "weight_decay": 0.0},
    "train": {"epochs": 3, "batch_size": 8, "threads": 1, "device": "cpu"},
}
CORAL = {"coral": {"text_audio": 1.0}}
CASES: dict[str, dict[str, Any]] = {
    "joint": {},
    "two_stage": {"objective.strategy": {"name": "two_stage", "repeats": 2, "fraction": 0.5}},
    "alternating": {
        "model.fusion": {"name": "average"},
        "objective": {"strategy": {"name": "alternating", "mixture": 0.5}},
    },
    "fixed": {"objective.terms": CORAL},
    "uncertainty": {"objective": {"terms": CORAL, "weighting": {"name": "uncertainty"}}},
}
cases = pytest.mark.parametrize("case", CASES)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return open_corpus(parse(RunConfig, BASE, "test").data, ("train", "valid"))


def trainer_of(case: str, corpus: Corpus, changes: dict[str, Any] | None = None) -> Trainer:
    config = with_overrides(parse(RunConfig, BASE, case), CASES[case])
    return Trainer(with_overrides(config, changes or {}), corpus)


@pytest.fixture(scope="module")
def uninterrupted(corpus: Corpus) -> Callable[[str], Trainer]:
    """The trainer of a case after all its epochs, trained once."""

    @cache
    def trained(case: str) -> Trainer:
        trainer = trainer_of(case, corpus)
        while not trainer.finished:
            trainer.train_epoch()
        return trainer

    return trained


def parameters_of(trainer: Trainer) -> dict[str, Tensor]:
    """Copies of all trained parameters, by group and position."""
    return {
        f"{group}/{position}": parameter.detach().clone()
        for group, members in trainer.groups.items()
        for position, parameter in enumerate(members)
    }


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


def test_every_strategy_and_weighting_has_a_case() -> None:
    assert set(CASES) == {*STRATEGIES, *WEIGHTINGS}


@cases
def test_a_step_moves_parameters_of_its_own_groups_only(case: str, corpus: Corpus) -> None:
    trainer = trainer_of(case, corpus)
    before = parameters_of(trainer)
    for current in trainer.steps():
        after = parameters_of(trainer)
        groups = {name.partition("/")[0] for name in moved(before, after)}
        assert groups
        assert groups <= set(current.groups)
        before = after


@cases
def test_an_epoch_trains_every_parameter(case: str, corpus: Corpus) -> None:
    trainer = trainer_of(case, corpus)
    before = parameters_of(trainer)
    trainer.train_epoch()
    assert moved(before, parameters_of(trainer)) == set(before)


@cases
@pytest.mark.parametrize("modalities", [("text", "audio"), ("audio", "vision")])
def test_batches_of_two_rows_and_absent_modalities_give_finite_losses(
    case: str, modalities: tuple[str, ...]
) -> None:
    data = {**BASE["data"], "rows_train": 6, "modalities": modalities}
    small = open_corpus(parse(RunConfig, {**BASE, "data": data}, "test").data, ("train", "valid"))
    trainer = trainer_of(case, small, {"train.batch_size": 2})
    trainer.train_epoch()  # which raises for anything that is not finite
    assert trainer.position.step > 0


@cases
def test_overfits_one_batch(case: str, corpus: Corpus) -> None:
    trainer = trainer_of(case, corpus, {"train.batch_size": 24, "train.epochs": 80, "train.patience": 80})
    losses: list[float] = []
    while not trainer.finished and (not losses or losses[-1] >= 0.5 * losses[0]):
        trainer.train_epoch()
        losses.append(trainer.history[-1]["loss/task"])
    assert losses[-1] < 0.5 * losses[0]


@cases
@pytest.mark.parametrize("steps", [1, 4, 8])
def test_a_checkpoint_between_two_steps_continues_alike(
    case: str, steps: int, corpus: Corpus, uninterrupted: Callable[[str], Trainer], tmp_path: Path
) -> None:
    trainer = trainer_of(case, corpus)
    for _ in islice(trainer.steps(), steps):
        pass
    trainer.save(tmp_path / "checkpoint")
    again = trainer_of(case, corpus)
    torch.manual_seed(99)
    again.resume(tmp_path / "checkpoint")
    while not again.finished:
        again.train_epoch()
    whole = uninterrupted(case)
    assert again.history == whole.history
    assert not moved(parameters_of(whole), parameters_of(again))
