"""What objectives are told of rows: their labels, which rows they are, and what is known beforehand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmsa.data import Corpus, open_corpus
from mmsa.data.batches import collate
from mmsa.data.planted import Planted
from mmsa.data.targets import UNKNOWN, TrainTargets
from mmsa.experiment import RunConfig
from mmsa.training.trainer import Trainer


@pytest.fixture
def corpus() -> Corpus:
    """Planted data whose audio has labels of its own."""
    plain = open_corpus(Planted.Config(rows_train=20, rows_valid=8), ("train", "valid"))
    splits = {
        name: replace(split, unimodal_labels={"audio": -split.labels}) for name, split in plain.splits.items()
    }
    return Corpus(plain.name, plain.label_range, splits)


def test_the_spec_is_of_the_train_split(corpus: Corpus) -> None:
    known = TrainTargets.of(corpus)
    assert (known.rows, known.label_range, known.unimodal) == (20, corpus.label_range, ("audio",))
    assert known.targets == corpus.targets
    labels = corpus["train"].labels
    assert (known.mean, known.deviation) == pytest.approx((labels.mean(), labels.std()), rel=1e-5)
    assert UNKNOWN.rows == 0
    assert UNKNOWN.unimodal == ()


def test_targets_are_those_of_the_rows_of_a_batch(corpus: Corpus) -> None:
    targets = collate(corpus["train"], np.array([3, 1])).targets
    assert len(targets) == 2
    assert targets.rows.tolist() == [3, 1]
    torch.testing.assert_close(targets.unimodal["audio"], -targets.labels)


def test_of_a_share_they_are_those_of_the_whole_batch(corpus: Corpus) -> None:
    whole, share = (collate(corpus["train"], np.array(rows)) for rows in ([3, 1, 2], [1]))
    assert replace(share, whole=whole).targets.rows.tolist() == [3, 1, 2]


def test_annotated_labels_train_the_head_of_their_modality(corpus: Corpus) -> None:
    values = {
        "data": {"name": "planted"},
        "model": {"name": "dmsi"},
        "objective": {
            "terms": {"unimodal": {"labels": "annotated", "text": {"weight": 0.0}, "vision": {"weight": 0.0}}}
        },
        "train": {"epochs": 40, "batch_size": 20, "device": "cpu", "patience": 40},
        "optim": {"lr": 0.01},
    }
    trainer = Trainer(RunConfig.model_validate(values), corpus)
    while not trainer.finished:
        trainer.train_epoch()
    assert trainer.history[-1]["loss/unimodal"] < 0.7 * trainer.history[0]["loss/unimodal"]
