from __future__ import annotations

import os
import pickle
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from mmsa.data import Corpus, open_corpus
from mmsa.errors import CheckpointError
from mmsa.experiment import RunConfig
from mmsa.training import epochs, run
from mmsa.training.checkpoint import _save, read_checkpoint
from mmsa.training.trainer import Trainer

AVERAGE = {
    "name": "late_fusion",
    **{name: {"name": "mlp", "output": 8} for name in ("text", "audio", "vision")},
    "fusion": {"name": "average"},
}
SHORT = {"train.batch_size": 30}
"""Three batches a pass: the fewest with a first, a last and one between."""
VARIANTS: dict[str, dict[str, Any]] = {
    "mmim": {},
    "joint, cosine, average": {
        "objective.strategy.name": "joint",
        "optim.schedule": "cosine",
        "optim.warmup": 0.2,
        "train.average": 0.8,
    },
    "two estimator passes, memory, plateau": {
        "objective.strategy.repeats": 2,
        "objective.strategy.fraction": 0.5,
        "objective.terms.barber_agakov.memory": 3,
        "optim.schedule": "plateau",
        "optim.lr": 0.05,
        "train.patience": 2,
    },
    "milestones, clipped entries": {
        "optim.schedule": "multi_step",
        "optim.milestones": [1, 2],
        "optim.clip_value": 0.01,
    },
    "mimrl, two estimator passes": {
        "objective.terms": {
            "mimrl": {
                "estimator": {"name": "mine", "critic": {"name": "separable", "hidden": 16}},
                "conditional": {"name": "cmi_knn_nwj", "classifier": {"hidden": 16}},
            }
        },
        "objective.strategy.repeats": 2,
    },
    "generated labels": {
        "objective.terms": {"unimodal": {}, "dependency": {"measure": "wasserstein"}},
        "objective.strategy.name": "joint",
    },
    "one modality at a time": {
        "model": AVERAGE,
        "objective.terms": {},
        "objective.strategy.name": "alternating",
    },
}


# Inside, at the end and at the beginning of a pass over the rows, and after the last step of the epoch.
STEPS: dict[str, list[int]] = {
    "mmim": [1, 3, 4, 6],
    "joint, cosine, average": [1, 3],
    "two estimator passes, memory, plateau": [1, 2, 4, 5, 7],
    "milestones, clipped entries": [4],
    "mimrl, two estimator passes": [4, 6, 9],
    "generated labels": [2, 3],
    "one modality at a time": [5, 9, 12],
}


def everything(trainer: Trainer) -> dict[str, Any]:
    """What a run ends with, its weights included."""
    result = trainer.result()
    return {
        "history": result.history,
        "best": result.best_epoch,
        "steps": result.counters,
        "weights": {name: value.tolist() for name, value in trainer.selection.weights.items()},
        "terms": {name: value.tolist() for name, value in trainer.objective.state_dict().items()},
        "rates": [group["lr"] for group in trainer.optimiser.param_groups],
    }


def trained(config: RunConfig, corpus: Corpus, resume: Path | None = None) -> dict[str, Any]:
    trainer = Trainer(config, corpus)
    if resume is not None:
        trainer.resume(resume)
    while not trainer.finished:
        trainer.train_epoch()
    return everything(trainer)


@pytest.fixture(scope="module")
def uninterrupted(configure, corpus) -> Callable[[str], dict[str, Any]]:
    """What the run of a variant ends with, trained once."""
    return cache(lambda variant: trained(configure(SHORT | VARIANTS[variant]), corpus))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("epoch", [1, 2])
def test_resuming_after_an_epoch_equals_the_uninterrupted_run(
    configure, corpus, tmp_path, uninterrupted, variant, epoch
):
    config = configure(SHORT | VARIANTS[variant])
    progress = next(islice(epochs(config, corpus), epoch - 1, None))
    progress.save(tmp_path / "checkpoint")
    torch.manual_seed(99)  # as in another process
    assert trained(config, corpus, tmp_path / "checkpoint") == uninterrupted(variant)


@pytest.mark.parametrize(("variant", "steps"), [(variant, n) for variant in VARIANTS for n in STEPS[variant]])
def test_resuming_between_two_steps_equals_the_uninterrupted_run(
    configure, corpus, tmp_path, uninterrupted, variant, steps
):
    config = configure(SHORT | VARIANTS[variant])
    trainer = Trainer(config, corpus)
    trainer.train_epoch()
    assert sum(1 for _ in islice(trainer.steps(), steps)) == steps
    trainer.save(tmp_path / "checkpoint")
    torch.manual_seed(99)
    assert trained(config, corpus, tmp_path / "checkpoint") == uninterrupted(variant)


def test_a_finished_run_gives_its_last_epoch_once_more_and_the_same_result(configure, corpus, tmp_path):
    config = configure({"information.budget": None})  # what a clock skips is not the same twice
    last = None
    for progress in epochs(config, corpus):
        progress.save(tmp_path / "checkpoint")
        last = progress
    again = list(epochs(config, corpus, resume=tmp_path / "checkpoint"))
    assert again == [replace(last, repeated=True)]
    assert again[0].finished
    result = run(config, corpus, resume=tmp_path / "checkpoint")
    assert (result.history[-1], result.best_epoch) == (last.metrics, last.best_epoch)
    assert (result.predict(corpus["test"]) == run(config, corpus).predict(corpus["test"])).all()


def test_seconds_add_up_over_resumptions(late_fusion, corpus, tmp_path):
    trainer = Trainer(late_fusion(), corpus)
    trainer.train_epoch()
    trainer.seconds = 100.0
    trainer.save(tmp_path / "checkpoint")
    assert run(late_fusion(), corpus, resume=tmp_path / "checkpoint").seconds > 100.0


