"""Which corpus a trial gets: the shared arrays wherever the text encoder is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmsa.config import parse, with_overrides
from mmsa.data import Corpus, Features, Split, Strings, Tokens
from mmsa.errors import SealedTest
from mmsa.experiment import RunConfig
from mmsa.models import encode_text
from mmsa.search.corpora import Corpora, prepare, text_encoding


@pytest.fixture
def raw() -> Corpus:
    def split(name: str) -> Split:
        ids = np.array([f"{name}{row}" for row in range(3)])
        texts = Strings(np.array(["good film", "bad", "plot"]))
        return Split(
            ids, ids, np.zeros(3, np.float32), texts, Features.from_vectors(np.ones((3, 2), np.float32))
        )

    return Corpus("tiny", (-3.0, 3.0), {"train": split("t"), "valid": split("v")})


@pytest.fixture
def config(tiny_encoder: Path) -> RunConfig:
    text = {"name": "pretrained", "path": str(tiny_encoder), "max_length": 8}
    values = {"data": {"name": "planted"}, "model": {"name": "late_fusion", "text": text}}
    return parse(RunConfig, values, "test")


@pytest.fixture
def corpora(raw, config, tmp_path) -> Corpora:
    return Corpora(raw, encode_text(raw, config.model, tmp_path), config, tmp_path)


def test_settings_that_act_after_the_encoder_share_the_corpus(corpora, config):
    changes = {"model.text.dropout": 0.4, "model.text.output": 4, "model.fusion.width": 8, "optim.lr": 0.1}
    assert corpora.of(with_overrides(config, changes)) is corpora.of(config)


def test_another_pooling_has_a_corpus_of_its_own_that_is_kept(corpora, config):
    other = with_overrides(config, {"model.text.pooling": "cls_mean"})
    own = corpora.of(other)
    assert own["train"].text.dim == 2 * corpora.of(config)["train"].text.dim
    assert own["train"].audio is corpora.of(config)["train"].audio
    assert corpora.of(with_overrides(other, {"optim.lr": 0.1})) is own


def test_a_fine_tuned_encoder_reads_tokens(corpora, config):
    finetuned = with_overrides(config, {"model.text.finetune": True})
    assert isinstance(corpora.of(finetuned)["train"].text, Tokens)
    assert isinstance(corpora.of(config)["train"].text, Features)


def test_states_of_another_layer_are_another_corpus(config):
    upper = {"model.text.finetune": True, "model.text.freeze_layers": 1, "model.text.cache_frozen": True}
    encodings = [
        text_encoding(with_overrides(config, {**upper, **changes}))
        for changes in ({}, {"model.text.freeze_layers": 2}, {"model.text.cache_frozen": False})
    ]
    assert encodings[0] not in encodings[1:]
    assert encodings[1] != encodings[2]
    whole = {"model.text.finetune": True}
    assert encodings[2] == text_encoding(with_overrides(config, whole))


def test_a_prepared_corpus_is_encoded_and_sealed(config, tmp_path):
    planted = with_overrides(config, {"model.text.name": "mlp"})
    corpus = prepare(planted, tmp_path)
    assert set(corpus.splits) == {"train", "valid"}
    with pytest.raises(SealedTest):
        corpus["test"]
