"""The heads of single modalities: what they are trained on, and which rows and modalities count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from mmsa.config import parse
from mmsa.data.targets import Targets, TrainTargets
from mmsa.errors import ConfigError
from mmsa.models import RepresentationDims, Representations
from mmsa.objectives.terms.unimodal import Unimodal

ROWS = 12
DIMS = RepresentationDims({"text": 6, "audio": 4}, 5)
LABELS = torch.linspace(-2, 2, ROWS)
ALONE = {"text": LABELS + 1, "audio": -LABELS}
TARGETS = Targets(LABELS, torch.arange(ROWS), ALONE)


def term(dims: RepresentationDims = DIMS, unimodal: Any = ("text", "audio"), **settings: Any) -> Unimodal:
    torch.manual_seed(0)
    still = {name: {"dropout": 0.0, **settings.pop(name, {})} for name in ("text", "audio", "vision")}
    subject = Unimodal(parse(Unimodal.Config, {**still, **settings}, "test"), dims)
    subject.prepare(TrainTargets(ROWS, (-3.0, 3.0), unimodal))
    return subject.train()


def given(seed: int = 0) -> Representations:
    random = torch.Generator().manual_seed(seed)
    unimodal = {name: torch.randn(ROWS, width, generator=random) for name, width in DIMS.unimodal.items()}
    fusion = torch.randn(ROWS, 5, generator=random) + LABELS[:, None]
    return Representations(unimodal, fusion, torch.zeros(ROWS), {"hidden": 2 * fusion})


def test_annotated_labels_are_those_of_each_modality() -> None:
    subject, batch = term(labels="annotated"), given()
    errors = {
        name: (subject.heads[name](vector)[1] - ALONE[name]).abs().mean()
        for name, vector in batch.unimodal.items()
    }
    torch.testing.assert_close(subject(batch, TARGETS).loss, sum(errors.values()) / 2)
    assert subject(batch, TARGETS).monitors == {}


def test_weights_of_the_modalities_balance_them() -> None:
    batch = given()
    both = term(labels="multimodal", text={"weight": 3.0}, audio={"weight": 0.5})
    text, audio = ((both.heads[m](batch.unimodal[m])[1] - LABELS).abs().mean() for m in ("text", "audio"))
    torch.testing.assert_close(both(batch, TARGETS).loss, (3.0 * text + 0.5 * audio) / 2)
    alone = term(labels="multimodal", audio={"weight": 0.0})
    assert list(alone.heads) == ["text"]


def test_a_row_counts_by_how_far_its_own_label_is_from_the_multimodal_one() -> None:
    subject = term()
    for epoch in range(2):
        subject.start_epoch(epoch)
        value = subject(given(epoch), TARGETS)
        assert value.loss == 0.0
    subject.eval()
    expected = []
    for name, vector in given(5).unimodal.items():
        labels = subject.generator.label(name, TARGETS)
        error = (subject.heads[name](vector)[1] - labels).abs()
        expected.append(((labels - LABELS).abs().tanh() * error).mean())
    torch.testing.assert_close(subject(given(5), TARGETS).loss, sum(expected) / 2)
    assert sum(expected) > 0


def test_the_fusions_own_first_layer_is_its_feature_where_it_offers_one() -> None:
    offering = RepresentationDims(DIMS.unimodal, 5, {"hidden": 5})
    subject, plain = term(offering), term()
    subject(given(), TARGETS)
    plain(replace(given(), extra={}), TARGETS)
    assert torch.equal(subject.generator.memories["fusion"].features, given().extra["hidden"])
    assert torch.equal(plain.generator.memories["fusion"].features, given().fusion)


def test_rows_without_a_modality_are_left_out_of_its_mean() -> None:
    subject, batch = term(labels="multimodal"), given()
    batch.unimodal["audio"][4:] = 0.0
    errors = (subject.heads["audio"](batch.unimodal["audio"])[1] - LABELS).abs()
    text = (subject.heads["text"](batch.unimodal["text"])[1] - LABELS).abs().mean()
    torch.testing.assert_close(subject(batch, TARGETS).loss, (text + errors[:4].mean()) / 2)


def test_labels_that_the_data_lack_are_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match=r"labels of audio alone.*does not have\n.*labels: generated"):
        term(labels="annotated", unimodal=("text",))
    term(labels="annotated", unimodal=("text",), audio={"weight": 0.0})


def test_heads_for_none_of_the_modalities_are_refused() -> None:
    with pytest.raises(ConfigError, match="weight above 0 for none of text, audio"):
        term(text={"weight": 0.0}, audio={"weight": 0.0})
