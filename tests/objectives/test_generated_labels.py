"""Generated labels against Self-MM's procedure written out row by row, and where it would break."""

from __future__ import annotations

import io

import pytest
import torch
from torch import Tensor

from mmsa.data.targets import Targets, TrainTargets
from mmsa.objectives.terms.unimodal import FUSION, LabelGenerator

ROWS, WIDTHS = 30, {FUSION: 5, "text": 3, "audio": 4}
LABELS = torch.linspace(-3, 3, ROWS)
SPEC = TrainTargets(ROWS, (-3.0, 3.0))


def generator(zeros: str = "neither") -> LabelGenerator:
    subject = LabelGenerator(WIDTHS, zeros)
    subject.make_room(SPEC)
    return subject


def features(rows: Tensor, seed: int) -> dict[str, Tensor]:
    """Of some rows in some epoch; the sentiment shows in all of them."""
    random = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(ROWS, width, generator=random)[rows] + 0.2 * LABELS[rows, None]
        for name, width in WIDTHS.items()
    }


def batches(epoch: int, size: int = 10) -> tuple[Tensor, ...]:
    return torch.randperm(ROWS, generator=torch.Generator().manual_seed(epoch)).split(size)


def everywhere(rows: Tensor) -> dict[str, Tensor]:
    return dict.fromkeys(WIDTHS, torch.ones(len(rows), dtype=torch.bool))


def train(subject: LabelGenerator, labels: Tensor = LABELS, epochs: int = 4) -> list[dict[str, Tensor]]:
    monitors = []
    for epoch in range(epochs):
        subject.epoch = epoch
        for rows in batches(epoch):
            targets = Targets(labels[rows], rows)
            monitors.append(subject.update(features(rows, epoch), everywhere(rows), targets))
    return monitors


def labels_of(subject: LabelGenerator, name: str, labels: Tensor = LABELS) -> Tensor:
    return subject.label(name, Targets(labels, torch.arange(ROWS)))


def slowly(positive_zeros: bool, epochs: int = 4) -> dict[str, Tensor]:
    """The labels after some epochs, with all centres computed anew in every batch."""
    maps = {name: torch.zeros(ROWS, width, dtype=torch.float64) for name, width in WIDTHS.items()}
    labels = {name: LABELS.double() for name in WIDTHS}
    for epoch in range(epochs):
        for rows in batches(epoch):
            found = {name: value.double() for name, value in features(rows, epoch).items()}
            if epoch > 0:
                delta = {}
                for name, vectors in found.items():
                    is_positive = labels[name] >= 0 if positive_zeros else labels[name] > 0
                    above = (vectors - maps[name][is_positive].mean(0)).norm(dim=1)
                    below = (vectors - maps[name][labels[name] < 0].mean(0)).norm(dim=1)
                    delta[name] = (below - above) / (above + 1e-8)
                for name in ("text", "audio"):
                    y, alpha = LABELS[rows].double(), delta[name] / (delta[FUSION] + 1e-8)
                    new = 0.5 * alpha * y + 0.5 * (y + delta[name] - delta[FUSION])
                    n, old = epoch + 1, labels[name][rows]
                    moved = (n - 1) / (n + 1) * old + 2 / (n + 1) * new.clamp(-3, 3)
                    labels[name] = labels[name].clone()
                    labels[name][rows] = torch.where(delta[FUSION].abs() > 1e-3, moved, old)
            for name, vectors in found.items():
                maps[name][rows] = vectors
    return labels


@pytest.mark.parametrize("zeros", ["neither", "positive"])
def test_labels_are_those_of_the_procedure(zeros: str) -> None:
    subject = generator(zeros)
    train(subject)
    expected = slowly(zeros == "positive")
    for name in ("text", "audio"):
        found = labels_of(subject, name)
        torch.testing.assert_close(found.double(), expected[name], rtol=1e-4, atol=1e-4)
        assert not torch.allclose(found, LABELS, atol=0.05)
    assert torch.equal(labels_of(subject, FUSION), LABELS)


def test_in_the_first_epoch_and_for_unknown_rows_they_are_the_multimodal_labels() -> None:
    subject = generator()
    assert torch.equal(labels_of(subject, "text"), LABELS)
    assert all(monitor["labels/kept"] == 0 for monitor in train(subject, epochs=1))
    assert torch.equal(labels_of(subject, "text"), LABELS)


def test_clipped_labels_are_counted_and_lie_within_the_range() -> None:
    subject = generator()
    subject.make_room(TrainTargets(ROWS, (-0.5, 0.5)))
    labels = LABELS / 6
    monitors = train(subject, labels)
    assert sum(float(monitor["labels/clipped"]) for monitor in monitors) > 0
    for name in ("text", "audio"):
        assert labels_of(subject, name, labels).abs().max() <= 0.5


@pytest.mark.parametrize("level", [2.0, 0.0])
def test_without_a_class_labels_stay_and_are_counted(level: float) -> None:
    """The reference divides by the number of rows of a class: one without rows makes every label NaN."""
    subject, labels = generator(), torch.full((ROWS,), level)
    monitors = train(subject, labels)
    assert torch.equal(labels_of(subject, "text", labels), labels)
    assert [float(monitor["labels/kept"]) for monitor in monitors] == [0.0] * 3 + [20.0] * 9


def test_a_fused_vector_that_leans_nowhere_moves_no_label() -> None:
    """Halfway between the centres the ratio of the leanings is anything, and clipping all that is left."""
    subject = generator()
    train(subject, epochs=1)
    subject.epoch, rows = 1, torch.arange(4)
    fused = subject.memories[FUSION]
    halfway = (fused.sums / fused.counts[:, None]).mean(0).float().expand(4, -1)
    given = {**features(rows, 1), FUSION: halfway}
    monitors = subject.update(given, everywhere(rows), Targets(LABELS[rows], rows))
    assert monitors["labels/kept"] == 8
    assert torch.equal(labels_of(subject, "text"), LABELS)


def test_rows_without_a_modality_keep_its_label_and_are_no_part_of_its_centres() -> None:
    subject, lacking = generator(), torch.arange(ROWS) % 3 == 0
    for epoch in range(3):
        subject.epoch = epoch
        for rows in batches(epoch):
            there = {**everywhere(rows), "audio": ~lacking[rows]}
            subject.update(features(rows, epoch), there, Targets(LABELS[rows], rows))
    assert torch.equal(labels_of(subject, "audio")[lacking], LABELS[lacking])
    assert subject.memories["audio"].counts.sum() == (~lacking).sum()
    assert subject.memories["text"].counts.sum() == ROWS


def test_the_sums_follow_the_rows_they_are_of() -> None:
    subject = generator()
    train(subject, epochs=5)
    memory = subject.memories["text"]
    for sign, total, count in zip((-1, 1), memory.sums, memory.counts, strict=True):
        members = memory.labels * sign > 0
        torch.testing.assert_close(total, memory.features[members].double().sum(0))
        assert count == members.sum()


def test_the_state_continues_in_another_process() -> None:
    subject, again, file = generator(), generator(), io.BytesIO()
    train(subject, epochs=3)
    torch.save(subject.state_dict(), file)
    file.seek(0)
    again.load_state_dict(torch.load(file, weights_only=True))
    rows = torch.arange(10)
    for each in (subject, again):
        each.update(features(rows, 7), everywhere(rows), Targets(LABELS[rows], rows))
    assert again.epoch == 2
    assert torch.equal(labels_of(subject, "audio"), labels_of(again, "audio"))
