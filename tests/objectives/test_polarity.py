"""The polarity entropy: what it remembers, what it counts, and that nothing makes it non-finite."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mmsa.information.densities import class_gaussian_entropy
from mmsa.objectives.terms.mmim import PolarityEntropy, Projection


def entropy_of(dim: int = 4, projection: Projection = "none", memory: int = 2) -> PolarityEntropy:
    torch.manual_seed(0)
    return PolarityEntropy(dim, projection, memory).train()


def batch(seed: int, rows: int = 12, dim: int = 4) -> tuple[Tensor, Tensor]:
    """Vectors, and labels of which a third each is below, at and above 0."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, dim, generator=generator), torch.arange(rows) % 3 - 1.0


def together(*batches: tuple[Tensor, Tensor]) -> Tensor:
    vectors, labels = torch.cat([v for v, _ in batches]), torch.cat([y for _, y in batches])
    return class_gaussian_entropy(vectors, labels > 0, labels < 0)[0]


def test_the_batch_and_the_ones_before_it_count_and_older_ones_do_not() -> None:
    subject = entropy_of(memory=2)
    batches = [batch(seed, rows=18 + 3 * seed) for seed in range(4)]
    found = [subject(*each)[0] for each in batches]
    for position, value in enumerate(found):
        torch.testing.assert_close(value, together(*batches[max(0, position - 2) : position + 1]))


def test_without_memory_only_the_batch_counts() -> None:
    subject = entropy_of(memory=0)
    subject(*batch(0, rows=30))
    torch.testing.assert_close(subject(*batch(1, rows=30))[0], together(batch(1, rows=30)))


def test_evaluation_reads_the_memory_and_leaves_it() -> None:
    subject = entropy_of()
    subject(*batch(0, rows=30))
    before = {name: value.clone() for name, value in subject.state_dict().items()}
    subject.eval()
    torch.testing.assert_close(subject(*batch(1, rows=30))[0], together(batch(1, rows=30), batch(0, rows=30)))
    assert all(torch.equal(before[name], value) for name, value in subject.state_dict().items())


def test_remembered_rows_are_detached() -> None:
    subject = entropy_of()
    vectors, labels = batch(0, rows=30)
    subject(vectors.requires_grad_(), labels)
    later = batch(1, rows=30)[0].requires_grad_()
    subject(later, labels)[0].backward()
    assert vectors.grad is None
    assert later.grad.any()


def test_rows_without_polarity_do_not_count() -> None:
    vectors, labels = batch(0, rows=30)
    without = entropy_of()(vectors[labels != 0], labels[labels != 0])[0]
    torch.testing.assert_close(entropy_of()(vectors, labels)[0], without)


@pytest.mark.parametrize(
    ("labels", "skipped"), [([1.0] * 20, 1), ([0.0] * 20, 2), ([1.0] * 16 + [-1.0] * 4, 1)]
)
def test_classes_with_too_few_rows_are_counted(labels: list[float], skipped: int) -> None:
    vectors = batch(0, rows=20)[0]
    assert entropy_of(dim=4)(vectors, torch.tensor(labels))[1] == skipped


def test_a_frozen_projection_is_a_quarter_as_wide_and_not_trained() -> None:
    frozen, trained = entropy_of(16, "frozen"), entropy_of(16, "trained")
    assert frozen.width == trained.width == 4
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert all(parameter.requires_grad for parameter in trained.parameters())
    assert "projection.0.weight" in frozen.state_dict()


def test_a_state_of_another_width_is_refused() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        entropy_of(dim=4).load_state_dict(entropy_of(dim=5).state_dict())


BREAKING_DIMS = [(16, "frozen"), (64, "frozen"), (128, "frozen"), (16, "none"), (32, "trained")]
"""Widths of MMSA's search grid; where d / 4 reaches the rows of a class, its code gives NaN."""


def breaking_vectors(random: np.random.Generator, rows: int, dim: int) -> Tensor:
    """Degenerate in one of the ways that representations degenerate: rank, scale, repetition, saturation."""
    vectors = random.standard_normal((rows, dim))
    kind = random.integers(6)
    if kind == 1:
        vectors *= 10.0 ** random.uniform(-20, 6)
    elif kind == 2:
        vectors[:] = vectors[0]
    elif kind == 3:
        vectors = vectors[:, :1] @ random.standard_normal((1, dim))
    elif kind == 4:
        vectors[:, random.random(dim) < 0.5] = 0.0
    elif kind == 5:
        vectors = np.sign(vectors) * 1e6
    return torch.tensor(vectors, dtype=torch.float32)


def breaking_labels(random: np.random.Generator, rows: int) -> Tensor:
    """Mixed polarities in any proportion, down to none of one of them."""
    chance = random.dirichlet([0.5, 0.5, 0.5])
    return torch.tensor(random.choice([-1.5, 0.0, 2.0], size=rows, p=chance), dtype=torch.float32)


@pytest.mark.parametrize(("dim", "projection"), BREAKING_DIMS)
def test_breaking_batches_give_finite_entropies_and_gradients(dim: int, projection: Projection) -> None:
    random = np.random.default_rng(dim)
    subject = entropy_of(dim, projection, memory=1)
    counted = 0
    for step in range(120):
        if step % 20 == 0:
            subject.forget()
        rows = int(random.choice([1, 2, 4, 16, 32, 64]))
        vectors = breaking_vectors(random, rows, dim).requires_grad_()
        entropy, skipped = subject(subject.project(vectors), breaking_labels(random, rows))
        assert entropy.isfinite(), (step, rows)
        counted += int(skipped < 2)
        if entropy.requires_grad:
            (gradient,) = torch.autograd.grad(entropy, vectors)
            assert gradient.isfinite().all(), (step, rows)
    assert counted > 15  # or the test would be about batches that are all skipped
