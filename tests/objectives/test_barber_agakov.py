"""The Barber-Agakov term against its formulas and against information that is known."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from mmsa.data.targets import Targets
from mmsa.errors import ConfigError
from mmsa.information.densities import class_gaussian_entropy
from mmsa.models import RepresentationDims, Representations
from mmsa.objectives import BarberAgakovTerm
from mmsa.objectives.terms.mmim import BarberAgakovWeights, GaussianPredictor

ROWS = 40
LABELS = torch.linspace(-3, 3, ROWS)
TARGETS = Targets(LABELS, torch.arange(ROWS))


def term(widths: dict[Any, int], **settings: Any) -> BarberAgakovTerm:
    torch.manual_seed(0)
    subject = BarberAgakovTerm(BarberAgakovTerm.Config(**settings), RepresentationDims(widths, 4))
    return subject.train()


def given(vectors: dict[Any, Tensor]) -> Representations:
    rows = len(next(iter(vectors.values())))
    return Representations(vectors, torch.zeros(rows, 4), torch.zeros(rows))


def random_vectors(widths: dict[str, int], rows: int = ROWS) -> dict[Any, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(rows, width, generator=generator) for name, width in widths.items()}


def test_full_likelihood_without_projection_is_the_formula_of_the_paper() -> None:
    widths = {"text": 6, "audio": 3}
    vectors = random_vectors(widths)
    subject = term(widths, projection="none")
    mean, log_variance = subject.predictors["text_audio"](vectors["text"])
    log_density = torch.distributions.Normal(mean, (0.5 * log_variance).exp()).log_prob(vectors["audio"])
    entropy, _ = class_gaussian_entropy(vectors["audio"], LABELS > 0, LABELS < 0)
    value = subject(given(vectors), TARGETS)
    torch.testing.assert_close(value.loss, -(log_density.sum(1).mean() + entropy))
    torch.testing.assert_close(value.monitors["bound/barber_agakov/text_audio"], -value.loss.detach())
    torch.testing.assert_close(subject.estimator_loss(given(vectors), TARGETS), -log_density.sum(1).mean())


def test_mmim_code_is_the_quadratic_of_the_vector_and_the_entropy_of_its_projection() -> None:
    widths = {"text": 6, "vision": 8}
    vectors = random_vectors(widths)
    subject = term(widths, likelihood="mmim_code")
    mean, log_variance = subject.predictors["text_vision"](vectors["text"])
    quadratic = -((mean - vectors["vision"]) ** 2) / 2 / log_variance.exp()
    projected = subject.entropies["vision"].project(vectors["vision"])
    entropy, _ = class_gaussian_entropy(projected, LABELS > 0, LABELS < 0)
    value = subject(given(vectors), TARGETS)
    torch.testing.assert_close(value.loss, -(quadratic.sum(1).mean() + entropy))
    assert projected.shape == (ROWS, 2)
    assert set(value.monitors) == {"entropy/skipped"}  # it is no bound and is not called one


def fitted_bound(scale: float, correlation: float = 0.8, width: int = 3) -> float:
    """The bound that fitted predictors give on Gaussian pairs, with y in other units."""
    subject = term({"text": width, "audio": width}, projection="none", memory=0)
    optimiser = torch.optim.Adam(subject.parameter_groups()["estimator"], lr=2e-2)
    generator = torch.Generator().manual_seed(2)

    def pairs(rows: int) -> tuple[Representations, Targets]:
        x, noise = torch.randn(2, rows, width, generator=generator)
        y = scale * (correlation * x + math.sqrt(1 - correlation**2) * noise)
        return given({"text": x, "audio": y}), Targets(
            torch.randn(rows, generator=generator), torch.arange(rows)
        )

    for _ in range(400):
        optimiser.zero_grad()
        subject.estimator_loss(*pairs(256)).backward()
        optimiser.step()
    with torch.no_grad():
        value = subject(*pairs(20_000))
    return float(value.monitors["bound/barber_agakov/text_audio"])


@pytest.mark.parametrize("scale", [1.0, 0.05])
def test_the_bound_is_the_information_of_gaussian_pairs_in_any_units(scale: float) -> None:
    """Were density and entropy about different variables, a smaller y would look like more information."""
    truth = -1.5 * math.log(1 - 0.8**2)
    found = fitted_bound(scale)
    assert truth - 0.25 < found < truth + 0.02


def test_the_loss_is_the_mean_over_the_pairs_and_targets_share_their_entropy() -> None:
    widths = {"text": 6, "audio": 8, "vision": 8}
    subject = term(widths, vision_to_audio=True)
    value = subject(given(random_vectors(widths)), TARGETS)
    pairs = ("text_audio", "text_vision", "vision_audio")
    bounds = torch.stack([value.monitors[f"bound/barber_agakov/{pair}"] for pair in pairs])
    torch.testing.assert_close(value.loss.detach(), -bounds.mean())
    assert set(subject.entropies) == {"audio", "vision"}


def test_skipped_classes_are_counted_over_the_targets() -> None:
    widths = {"text": 6, "audio": 8, "vision": 8}
    value = term(widths)(given(random_vectors(widths)), Targets(torch.ones(ROWS), torch.arange(ROWS)))
    assert value.monitors["entropy/skipped"] == 2


def test_predicted_log_variances_stay_within_ten() -> None:
    predictor = GaussianPredictor(3, 4, 2)
    _, log_variance = predictor(1e6 * torch.randn(50, 3))
    assert log_variance.abs().max() <= 10


@pytest.mark.parametrize(
    ("modalities", "advice"),
    [(("text",), "it needs text with audio or vision"), (("audio", "vision"), "Set vision_to_audio: true")],
)
def test_data_without_a_pair_are_refused(modalities: tuple[str, ...], advice: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s)objective.terms.barber_agakov.*no pair.*{advice}"):
        term(dict.fromkeys(modalities, 4))


def test_audio_and_vision_alone_have_their_pair_on_request() -> None:
    widths = {"audio": 8, "vision": 6}
    value = term(widths, vision_to_audio=True)(given(random_vectors(widths)), TARGETS)
    assert "bound/barber_agakov/vision_audio" in value.monitors


def test_each_pair_has_a_coefficient_and_none_costs_nothing_at_0() -> None:
    widths = {"text": 6, "audio": 8, "vision": 8}
    vectors = random_vectors(widths)
    subject = term(widths, invariant=BarberAgakovWeights(text_audio=0.0, text_vision=3.0))
    assert list(subject.predictors) == ["text_vision"]
    assert list(subject.entropies) == ["vision"]
    value = subject(given(vectors), TARGETS)
    torch.testing.assert_close(value.loss, -3.0 * value.monitors["bound/barber_agakov/text_vision"] / 2)
    nothing = BarberAgakovWeights(text_audio=0.0, text_vision=0.0)
    assert not BarberAgakovTerm.Config(invariant=nothing).contributes
    assert term(widths, invariant=nothing)(given(vectors), TARGETS).loss == 0
