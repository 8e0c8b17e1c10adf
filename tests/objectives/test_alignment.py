"""The terms between modality vectors against their formulas, and where they make no sense."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmsa.data.targets import Targets
from mmsa.errors import ConfigError
from mmsa.models import RepresentationDims, Representations
from mmsa.objectives import TERMS
from mmsa.objectives.terms.alignment import supervised_contrast

WIDTHS = {"text": 6, "audio": 4, "vision": 3}
ROWS = 8
TARGETS = Targets(torch.zeros(ROWS), torch.arange(ROWS))


def term(name: str, widths: Mapping[str, int] = WIDTHS, **settings: Any) -> Any:
    torch.manual_seed(0)
    return TERMS[name](TERMS[name].Config(**settings), RepresentationDims(dict(widths), 5))


def given(widths: Mapping[str, int] = WIDTHS, rows: int = ROWS) -> Representations:
    generator = torch.Generator().manual_seed(0)
    vectors = {name: torch.randn(rows, width, generator=generator) for name, width in widths.items()}
    return Representations(vectors, torch.randn(rows, 5, generator=generator), torch.zeros(rows))


def covariance_distance(x: Tensor, y: Tensor) -> Tensor:
    """Deep CORAL as DMSI writes it."""
    rows, width = x.shape
    ones = torch.ones(1, rows)
    c_x, c_y = ((m.T @ m - (ones @ m).T @ (ones @ m) / rows) / (rows - 1) for m in (x, y))
    return (c_x - c_y).square().sum() / (4 * width**2)


def test_coral_aligns_audio_and_vision_and_leaves_text_free() -> None:
    subject, representations = term("coral", width=5), given()
    assert set(subject.project) == {"audio", "vision"}
    x, y = (subject.project[m](representations.unimodal[m]) for m in ("audio", "vision"))
    torch.testing.assert_close(subject(representations, TARGETS).loss, covariance_distance(x, y))


def test_coral_sums_over_the_pairs_as_they_are_weighed() -> None:
    same = dict.fromkeys(WIDTHS, 4)
    weights = {"text_audio": 2.0, "text_vision": 0.5, "audio_vision": 0.0}
    subject, representations = term("coral", same, projection="none", **weights), given(same)
    text, audio, vision = representations.unimodal.values()
    expected = 2.0 * covariance_distance(text, audio) + 0.5 * covariance_distance(text, vision)
    torch.testing.assert_close(subject(representations, TARGETS).loss, expected)


def test_a_frozen_projection_is_orthogonal_and_a_trained_one_trains() -> None:
    weight = term("coral", width=2).project["audio"].weight
    torch.testing.assert_close(weight @ weight.T, torch.eye(2), atol=1e-5, rtol=0.0)
    assert term("coral").parameter_groups() == {"main": []}
    assert len(term("coral", projection="trained").parameter_groups()["main"]) == 2


@pytest.mark.parametrize(
    ("widths", "settings", "message"),
    [
        ({"text": 4, "audio": 4}, {}, "weight above 0 for no pair among text, audio\n.*coral.text_audio"),
        (WIDTHS, {"projection": "none"}, "different widths without a projection"),
        ({"text": 4}, {}, "relates modalities, and the data set brings text only"),
    ],
)
def test_coral_without_a_pair_is_refused(
    widths: dict[str, int], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        term("coral", widths, **settings)


@pytest.mark.parametrize("name", ["infonce", "relational"])
def test_terms_between_modalities_need_two(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"objective.terms.{name}: .*\n.*brings audio only"):
        term(name, {"audio": 3})


def test_infonce_is_the_mean_over_the_ordered_pairs() -> None:
    subject, representations = term("infonce", temperature=0.5), given()
    value = subject(representations, TARGETS)
    assert len(value.monitors) == 6
    vectors = representations.unimodal
    predicted = subject.predict["text_audio"](vectors["text"])
    scores = torch.cosine_similarity(predicted[:, None], vectors["audio"][None], dim=2) / 0.5
    rows = sum(scores[i, i] - scores[i].logsumexp(0) for i in range(ROWS)) / ROWS
    columns = sum(scores[i, i] - scores[:, i].logsumexp(0) for i in range(ROWS)) / ROWS
    bound = (rows + columns) / 2 + math.log(ROWS)
    torch.testing.assert_close(value.monitors["bound/infonce/text_audio"], bound.detach())
    torch.testing.assert_close(value.loss.detach(), -torch.stack(list(value.monitors.values())).mean())


def test_supervised_contrast_is_its_definition() -> None:
    torch.manual_seed(0)
    scores, bins = torch.randn(7, 7), torch.tensor([0, 0, 0, 1, 1, 2, 0])
    there = torch.tensor([True] * 6 + [False])
    losses = []
    for anchor in range(6):
        others = [v for v in range(6) if v != anchor]
        positives = [v for v in others if bins[v] == bins[anchor]]
        if positives:
            shares = [scores[anchor, p] - scores[anchor, others].logsumexp(0) for p in positives]
            losses.append(-sum(shares) / len(positives))
    assert len(losses) == 5
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(supervised_contrast(scores, bins, there), expected)
    assert supervised_contrast(scores, bins, torch.zeros(7, dtype=torch.bool)) == 0


def test_a_clip_without_a_modality_has_no_view_of_it() -> None:
    widths = {"text": 6}
    subject, representations = term("supervised_contrastive", widths), given(widths)
    representations.unimodal["text"][3:] = 0.0
    labels = torch.tensor([0.0, 0.2, 1.0, 1.3, -2.0, -2.2, 2.0, 2.0])
    of_fusion, of_text = subject.project
    views = torch.cat([of_fusion(representations.fusion), of_text(representations.unimodal["text"][:3])])
    views = nn.functional.normalize(views, dim=1)
    bins = torch.cat([labels, labels[:3]]).round()
    expected = supervised_contrast(views @ views.T / 0.1, bins, torch.ones(11, dtype=torch.bool))
    torch.testing.assert_close(subject(representations, Targets(labels, torch.arange(ROWS))).loss, expected)


@pytest.mark.parametrize(("bin_width", "same"), [(1.0, False), (4.0, True)])
def test_bins_say_which_labels_are_the_same(bin_width: float, same: bool) -> None:
    subject, representations = term("supervised_contrastive", bin_width=bin_width), given()
    labels = torch.tensor([1.0, -1.0] * 4)
    alike = subject(representations, TARGETS).loss
    assert torch.equal(subject(representations, Targets(labels, torch.arange(ROWS))).loss, alike) == same


def test_relational_distances_follow_each_other() -> None:
    widths = {"text": 6, "audio": 4}
    representations = given(widths)
    distances = []
    for vector in representations.unimodal.values():
        unit = vector / vector.norm(dim=1, keepdim=True)
        pairs = [(unit[i] - unit[j]).norm() for i in range(ROWS) for j in range(i)]
        distances.append(torch.stack(pairs) / torch.stack(pairs).mean())
    expected = nn.functional.smooth_l1_loss(*distances)
    found = term("relational", widths)(representations, TARGETS).loss
    torch.testing.assert_close(found, expected)


def test_relational_ignores_rotation_and_scale() -> None:
    same = {"text": 4, "audio": 4}
    text = given(same).unimodal["text"]
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(3))).Q
    rotated = Representations(
        {"text": text, "audio": 3 * text @ rotation}, torch.zeros(ROWS, 5), torch.zeros(ROWS)
    )
    assert term("relational", same)(rotated, TARGETS).loss < 1e-10
