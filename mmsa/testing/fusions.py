"""What every fusion has to do."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import pad

from mmsa.config import parse
from mmsa.data.corpus import MODALITIES
from mmsa.errors import ConfigError
from mmsa.models.base import Encoded
from mmsa.models.fusions import FUSIONS, Fused, Fusion
from mmsa.testing.contract import Case, Contract

SUBSETS = [subset for size in (1, 2, 3) for subset in itertools.combinations(MODALITIES, size)]
ROWS, STEPS = 10, 6


@dataclass(frozen=True)
class _Leaves:
    """What an encoder would have given for one modality: tensors that gradients arrive in."""

    vector: Tensor
    states: Tensor
    lengths: Tensor

    def encoded(self) -> Encoded:
        return Encoded.of(self.vector, self.lengths, lambda: self.states)


class FusionContract(Contract):
    """Suite of fusions: declared shapes, gradients, rows that do not depend on each other, saved weights."""

    def widths(self, case: Case) -> Mapping[Any, int]:
        """Of the modality vectors; override it for a fusion that needs others."""
        return {"text": 6, "audio": 4, "vision": 5}

    def build(self, case: Case, subset: tuple[str, ...] = MODALITIES, seed: int = 0) -> Fusion:
        """The fusion in evaluation mode."""
        torch.manual_seed(seed)
        kind: Any = FUSIONS[case.name]
        config = parse(kind.Config, {"name": case.name, **case.settings}, "test")
        fusion: Fusion = kind(config, {name: self.widths(case)[name] for name in subset})
        return fusion.eval()

    def leaves(
        self, case: Case, subset: tuple[str, ...] = MODALITIES, rows: int = ROWS
    ) -> dict[Any, _Leaves]:
        """States of ragged lengths; each modality is missing from a row of its own, and from the last one."""
        random = torch.Generator().manual_seed(1)
        leaves = {}
        for position, name in enumerate(subset):
            width = self.widths(case)[name]
            lengths = torch.randint(1, STEPS + 1, (rows,), generator=random)
            lengths[[position % rows, -1]] = 0
            vector = torch.randn(rows, width, generator=random).requires_grad_()
            states = torch.randn(rows, STEPS, width, generator=random).requires_grad_()
            leaves[name] = _Leaves(vector, states, lengths)
        return leaves

    def encoded(
        self, case: Case, subset: tuple[str, ...] = MODALITIES, rows: int = ROWS
    ) -> dict[Any, Encoded]:
        """What encoders give for a batch."""
        return {name: leaf.encoded() for name, leaf in self.leaves(case, subset, rows).items()}

    def test_it_is_a_fusion_whose_config_bears_its_name(self, case: Case) -> None:
        kind: Any = FUSIONS[case.name]
        assert issubclass(kind, Fusion)
        assert kind.Config.model_fields["name"].default == case.name

    @pytest.mark.parametrize("subset", SUBSETS, ids="-".join)
    def test_shapes_are_the_declared_ones_and_finite(self, case: Case, subset: tuple[str, ...]) -> None:
        if len(subset) < FUSIONS[case.name].fewest:
            with pytest.raises(ConfigError, match=r"model.fusion.name.*\n.*fuses 2 modalities or more"):
                self.build(case, subset)
            return
        subject, rows = self.build(case, subset).train(), 2  # the last of them lacks every modality
        found = subject(self.encoded(case, subset, rows))
        assert found.vector.shape == (rows, subject.output)
        assert {key: value.shape for key, value in found.extra.items()} == {
            key: (rows, width) for key, width in subject.extra.items()
        }
        assert all(value.isfinite().all() for value in _tensors_of(found).values())
        torch.stack([value.sum() for value in _tensors_of(found).values()]).sum().backward()  # type: ignore[no-untyped-call]
        assert all(p.grad is None or p.grad.isfinite().all() for p in subject.parameters())

    def test_every_parameter_gets_a_gradient(self, case: Case) -> None:
        subject = self.build(case).train()
        subject(self.encoded(case)).vector.square().sum().backward()
        without = [key for key, p in subject.named_parameters() if p.grad is None or not p.grad.any()]
        assert not without

    def test_every_modality_reaches_the_fused_vector(self, case: Case) -> None:
        leaves = self.leaves(case)
        self.build(case)({m: leaf.encoded() for m, leaf in leaves.items()}).vector.sum().backward()
        for leaf in leaves.values():
            reached = [part.grad for part in (leaf.vector, leaf.states) if part.grad is not None]
            assert any(gradient.any() for gradient in reached)

    def test_neither_order_nor_company_changes_a_row(self, case: Case) -> None:
        subject, parts = self.build(case), self.encoded(case)
        whole = _tensors_of(subject(parts))
        for rows in (torch.arange(ROWS).flip(0), torch.tensor([3]), torch.tensor([ROWS - 1, 2])):
            for key, value in _tensors_of(subject(_rows_of(parts, rows))).items():
                torch.testing.assert_close(value, whole[key][rows], rtol=1e-5, atol=1e-5)

    def test_padding_changes_no_row(self, case: Case) -> None:
        """A longer row somewhere in the batch, and states that encoders left beyond the lengths."""
        subject, leaves = self.build(case), self.leaves(case)
        whole = subject({name: leaf.encoded() for name, leaf in leaves.items()})
        longer = {
            name: replace(leaf, states=pad(leaf.states, (0, 0, 0, 3), value=7.0)).encoded()
            for name, leaf in leaves.items()
        }
        torch.testing.assert_close(subject(longer).vector, whole.vector, rtol=1e-5, atol=1e-5)

    def test_overfits_one_batch(self, case: Case) -> None:
        subject, leaves = self.build(case), self.leaves(case)
        head, labels = nn.Linear(subject.output, 1), torch.linspace(-2, 2, ROWS - 1)
        of_encoders = [part for leaf in leaves.values() for part in (leaf.vector, leaf.states)]
        optimiser = torch.optim.Adam([*subject.parameters(), *head.parameters(), *of_encoders], lr=3e-2)
        losses = []
        for _ in range(150):
            optimiser.zero_grad()
            present = _rows_of({m: leaf.encoded() for m, leaf in leaves.items()}, torch.arange(ROWS - 1))
            loss = (head(subject(present).vector).squeeze(1) - labels).abs().mean()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
            if losses[-1] < 0.2 * losses[0]:
                break
        assert losses[-1] < 0.2 * losses[0]

    def test_saved_weights_make_the_same_fusion(self, case: Case, tmp_path: Path) -> None:
        subject, parts = self.build(case), self.encoded(case)
        save_file(subject.state_dict(), tmp_path / "fusion.safetensors")
        again = self.build(case, seed=9)
        again.load_state_dict(load_file(tmp_path / "fusion.safetensors"))
        assert torch.equal(again(parts).vector, subject(parts).vector)

    def test_the_same_seed_gives_the_same_weights_and_vectors(self, case: Case) -> None:
        found = []
        for _ in range(2):
            subject = self.build(case).train()
            torch.manual_seed(3)
            found.append(subject(self.encoded(case)).vector)
        assert torch.equal(*found)


def _rows_of(parts: dict[Any, Encoded], rows: Tensor) -> dict[Any, Encoded]:
    return {name: part.take(rows) for name, part in parts.items()}


def _tensors_of(fused: Fused) -> dict[str, Tensor]:
    return {"vector": fused.vector, **fused.extra}
