"""The CPC term against the formulas of MMIM's paper and code, written out in loops."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmsa.data.targets import Targets
from mmsa.models import RepresentationDims, Representations
from mmsa.objectives import CPC
from mmsa.objectives.terms.mmim import CPCWeights

WIDTH, ROWS = 5, 7
TARGETS = Targets(torch.zeros(ROWS), torch.arange(ROWS))


def term(modalities: tuple[str, ...] = ("text",), **settings: Any) -> CPC:
    torch.manual_seed(0)
    return CPC(CPC.Config(**settings), RepresentationDims(dict.fromkeys(modalities, WIDTH), WIDTH))


def given(modalities: tuple[str, ...] = ("text",), rows: int = ROWS) -> Representations:
    generator = torch.Generator().manual_seed(1)
    vectors = {name: torch.randn(rows, WIDTH, generator=generator) for name in modalities}
    return Representations(vectors, torch.randn(rows, WIDTH, generator=generator), torch.zeros(rows))


@torch.no_grad()
def similarity(subject: CPC, representations: Representations, temperature: float) -> Tensor:
    """s[i, j] of modality vector i and the prediction from fused vector j."""
    vectors = representations.unimodal["text"]
    predicted = subject.heads["text"](representations.fusion)
    rows = [[torch.cosine_similarity(v, p, dim=0) for p in predicted] for v in vectors]
    return torch.tensor(rows) / temperature


@pytest.mark.parametrize("temperature", [1.0, 0.2])
def test_mmim_code_contrasts_a_vector_with_all_predictions(temperature: float) -> None:
    subject, representations = term(direction="mmim_code", temperature=temperature), given()
    scores = similarity(subject, representations, temperature)
    nce = -sum(scores[i, i] - torch.logsumexp(scores[i], 0) for i in range(ROWS)) / ROWS
    value = subject(representations, TARGETS)
    torch.testing.assert_close(value.loss, nce - math.log(ROWS))
    torch.testing.assert_close(value.monitors["bound/cpc/text"], math.log(ROWS) - nce)


def test_paper_contrasts_a_prediction_with_all_vectors() -> None:
    subject, representations = term(direction="paper"), given()
    scores = similarity(subject, representations, 1.0)
    nce = -sum(scores[i, i] - torch.logsumexp(scores[:, i], 0) for i in range(ROWS)) / ROWS
    torch.testing.assert_close(subject(representations, TARGETS).loss, nce - math.log(ROWS))


def test_both_is_the_mean_of_the_two() -> None:
    losses = {
        direction: term(direction=direction)(given(), TARGETS).loss
        for direction in ("both", "paper", "mmim_code")
    }
    torch.testing.assert_close(losses["both"], (losses["paper"] + losses["mmim_code"]) / 2)


def test_the_loss_is_the_mean_over_the_modalities() -> None:
    modalities = ("text", "audio", "vision")
    value = term(modalities)(given(modalities), TARGETS)
    bounds = torch.stack([value.monitors[f"bound/cpc/{name}"] for name in modalities])
    torch.testing.assert_close(value.loss, -bounds.mean())


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_two_opposite_rows_reach_the_documented_ceiling(temperature: float) -> None:
    subject = term(temperature=temperature)
    subject.heads["text"] = nn.Identity()
    opposite = torch.stack([torch.ones(WIDTH), -torch.ones(WIDTH)])
    value = subject(
        Representations({"text": opposite}, opposite, torch.zeros(2)),
        Targets(torch.zeros(2), torch.arange(2)),
    )
    ceiling = math.log(2) - math.log(1 + math.exp(-2 / temperature))
    torch.testing.assert_close(value.monitors["bound/cpc/text"], torch.tensor(ceiling))


def test_the_length_of_a_vector_does_not_matter() -> None:
    subject, representations = term(), given()
    longer = Representations(
        {"text": 100 * representations.unimodal["text"]}, representations.fusion, representations.prediction
    )
    torch.testing.assert_close(subject(longer, TARGETS).loss, subject(representations, TARGETS).loss)


def test_deeper_predictions_have_tanh_between_their_layers() -> None:
    kinds = [type(layer) for layer in term(layers=3).heads["text"]]
    assert kinds == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh, nn.Linear]


def test_each_modality_has_a_coefficient_and_none_costs_nothing_at_0() -> None:
    modalities = ("text", "audio", "vision")
    one, some = term(modalities), term(modalities, fusion=CPCWeights(text=0.5, audio=0.0))
    some.heads.load_state_dict({k: v for k, v in one.heads.state_dict().items() if not k.startswith("audio")})
    bounds = one(given(modalities), TARGETS).monitors
    value = some(given(modalities), TARGETS)
    assert set(value.monitors) == {"bound/cpc/text", "bound/cpc/vision"}
    torch.testing.assert_close(value.loss, -(0.5 * bounds["bound/cpc/text"] + bounds["bound/cpc/vision"]) / 3)
    assert not CPC.Config(fusion=CPCWeights(text=0.0, audio=0.0, vision=0.0)).contributes
    assert term(("text",), fusion=CPCWeights(text=0.0))(given(), TARGETS).loss == 0
