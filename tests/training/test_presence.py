"""Rows that lack modalities: dropped in training, told apart by the model, and reported apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmsa.data.batches import Batches, without_some
from mmsa.data.corpus import Features, Split, Strings, Tokens
from mmsa.data.presence import patterns, subsets, with_noise, with_only
from mmsa.errors import ConfigError
from mmsa.results.robustness import measure_robustness
from mmsa.training import epochs, evaluate, run
from mmsa.training.presence import by_presence, presence_lines


def partly_missing(split: Split, missing: np.ndarray) -> Split:
    """The split whose rows lack text where ``missing``."""
    lengths = np.where(missing, 0, split.text.lengths())
    kept = np.repeat(~missing, split.text.lengths())
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return replace(split, text=Features(split.text.values[kept], offsets))


@pytest.fixture(scope="module")
def lacking(corpus):
    """A third of the rows has no text."""
    splits = {
        name: partly_missing(split, np.arange(len(split)) % 3 == 0) for name, split in corpus.splits.items()
    }
    return replace(corpus, splits=splits)


def test_rows_are_sorted_by_what_they_have(lacking):
    found = patterns(lacking["valid"])
    assert {name: len(rows) for name, rows in found.items()} == {"text+audio+vision": 26, "audio+vision": 14}
    assert found["audio+vision"].tolist() == list(range(0, 40, 3))


def test_modalities_are_taken_away_in_every_form():
    ids = np.array(["a", "b"])
    audio = Features.from_vectors(np.ones((2, 3), np.float32))
    for text in (Strings(np.array(["good", "bad"])), Tokens(np.arange(2), np.arange(3)), audio):
        split = Split(ids, ids, np.zeros(2, np.float32), text=text, audio=audio)
        assert list(patterns(with_only(split, ["audio"]))) == ["audio"]
        assert list(patterns(with_only(split, ["text", "audio"]))) == ["text+audio"]
    assert subsets(("text", "audio")) == [("text", "audio"), ("text",), ("audio",)]


def test_noise_has_the_size_it_says(corpus):
    scale = np.arange(1, corpus["test"].audio.dim + 1, dtype=np.float32)
    noisy = with_noise(corpus["test"], {"audio": scale}, 0.5)
    spread = (noisy.audio.values - corpus["test"].audio.values).std(axis=0)
    assert spread == pytest.approx(0.5 * scale, rel=0.25)
    assert noisy.vision is corpus["test"].vision


def test_a_row_keeps_at_least_one_modality_and_processes_drop_alike(lacking):
    batches = Batches(lacking["train"], 30)
    lost = 0
    for seed, batch in enumerate(batches.epoch(0)):
        before = np.stack([(part.lengths > 0).numpy() for part in (batch.text, batch.audio, batch.vision)])
        thin = without_some(batch, 0.7, seed)
        after = np.stack([(part.lengths > 0).numpy() for part in (thin.text, thin.audio, thin.vision)])
        assert after.any(axis=0).all()
        assert not (after & ~before).any()
        lost += (before & ~after).sum()
        assert not thin.audio.values[thin.audio.lengths == 0].any()
        whole = dict(zip(batch.rows.tolist(), thin.audio.lengths.tolist(), strict=True))
        for rank in (0, 1):
            share = slice(rank, None, 2)
            parts = Batches(lacking["train"], 30, share=share).epoch(0)
            part = next(part for part in parts if part.rows[0] in batch.rows)
            own = without_some(part, 0.7, seed, share)
            assert [whole[row] for row in own.rows.tolist()] == own.audio.lengths.tolist()
    assert 100 < lost < 170  # of 240 there, 0.7 of each, but for the one that is kept


def test_a_run_with_dropped_modalities_continues_exactly(late_fusion, corpus, tmp_path):
    config = late_fusion({"train.modality_dropout": 0.4, "train.epochs": 2, "information.quantities": []})
    progress = iter(epochs(config, corpus))
    next(progress).save(tmp_path / "checkpoint")
    (last,) = progress
    (again,) = epochs(config, corpus, resume=tmp_path / "checkpoint")
    assert again.history == last.history
    plain = run(late_fusion({"train.epochs": 2, "information.quantities": []}), corpus)
    assert plain.history != list(last.history)


def test_the_model_learns_what_an_absent_modality_says(late_fusion, lacking):
    changes = {"train.epochs": 1, "information.quantities": []}
    flagged = run(late_fusion({**changes, "model.presence": True}), lacking).predictor.model
    assert set(flagged.absent) == {"text", "audio", "vision"}
    assert flagged.absent["text"].abs().max() > 0, "rows lack text"
    assert flagged.absent["audio"].abs().max() == 0, "no row lacks audio"
    batch = next(Batches(lacking["valid"], 9, shuffle=False).epoch(0))
    flagged.eval()
    found = flagged(batch)
    absent = batch.text.lengths == 0
    assert absent.any()
    assert not found.unimodal["text"][absent].any(), "terms tell by zeros who is absent"
    with torch.no_grad():
        flagged.absent["text"] += 1.0
    moved = flagged(batch).prediction != found.prediction
    assert torch.equal(moved, absent)


@pytest.mark.parametrize("fusion", ["mult", "cubemlp", "mfn", "misa", "tfn"])
def test_every_kind_of_fusion_is_told(configure, lacking, fusion):
    changes = {"model.name": "late_fusion", "model.fusion": {"name": fusion}, "model.presence": True}
    changes |= {f"model.{name}": {"name": "linear"} for name in ("text", "audio", "vision")}
    changes |= {"objective.terms": {}, "objective.strategy.name": "joint", "train.epochs": 1}
    trained = run(configure({**changes, "information.quantities": []}), lacking).predictor.model
    assert trained.absent["text"].abs().max() > 0


def test_an_average_has_no_place_for_the_absent(configure, lacking):
    changes = {"model.name": "late_fusion", "model.fusion": {"name": "average"}, "model.presence": True}
    changes |= {f"model.{name}": {"name": "mlp", "output": 8} for name in ("text", "audio", "vision")}
    changes |= {"objective.terms": {}, "objective.strategy.name": "joint"}
    with pytest.raises(ConfigError, match="leaves absent modalities out"):
        run(configure(changes), lacking)


def test_results_stand_apart_for_rows_with_and_without_text(lacking):
    valid = lacking["valid"]
    without = patterns(valid)["audio+vision"]
    predictions = valid.labels.copy()
    predictions[without] += 1.0
    full, partial = by_presence(lacking, valid, [predictions, predictions])
    assert (full.name, full.rows, full.in_train, full.metrics["mae"]) == ("text+audio+vision", 26, 60, 0.0)
    assert (partial.rows, partial.in_train) == (14, 30)
    assert partial.metrics["mae"] == pytest.approx(1.0)
    assert partial.constants["mae"].value > 0
    lines = presence_lines([full, partial], "mae")
    assert "audio+vision" in lines[1]
    assert "14 rows (30 in train)  mae 1.0000  constant" in lines[1]
    assert by_presence(lacking, with_only(valid, ["audio", "vision"]), [predictions]) == []


def test_a_model_is_asked_for_all_seven_subsets_and_for_noise(late_fusion, corpus):
    result = run(late_fusion({"train.epochs": 8, "optim.lr": 5e-3, "information.quantities": []}), corpus)
    found = measure_robustness([result.predictor], corpus, corpus["test"])
    assert list(found.given)[:7] == [
        *("text+audio+vision", "text+audio", "text+vision", "audio+vision", "text", "audio", "vision")
    ]
    assert list(found.given)[7:] == ["noise 0.5", "noise 1", "noise 2"]
    whole = evaluate(corpus["test"].labels, result.predict(corpus["test"]), corpus.target)
    assert found.given["text+audio+vision"]["mae"] == pytest.approx(whole["mae"])
    assert found.given["vision"]["pearson"] < whole["pearson"]
    lines = found.lines("pearson")
    assert lines[1].split()[0] == "pearson"
    assert len(lines) == 12
