"""Runs on folds: each fold as if it were alone, one epoch for all, exact continuation, nothing leaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmsa.config import with_overrides
from mmsa.data import Corpus, open_corpus
from mmsa.data.corpus import Features, Fold, Split, Strings
from mmsa.data.inputs import InputSpec
from mmsa.errors import TrainingDiverged
from mmsa.information.across_parts import mean_of_parts
from mmsa.information.measure_panel import measure_panel
from mmsa.models.text_input import encode_text
from mmsa.seeding import derive_seed
from mmsa.training import epochs, run
from mmsa.training.cost import count_steps
from mmsa.training.folded import FoldedTrainer, across_folds, refit
from mmsa.training.honest import honest_estimate
from mmsa.training.metrics import evaluate
from mmsa.training.trainer import Trainer

FOLDS = {
    "data": {"name": "planted", "rows_train": 90, "rows_valid": 40, "folds": {"k": 3}},
    "information.budget": None,  # or the clock decides what is measured
    "train.batch_size": 30,
}


@pytest.fixture(scope="module")
def folded(configure) -> Corpus:
    return open_corpus(configure(FOLDS).data)


@pytest.fixture(scope="module")
def straight(configure, folded):
    changes = {"optim.schedule": "plateau", "train.patience": 2, "optim.lr": 0.02, "train.epochs": 3}
    return run(configure({**FOLDS, **changes}), folded)


def test_a_fold_is_trained_as_if_it_were_alone_on_its_own_rows(configure, folded):
    config = configure({**FOLDS, "train.epochs": 2})
    together = FoldedTrainer(config, folded)
    together.train_epoch()
    together.train_epoch()
    for number, fold in enumerate(together.folds):
        alone = Trainer(
            with_overrides(config, {"seed": derive_seed("fold", config.seed, number)}), folded.fold(number)
        )
        assert fold.predictor.inputs == InputSpec.of(folded.fold(number)), "statistics of other rows"
        alone.train_epoch()
        alone.train_epoch()
        for name, value in alone.model.state_dict().items():
            assert torch.equal(value, fold.model.state_dict()[name]), name


def test_one_epoch_is_chosen_on_the_rows_of_all_folds(folded, straight):
    best = min(straight.history, key=lambda metrics: metrics["valid/mae"])
    assert straight.metrics["valid/mae"] == best["valid/mae"]
    assert straight.history.index(best) == straight.best_epoch - 1
    *_, last = epochs(straight.config, folded)
    assert last.valid_predictions.shape == (130,)
    again = evaluate(folded["valid"].labels, last.valid_predictions, folded.target)
    assert {f"valid/{name}": value for name, value in again.items()} == {
        name: value for name, value in straight.metrics.items() if name.startswith("valid/")
    }
    errors = last.standard_errors()
    assert 0 < errors["valid/mae"] < 0.3


@pytest.mark.parametrize("mode", ["lockstep", "sequential"])
def test_a_run_continues_from_the_checkpoint_of_all_folds(configure, folded, straight, tmp_path, mode):
    config = with_overrides(straight.config, {"data.folds.mode": mode})
    next(epochs(config, folded)).save(tmp_path / "checkpoint")
    *_, last = epochs(config, folded, resume=tmp_path / "checkpoint")
    assert list(last.history) == straight.history
    assert last.best == straight.metrics
    last.save(tmp_path / "checkpoint")
    (repeated,) = epochs(config, folded, resume=tmp_path / "checkpoint")
    assert repeated.repeated
    assert np.array_equal(repeated.valid_predictions, last.valid_predictions)


def test_other_folds_are_another_run(configure, folded, straight, tmp_path):
    next(epochs(straight.config, folded)).save(tmp_path / "checkpoint")
    dealt = open_corpus(with_overrides(straight.config, {"data.folds.seed": 1}).data)
    with pytest.raises(Exception, match="belongs to another run"):
        next(epochs(straight.config, dealt, resume=tmp_path / "checkpoint"))


def test_a_corpus_of_folds_is_never_trained_as_one(configure, folded):
    with pytest.raises(ValueError, match="trained fold by fold"):
        Trainer(configure(FOLDS), folded)


def test_a_fold_that_diverges_is_named(configure, folded):
    with pytest.raises(TrainingDiverged, match="of fold 0 became"):
        run(configure({**FOLDS, "optim.lr": 1e30, "optim.clip_norm": 0.0}), folded)


def test_the_refit_learns_from_all_rows_for_the_chosen_epochs(folded, straight):
    final = refit(straight.config, folded, straight)
    by_hand = Trainer(straight.config, replace(folded, folds=()))
    for epoch in range(straight.best_epoch):
        by_hand.run_epoch()
        by_hand.end_epoch(straight.history[epoch])
    assert final.best_epoch == straight.best_epoch
    for name, value in by_hand.model.state_dict().items():
        assert torch.equal(value, final.predictor.model.state_dict()[name]), name


def test_the_result_predicts_with_the_mean_of_its_folds(folded, straight):
    members = straight.predictor.members
    assert len(members) == 3
    mean = np.mean([member.predict(folded["valid"]) for member in members], axis=0)
    assert np.array_equal(straight.predict(folded["valid"]), mean)


def test_steps_are_those_of_all_folds(configure, folded):
    config = configure({**FOLDS, "train.epochs": 1})
    assert count_steps(config, folded) == sum(count_steps(config, folded.fold(n)) for n in range(3))


def test_counts_are_pooled_and_repeats_averaged():
    labels = np.array([1.0, 2.0, -1.0, -2.0, 3.0, -3.0], np.float32)
    ids = np.array(list("abcdef"))
    rows = Split(ids, ids, labels, audio=Features.from_vectors(np.zeros((6, 1), np.float32)))
    halves = [np.array([0, 2, 3]), np.array([1, 4, 5])]
    folds = tuple(
        Fold(np.setdiff1d(np.arange(6), held), held, repeat) for repeat in (0, 1) for held in halves
    )
    corpus = Corpus("tiny", (-3.0, 3.0), {"train": rows, "valid": rows}, suite="mosi", folds=folds)
    outputs = np.array([[0.5, -1.0, -1.0, 0.5, 3.0, -3.0], [1.0, 2.0, -1.0, -2.0, 3.0, -3.0]], np.float32)
    found = across_folds(corpus, [outputs[fold.repeat, fold.held_out] for fold in folds])
    pooled = [evaluate(labels, values, corpus.target) for values in outputs]
    for name in ("mae", "pearson", "f1_negative_positive"):
        assert found[name] == pytest.approx(np.mean([metrics[name] for metrics in pooled]))
    of_folds = [
        evaluate(labels[f.held_out], outputs[f.repeat, f.held_out], corpus.target)["mae"] for f in folds
    ]
    assert found["fold_mean/mae"] == pytest.approx(np.mean(of_folds))
    assert found["fold_sd/mae"] == pytest.approx(np.std(of_folds, ddof=1))


def test_information_is_measured_for_each_fold_and_averaged(configure, folded):
    *_, last = epochs(configure({**FOLDS, "train.epochs": 2}), folded)
    measured = last.information["target/fusion"]
    assert (measured.num_samples, measured.folds) == (130, 3)
    assert measured.low < measured.value < measured.high


def test_few_rows_of_each_fold_are_enough_together():
    generator = np.random.default_rng(0)

    def panel(parts: int) -> list:
        found = []
        for _ in range(6):
            target = generator.standard_normal(27)
            fusion = np.stack([target + 0.7 * generator.standard_normal(27)], 1)
            alone = np.arange(27).astype(np.str_)
            found.append(measure_panel({"fusion": fusion}, target, alone, ["target"], parts=parts))
        return [one["target/fusion"] for one in found]

    assert mean_of_parts(panel(1)).status == "too_few"
    together = mean_of_parts(panel(6))
    assert together.status == "ok"
    assert 0.35 < together.value < 0.75  # 0.556 nats, less what ranks of 27 rows miss


def test_text_may_come_encoded_as_a_search_hands_it_over(configure, folded, tiny_encoder):
    pool = folded["train"]
    words = Strings(np.array(["the film was good", "i liked it not"])[np.arange(len(pool)) % 2])
    raw = replace(folded, splits=dict.fromkeys(("train", "valid"), replace(pool, text=words)))
    config = configure({**FOLDS, "model.text": {"name": "pretrained", "path": str(tiny_encoder)}})
    encoded = encode_text(raw, config.model, None)
    for corpus in (raw, encoded):
        trained = FoldedTrainer(config, corpus).corpus
        assert trained["train"] is trained["valid"]
        assert trained["train"].digest == encoded["train"].digest


@pytest.mark.parametrize("kind", ["multiclass", "binary"])
def test_classes_are_predicted_by_probabilities_of_held_out_rows(configure, kind):
    config = configure(
        {
            "data": {"name": "planted", "rows_train": 90, "rows_valid": 40, "kind": kind, "folds": {"k": 3}},
            "model.name": "late_fusion",
            "objective.terms": {},
            "objective.strategy.name": "joint",
            "train.epochs": 2,
            "train.metric": "valid/f1_macro",
            "train.direction": "maximize",
            "information.quantities": [],
        }
    )
    corpus = open_corpus(config.data)
    *_, last = epochs(config, corpus)
    predictions = last.valid_predictions
    assert predictions.shape == ((130, len(corpus.target.classes)) if kind == "multiclass" else (130,))
    pooled = evaluate(corpus["valid"].labels, predictions, corpus.target)
    assert last.best["valid/f1_macro"] == pytest.approx(pooled["f1_macro"])
    assert last.standard_errors()["valid/f1_macro"] > 0
    found = honest_estimate(corpus, [last.held_out], "f1_macro", minimize=False)
    assert found.low < found.high
    if kind == "binary":
        assert last.best["valid/auc"] == last.best["fold_mean/auc"] != pooled["auc"]
