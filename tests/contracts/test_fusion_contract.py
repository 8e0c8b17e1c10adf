"""What every registered fusion has to do. A new one joins with one line in ``CASES``."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mmsa.config import parse
from mmsa.data.corpus import MODALITIES
from mmsa.errors import ConfigError
from mmsa.models import FUSIONS
from mmsa.models.base import Encoded
from mmsa.models.fusions import Fused, Fusion

CASES: dict[str, list[dict[str, Any]]] = {
    "mlp": [{"width": 12}, {"width": 12, "activation": "relu"}],
    "average": [{}],
    "tfn": [{"width": 12}],
    "lmf": [{"width": 12, "rank": 2}],
    "misa": [{"width": 8, "feedforward": 16}],
    "cubemlp": [
        {"length": 5, "width": 8, "steps": [4, 3], "widths": [8, 6]},
        {"length": 5, "width": 8, "steps": [4], "widths": [8], "norm": "ln_first", "modalities": "cat"},
    ],
    "mult": [{"width": 8, "heads": 2, "levels": 1, "kernel": 3, "max_length": 4}],
    "mfn": [{"steps": 4, "text": 6, "audio": 5, "vision": 4, "memory": 8, "hidden": 8}],
}
VARIANTS = [(name, settings) for name, variants in CASES.items() for settings in variants]
SUBSETS = [subset for size in (1, 2, 3) for subset in itertools.combinations(MODALITIES, size)]
ROWS, STEPS = 10, 6

variants = pytest.mark.parametrize(
    ("name", "settings"), VARIANTS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(VARIANTS)]
)


def widths_of(name: str, subset: tuple[str, ...] = MODALITIES) -> dict[str, int]:
    """Of the modality vectors: one for all where the fusion asks for it."""
    widths = dict(zip(MODALITIES, (6, 6, 6) if name == "average" else (6, 4, 5), strict=True))
    return {modality: widths[modality] for modality in subset}


def build(name: str, settings: dict[str, Any], subset: tuple[str, ...] = MODALITIES) -> Fusion:
    torch.manual_seed(0)
    config = parse(FUSIONS[name].Config, {"name": name, **settings}, "test")
    fusion: Fusion = FUSIONS[name](config, widths_of(name, subset))
    return fusion.eval()


@dataclass(frozen=True)
class Leaves:
    """What an encoder would have given for one modality: tensors that gradients arrive in."""

    vector: Tensor
    states: Tensor
    lengths: Tensor

    def encoded(self) -> Encoded:
        return Encoded.of(self.vector, self.lengths, lambda: self.states)


def leaves_of(name: str, subset: tuple[str, ...] = MODALITIES, rows: int = ROWS) -> dict[Any, Leaves]:
    """States of ragged lengths; each modality is missing from a row of its own, and from the last one."""
    random = torch.Generator().manual_seed(1)
    leaves = {}
    for position, (modality, width) in enumerate(widths_of(name, subset).items()):
        lengths = torch.randint(1, STEPS + 1, (rows,), generator=random)
        lengths[[position % rows, -1]] = 0
        vector = torch.randn(rows, width, generator=random).requires_grad_()
        states = torch.randn(rows, STEPS, width, generator=random).requires_grad_()
        leaves[modality] = Leaves(vector, states, lengths)
    return leaves


def encoded(name: str, subset: tuple[str, ...] = MODALITIES, rows: int = ROWS) -> dict[Any, Encoded]:
    return {modality: leaf.encoded() for modality, leaf in leaves_of(name, subset, rows).items()}


def rows_of(parts: dict[Any, Encoded], rows: Tensor) -> dict[Any, Encoded]:
    return {name: part.take(rows) for name, part in parts.items()}


def tensors_of(fused: Fused) -> dict[str, Tensor]:
    return {"vector": fused.vector, **fused.extra}


def test_every_fusion_has_a_case() -> None:
    assert set(CASES) == set(FUSIONS)


@variants
@pytest.mark.parametrize("subset", SUBSETS, ids="-".join)
def test_shapes_are_the_declared_ones_and_finite(
    name: str, settings: dict[str, Any], subset: tuple[str, ...]
) -> None:
    if len(subset) < FUSIONS[name].fewest:
        with pytest.raises(ConfigError, match=r"model.fusion.name.*\n.*fuses 2 modalities or more"):
            build(name, settings, subset)
        return
    subject, rows = build(name, settings, subset).train(), 2  # the last of them lacks every modality
    found = subject(encoded(name, subset, rows))
    assert found.vector.shape == (rows, subject.output)
    assert {key: value.shape for key, value in found.extra.items()} == {
        key: (rows, width) for key, width in subject.extra.items()
    }
    assert all(value.isfinite().all() for value in tensors_of(found).values())
    torch.stack([value.sum() for value in tensors_of(found).values()]).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in subject.parameters())


@variants
def test_every_parameter_gets_a_gradient(name: str, settings: dict[str, Any]) -> None:
    subject = build(name, settings).train()
    subject(encoded(name)).vector.square().sum().backward()
    without = [key for key, p in subject.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


@variants
def test_every_modality_reaches_the_fused_vector(name: str, settings: dict[str, Any]) -> None:
    leaves = leaves_of(name)
    build(name, settings)({m: leaf.encoded() for m, leaf in leaves.items()}).vector.sum().backward()
    for leaf in leaves.values():
        reached = [part.grad for part in (leaf.vector, leaf.states) if part.grad is not None]
        assert any(gradient.any() for gradient in reached)


@variants
def test_neither_order_nor_company_changes_a_row(name: str, settings: dict[str, Any]) -> None:
    subject, parts = build(name, settings), encoded(name)
    whole = tensors_of(subject(parts))
    for rows in (torch.arange(ROWS).flip(0), torch.tensor([3]), torch.tensor([ROWS - 1, 2])):
        for key, value in tensors_of(subject(rows_of(parts, rows))).items():
            torch.testing.assert_close(value, whole[key][rows], rtol=1e-5, atol=1e-5)


@variants
def test_overfits_one_batch(name: str, settings: dict[str, Any]) -> None:
    subject, leaves = build(name, settings), leaves_of(name)
    head, labels = nn.Linear(subject.output, 1), torch.linspace(-2, 2, ROWS - 1)
    of_encoders = [part for leaf in leaves.values() for part in (leaf.vector, leaf.states)]
    optimiser = torch.optim.Adam([*subject.parameters(), *head.parameters(), *of_encoders], lr=3e-2)
    losses = []
    for _ in range(150):
        optimiser.zero_grad()
        present = rows_of({m: leaf.encoded() for m, leaf in leaves.items()}, torch.arange(ROWS - 1))
        loss = (head(subject(present).vector).squeeze(1) - labels).abs().mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        if losses[-1] < 0.2 * losses[0]:
            break
    assert losses[-1] < 0.2 * losses[0]


@variants
def test_saved_weights_make_the_same_fusion(name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    subject, parts = build(name, settings), encoded(name)
    save_file(subject.state_dict(), tmp_path / "fusion.safetensors")
    torch.manual_seed(9)
    config = parse(FUSIONS[name].Config, {"name": name, **settings}, "test")
    again = FUSIONS[name](config, widths_of(name)).eval()
    again.load_state_dict(load_file(tmp_path / "fusion.safetensors"))
    assert torch.equal(again(parts).vector, subject(parts).vector)


@variants
def test_the_same_seed_gives_the_same_weights_and_vectors(name: str, settings: dict[str, Any]) -> None:
    found = []
    for _ in range(2):
        subject = build(name, settings).train()
        torch.manual_seed(3)
        found.append(subject(encoded(name)).vector)
    assert torch.equal(*found)