def test_a_checkpoint_is_of_its_own_epoch_only(late_fusion, corpus, tmp_path):
    steps = epochs(late_fusion(), corpus)
    first = next(steps)
    next(steps)
    with pytest.raises(ValueError, match="epoch 1 can be saved only until the next one begins"):
        first.save(tmp_path / "checkpoint")


class TestWriting:
    def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(
        self, late_fusion, corpus, saved, monkeypatch
    ):
        before = (saved / "checkpoint.pt").read_bytes()

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        trainer = Trainer(late_fusion(), corpus)
        with monkeypatch.context() as disk:
            disk.setattr(os, "fsync", full)
            for target in (saved, saved.parent / "new"):
                with pytest.raises(OSError, match="No space left"):
                    trainer.save(target)
        assert (saved / "checkpoint.pt").read_bytes() == before
        assert list(saved.parent.iterdir()) == [saved]

    def test_a_full_disk_is_told_as_such(self):
        """Torch would complain of the half file it left behind."""
        with Path("/dev/full").open("wb", buffering=0) as disk, pytest.raises(OSError, match="No space left"):
            _save({"weights": torch.zeros(10_000)}, disk)

    def test_what_a_killed_writer_left_is_cleared(self, late_fusion, corpus, saved):
        partial = saved.parent / ".checkpoint.partial"
        partial.mkdir()
        (partial / "checkpoint.pt").write_bytes(b"half")
        Trainer(late_fusion(), corpus).save(saved)
        assert list(saved.parent.iterdir()) == [saved]

    def test_a_later_checkpoint_takes_the_place_of_an_earlier_one(self, late_fusion, corpus, tmp_path):
        for progress in epochs(late_fusion(), corpus):
            progress.save(tmp_path / "deep" / "checkpoint")
        trainer = Trainer(late_fusion(), corpus)
        trainer.resume(tmp_path / "deep" / "checkpoint")
        assert trainer.position.epoch == 3
        assert list((tmp_path / "deep").iterdir()) == [tmp_path / "deep" / "checkpoint"]


class TestRefusals:
    def test_nothing_there(self, late_fusion, corpus, tmp_path):
        (tmp_path / "empty").mkdir()
        for folder in ("absent", "empty"):
            with pytest.raises(CheckpointError, match="start the run without resuming"):
                epochs(late_fusion(), corpus, resume=tmp_path / folder)

    def test_another_configuration(self, late_fusion, corpus, saved):
        other = late_fusion({"optim.lr": 0.5, "train.epochs": 7})
        with pytest.raises(CheckpointError) as caught:
            epochs(other, corpus, resume=saved)
        assert "config.optim.lr: 0.001 in the checkpoint, 0.5 here" in str(caught.value)
        assert "config.train.epochs: 3 in the checkpoint, 7 here" in str(caught.value)

    def test_other_data_under_the_same_configuration(self, late_fusion, saved):
        other = open_corpus(late_fusion({"data.seed": 5}).data)
        with pytest.raises(CheckpointError, match=r"corpus: '[0-9a-f]{64}' in the checkpoint"):
            epochs(late_fusion(), other, resume=saved)

    def test_an_opened_test_split_is_no_other_data(self, late_fusion, corpus, saved):
        sealed = open_corpus(late_fusion().data)
        assert next(epochs(late_fusion(), sealed, resume=saved)).epoch == 2

    def test_a_file_of_torch_that_is_no_checkpoint(self, late_fusion, corpus, saved):
        torch.save({"model": {}}, saved / "checkpoint.pt")
        with pytest.raises(
            CheckpointError, match=r"not written by this version.*delete .*checkpoint and start"
        ):
            epochs(late_fusion(), corpus, resume=saved)

    def test_weights_of_another_shape(self, late_fusion, corpus, saved):
        state = torch.load(saved / "checkpoint.pt", weights_only=True)
        state["model"].popitem()
        torch.save(state, saved / "checkpoint.pt")
        with pytest.raises(CheckpointError, match="does not fit this version of mmsa"):
            epochs(late_fusion(), corpus, resume=saved)

    def test_code_in_a_checkpoint_is_not_run(self, late_fusion, corpus, saved, tmp_path):
        class Touch:
            def __reduce__(self) -> tuple[Any, tuple[Path]]:
                return Path.touch, (tmp_path / "ran",)

        torch.save({"format": 1, "config": Touch()}, saved / "checkpoint.pt")
        with pytest.raises(CheckpointError, match="damaged, or is no checkpoint"):
            epochs(late_fusion(), corpus, resume=saved)
        (saved / "checkpoint.pt").write_bytes(pickle.dumps(Touch()))
        with pytest.raises(CheckpointError, match="damaged, or is no checkpoint"):
            epochs(late_fusion(), corpus, resume=saved)
        assert not (tmp_path / "ran").exists()

    def test_no_damage_goes_unnoticed(self, saved, tmp_path):
        whole = (saved / "checkpoint.pt").read_bytes()
        expected = repr(torch.load(saved / "checkpoint.pt", weights_only=True))
        draw, refused = random.Random(0), 0
        shutil.rmtree(saved)
        saved.mkdir()
        for attempt in range(150):
            damaged = bytearray(whole)
            if attempt % 3 == 0:
                del damaged[draw.randrange(len(damaged)) :]
            else:
                damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
            (saved / "checkpoint.pt").write_bytes(damaged)
            try:
                state = read_checkpoint(saved, {})
            except CheckpointError:
                refused += 1
            else:  # a bit that carries no meaning, such as a time stamp
                assert repr(state) == expected
        assert refused > 140
