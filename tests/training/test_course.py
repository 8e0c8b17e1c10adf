"""Settings that change during a run: replayed from the start, taken up from a checkpoint of before."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from mmsa.config import parse
from mmsa.errors import CheckpointError, ConfigError
from mmsa.experiment import RunConfig
from mmsa.training import epochs, run
from mmsa.training.trainer import Trainer

SHORT = {"train.batch_size": 30}  # three batches a pass
CHANGES = {"optim.lr": 0.02, "optim.weight_decay": 0.3, "objective.terms.cpc.weight": 0.7}
COURSE = [{"after": 1, "set": CHANGES}, {"after": 2, "set": {"optim.lr": 0.005, "optim.clip_norm": 0.1}}]
SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {},
    "warm-up and cosine": {"optim.schedule": "cosine", "optim.warmup": 0.5},
    "plateau": {"optim.schedule": "plateau", "train.patience": 1, "train.batch_size": 16},  # gets better
    "milestones": {"optim.schedule": "multi_step", "optim.milestones": [1]},
    "own rates": {"optim.lr_audio": 0.004, "course": [{"after": 2, "set": {"optim.lr_audio": 0.04}}]},
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_checkpoint_of_before_a_change_goes_on_as_the_run_that_changes(
    configure, corpus, tmp_path, schedule
):
    """What a run did before, it did without knowing of the change."""
    changing = configure({**SHORT, "course": COURSE, **SCHEDULES[schedule]})
    last = changing.course[-1].after
    before = changing.model_copy(update={"course": changing.course[:-1]})
    next(islice(epochs(before, corpus), last - 1, None)).save(tmp_path / "checkpoint")
    whole, unchanged = run(changing, corpus).history, run(before, corpus).history
    assert run(changing, corpus, resume=tmp_path / "checkpoint").history == whole
    assert unchanged[:last] == whole[:last]
    assert unchanged[last:] != whole[last:]


@pytest.mark.parametrize("steps", [1, 5])
def test_between_two_steps_after_a_change(configure, corpus, tmp_path, steps):
    config = configure({**SHORT, "course": COURSE})
    trainer = Trainer(config, corpus)
    trainer.train_epoch()
    list(islice(trainer.steps(), steps))
    trainer.save(tmp_path / "checkpoint")
    assert run(config, corpus, resume=tmp_path / "checkpoint").history == run(config, corpus).history


def test_every_setting_of_a_course_is_what_the_steps_read(configure, corpus):
    trainer = Trainer(configure({**SHORT, "course": [{"after": 1, "set": CHANGES}]}), corpus)
    trainer.train_epoch()
    list(islice(trainer.steps(), 1))
    main = next(group for group in trainer.optimiser.param_groups if group["name"] == "main")
    assert (main["lr"], main["weight_decay"]) == (0.02, 0.3)
    assert trainer.objective.weights["cpc"] == 0.7


def test_rates_keep_their_place_in_the_schedule(configure, corpus):
    plain, changed = (
        run(configure({**SHORT, "optim.schedule": "linear", **course}), corpus).history[-1]["train/lr"]
        for course in ({}, {"course": [{"after": 1, "set": {"optim.lr": 0.002}}]})
    )
    assert changed == pytest.approx(2 * plain)


def test_a_checkpoint_of_another_course_is_refused(configure, corpus, tmp_path):
    next(islice(epochs(configure({**SHORT, "course": COURSE}), corpus), 1, None)).save(
        tmp_path / "checkpoint"
    )
    other = configure({**SHORT, "course": [{"after": 1, "set": {"optim.lr": 0.5}}]})
    with pytest.raises(CheckpointError, match=r"settings changed in another course before epoch 2"):
        next(epochs(other, corpus, resume=tmp_path / "checkpoint"))


REFUSED: dict[str, tuple[list[dict[str, Any]], str]] = {
    "not continuable": ([{"after": 1, "set": {"model.fusion.width": 8.0}}], "cannot change during a run"),
    "not in the objective": (
        [{"after": 1, "set": {"objective.terms.coral.weight": 0.1}}],
        "has no value at the beginning",
    ),
    "a default of another": ([{"after": 1, "set": {"optim.lr_audio": 0.1}}], "has no value at the beginning"),
    "out of range": ([{"after": 1, "set": {"optim.lr": 0.0}}], "greater than 0"),
    "a term that ends": ([{"after": 1, "set": {"objective.terms.cpc.weight": 0.0}}], "takes a term out"),
    "out of order": ([COURSE[1], COURSE[0]], "must be in the order of epochs"),
    "too late": ([{"after": 3, "set": {"optim.lr": 0.1}}], "nothing comes after epoch 3"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_course_that_cannot_be_run_is_refused(configure, case):
    course, message = REFUSED[case]
    with pytest.raises(ConfigError, match=message):
        parse(RunConfig, {**configure().model_dump(), "course": course}, "run.yaml")


def test_what_holds_in_an_epoch(configure):
    config = configure({**SHORT, "course": COURSE})
    assert [config.at_epoch(epoch).optim.lr for epoch in (1, 2, 3)] == [1e-3, 0.02, 0.005]
    assert config.at_epoch(3).optim.weight_decay == 0.3
    assert config.at_epoch(3).course == ()
