"""The terms on private and shared vectors against their formulas, and where they make no sense."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mmsa.data.targets import Targets
from mmsa.errors import ConfigError
from mmsa.models import RepresentationDims, Representations
from mmsa.objectives import TERMS
from mmsa.objectives.terms.shared_private import biased_hsic

WIDTH, ROWS = 4, 9
MODALITIES = ("text", "audio", "vision")
PAIRS = (("text", "audio"), ("text", "vision"), ("audio", "vision"))
KINDS = ("private", "shared", "projected")


def term(name: str, modalities: tuple[str, ...] = MODALITIES, **settings: Any) -> Any:
    torch.manual_seed(0)
    extra = {f"{kind}/{m}": WIDTH for kind in KINDS for m in modalities}
    dims = RepresentationDims(dict.fromkeys(modalities, 3), 5, extra)
    return TERMS[name](TERMS[name].Config(**settings), dims)


def given(seed: int = 0) -> Representations:
    generator = torch.Generator().manual_seed(seed)
    names = [f"{kind}/{m}" for kind in KINDS for m in MODALITIES]
    return batch(MODALITIES, {name: torch.rand(ROWS, WIDTH, generator=generator) for name in names})


def batch(modalities: tuple[str, ...], extra: dict[str, Tensor]) -> Representations:
    """Of those extra vectors, and nothing else."""
    rows = len(next(iter(extra.values())))
    vectors = {m: torch.zeros(rows, 3) for m in modalities}
    return Representations(vectors, torch.zeros(rows, 5), torch.zeros(rows), extra)


def targets(rows: int) -> Targets:
    return Targets(torch.zeros(rows), torch.arange(rows))


def loss(name: str, representations: Representations, **settings: Any) -> Tensor:
    return term(name, **settings)(representations, targets(ROWS)).loss


def test_cmd_is_the_mean_distance_of_five_moments_over_the_pairs() -> None:
    extra = given().extra
    total = 0.0
    for x, y in PAIRS:
        a, b = extra[f"shared/{x}"], extra[f"shared/{y}"]
        total += (a.mean(0) - b.mean(0)).norm()
        for k in range(2, 6):
            total += (((a - a.mean(0)) ** k).mean(0) - ((b - b.mean(0)) ** k).mean(0)).norm()
    torch.testing.assert_close(loss("cmd", given()), total / 3)


def test_orthogonality_is_the_mean_squared_product_over_six_pairs() -> None:
    extra = given().extra
    unit = {}
    for name, x in extra.items():
        centred = x - x.mean(0)
        unit[name] = centred / centred.norm(dim=1, keepdim=True)
    pairs = [(f"private/{m}", f"shared/{m}") for m in MODALITIES]
    pairs += [(f"private/{x}", f"private/{y}") for x, y in PAIRS]
    expected = sum((unit[x].T @ unit[y]).square().mean() for x, y in pairs) / 6
    torch.testing.assert_close(loss("orthogonality", given()), expected)


def test_reconstruction_decodes_the_sum() -> None:
    subject, extra = term("reconstruction"), given().extra
    errors = []
    for m in MODALITIES:
        decoded = subject.decoders[m](extra[f"private/{m}"] + extra[f"shared/{m}"])
        errors.append((decoded - extra[f"projected/{m}"]).square().mean())
    torch.testing.assert_close(subject(given(), targets(ROWS)).loss, sum(errors) / 3)


def test_similarity_compares_the_cosines_between_clips() -> None:
    extra = given().extra
    cosines = {}
    for m in MODALITIES:
        centred = extra[f"shared/{m}"] - extra[f"shared/{m}"].mean(0)
        cosines[m] = torch.cosine_similarity(centred[:, None], centred[None], dim=2)
    expected = sum((cosines[x] - cosines[y]).square().mean() for x, y in PAIRS) / 3
    torch.testing.assert_close(loss("similarity", given()), expected)


def test_linear_hsic_is_the_squared_covariance() -> None:
    extra = given().extra
    expected = 0.0
    for m in MODALITIES:
        a, b = extra[f"private/{m}"], extra[f"shared/{m}"]
        expected += ((a - a.mean(0)).T @ (b - b.mean(0)) / (ROWS - 1)).square().sum()
    torch.testing.assert_close(loss("hsic", given(), kernel="linear"), expected / 3)


def test_biased_hsic_is_its_definition() -> None:
    x, y = torch.rand(2, ROWS, WIDTH, generator=torch.Generator().manual_seed(1))
    centring = torch.eye(ROWS) - 1 / ROWS
    expected = (x @ x.T @ centring @ y @ y.T @ centring).trace() / (ROWS - 1) ** 2
    torch.testing.assert_close(biased_hsic(x @ x.T, y @ y.T), expected)


@pytest.mark.parametrize(("kernel", "sees_it"), [("linear", False), ("gaussian", True)])
def test_only_the_gaussian_kernel_sees_dependence_without_correlation(kernel: str, sees_it: bool) -> None:
    angle = torch.linspace(0, 2 * torch.pi, 65)[:-1]
    circle = torch.stack([angle.cos(), (2 * angle).cos()], 1)
    extra = {"private/text": circle[:, :1].repeat(1, WIDTH), "shared/text": circle[:, 1:].repeat(1, WIDTH)}
    subject = term("hsic", ("text",), kernel=kernel)
    found = subject(batch(("text",), extra), targets(64)).loss
    assert (found > 1e-3) == sees_it


@pytest.mark.parametrize("name", ["cmd", "orthogonality", "reconstruction", "similarity", "hsic"])
def test_a_model_without_private_and_shared_vectors_is_refused(name: str) -> None:
    message = rf"(?s)objective.terms.{name}: .*does not offer.*fusion: {{name: misa}}"
    with pytest.raises(ConfigError, match=message):
        TERMS[name](TERMS[name].Config(), RepresentationDims({"text": 3, "audio": 3}, 5))
