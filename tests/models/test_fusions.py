"""Fusions against their formulas, written out slowly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmsa.config import parse
from mmsa.data.batches import Sequence
from mmsa.errors import ConfigError
from mmsa.models import FUSIONS
from mmsa.models.base import Encoded
from mmsa.models.fusions import LMF, MFN, MISA, TFN, CubeMLP, Fusion, MulT
from mmsa.models.fusions.mult import blocked_steps, sinusoids

WIDTHS = {"text": 5, "audio": 3, "vision": 4}
ROWS = 6


def build(cls: type[Fusion], inputs: Mapping[str, int] = WIDTHS, **settings: Any) -> Any:
    """The fusion in evaluation mode."""
    torch.manual_seed(0)
    return cls(cls.Config(**settings), inputs).eval()


def encoded(steps: int = 7, widths: Mapping[str, int] = WIDTHS) -> dict[str, Encoded]:
    """Random states of ragged lengths."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(1, steps + 1, (ROWS,), generator=generator)
    parts = {}
    for name, width in widths.items():
        states = torch.randn(ROWS, steps, width, generator=generator)
        parts[name] = Encoded.of(
            torch.randn(ROWS, width, generator=generator), lengths, lambda states=states: states
        )
    return parts


def with_one(vector: Tensor) -> Tensor:
    return torch.cat([torch.ones(1), vector])


@pytest.mark.parametrize("name", list(FUSIONS))
def test_the_name_is_the_one_it_is_registered_under(name: str) -> None:
    assert FUSIONS[name].Config().name == name


def test_tfn_is_the_outer_product_of_all() -> None:
    subject, parts = build(TFN, width=8), encoded()
    rows = []
    for row in range(ROWS):
        text, audio, vision = (with_one(part.vector[row]) for part in parts.values())
        rows.append(torch.einsum("i,j,k->ijk", text, audio, vision).flatten())
    torch.testing.assert_close(subject(parts).vector, subject.layers(torch.stack(rows)))


def test_a_tensor_of_any_size_is_built_and_counted() -> None:
    """MMSA ships 282,897 cells for MOSEI."""
    assert build(TFN, {"text": 128, "audio": 16, "vision": 128}).numbers_per_row == 129 * 17 * 129 == 282_897


def test_lmf_is_tfn_with_a_weight_tensor_of_low_rank() -> None:
    subject, parts = build(LMF, width=4, rank=3), encoded()
    nn.init.normal_(subject.bias)
    tensor = torch.zeros(6, 4, 5, 4)
    for rank in range(3):
        factors = [subject.factors[name][rank] for name in WIDTHS]
        tensor += subject.weights[0, rank] * torch.einsum("id,jd,kd->ijkd", *factors)
    found = subject(parts).vector
    for row in range(ROWS):
        ones = [with_one(part.vector[row]) for part in parts.values()]
        torch.testing.assert_close(
            found[row], torch.einsum("i,j,k,ijkd->d", *ones, tensor) + subject.bias, rtol=1e-4, atol=1e-5
        )


def test_misa_shares_one_projection_and_keeps_the_private_ones_apart() -> None:
    same = {"text": 5, "audio": 5}
    subject, parts = build(MISA, same, width=8, feedforward=16), encoded(widths=same)
    subject.project["audio"] = subject.project["text"]
    found = subject({"text": parts["text"], "audio": parts["text"]})
    assert torch.equal(found.extra["shared/text"], found.extra["shared/audio"])
    assert not torch.equal(found.extra["private/text"], found.extra["private/audio"])
    assert torch.equal(found.extra["projected/text"], subject.project["text"](parts["text"].vector))
    assert all(
        value.min() >= 0 and value.max() <= 1 for key, value in found.extra.items() if "proj" not in key
    )


def test_misa_fuses_private_and_shared_tokens() -> None:
    subject, parts = build(MISA, width=8, feedforward=16), encoded()
    found = subject(parts)
    assert subject.output == 24
    tokens = torch.stack([found.extra[f"{kind}/{m}"] for kind in ("private", "shared") for m in WIDTHS], 1)
    expected = subject.layers(subject.transformer(tokens).flatten(1))
    torch.testing.assert_close(found.vector, expected)


def axis_mlp(mlp: Any, x: Tensor) -> Tensor:
    """linear - activation - linear, residual, layer norm: on the last axis."""
    before, after = (norm or nn.Identity() for norm in (mlp.before, mlp.after))
    return after(mlp.second(mlp.activation(mlp.first(before(x)))) + x @ mlp.residual.weight.T)


@pytest.mark.parametrize("norm", ["post", "ln_first"])
@pytest.mark.parametrize("length", [4, 12])
def test_cubemlp_mixes_steps_then_modalities_then_features(norm: str, length: int) -> None:
    subject = build(CubeMLP, length=length, width=4, steps=(6, 3), widths=(5, 7), norm=norm)
    parts = encoded()
    cube = torch.zeros(ROWS, length, 3, 4)
    for modality, (name, part) in enumerate(parts.items()):
        states = subject.project[name](part.states.values)[:, :length]
        cube[:, : states.shape[1], modality] = states
    for block in subject.blocks:
        steps, modalities, features = block.steps, block.modalities, block.features
        cube = axis_mlp(steps, cube.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        cube = axis_mlp(modalities, cube.permute(0, 1, 3, 2)).permute(0, 1, 3, 2)
        cube = axis_mlp(features, cube)
    assert cube.shape == (ROWS, 3, 3, 7)
    torch.testing.assert_close(subject(parts).vector, cube.mean((1, 2)))


@pytest.mark.parametrize(("norm", "where"), [("post", "after"), ("ln_first", "before")])
def test_cubemlp_norms_where_its_form_says_and_not_over_two_modalities(norm: str, where: str) -> None:
    for widths, normed in ((WIDTHS, True), ({"text": 5, "audio": 3}, False)):
        block = build(CubeMLP, widths, norm=norm).blocks[0]
        assert isinstance(getattr(block.steps, where), nn.LayerNorm)
        assert isinstance(getattr(block.features, where), nn.LayerNorm)
        assert isinstance(getattr(block.modalities, where), nn.LayerNorm) == normed
        other = {"after": "before", "before": "after"}[where]
        assert all(getattr(axis, other) is None for axis in (block.steps, block.modalities, block.features))


def test_cubemlp_needs_as_many_widths_as_steps() -> None:
    with pytest.raises(
        ConfigError, match=r"widths: \(8,\)\n +needs one size a block, as many as steps, which"
    ):
        parse(CubeMLP.Config, {"widths": [8]}, "test")


def test_mult_has_a_transformer_for_each_ordered_pair() -> None:
    subject = build(MulT, width=4, heads=2, levels=1)
    assert len(subject.cross) == 6
    assert subject.output == 24
    assert len(subject.gather["text"].levels) == 3
    two = build(MulT, {"text": 5, "audio": 3}, width=4, heads=2, levels=1)
    assert set(two.cross) == {"text_audio", "audio_text"}
    assert two.output == 8


def test_mult_blocks_padding_and_the_future() -> None:
    target = Sequence(torch.zeros(2, 3, 1), torch.tensor([3, 2]))
    source = Sequence(torch.zeros(2, 4, 1), torch.tensor([4, 0]))
    opened = (~blocked_steps(target, source, causal=True)).int().tolist()
    assert opened[0] == [[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert opened[1] == [[1, 0, 0, 0]] * 3  # nothing there: the first step stands in
    assert (~blocked_steps(target, source, causal=False))[0].all()


def test_mult_reads_no_further_than_its_mask() -> None:
    """A later frame of the source reaches the states of earlier steps only without the causal mask."""
    widths = {"text": 4, "audio": 4}
    for causal in (True, False):
        subject = build(MulT, widths, width=4, heads=2, levels=2, kernel=1, causal=causal)
        target = Sequence(torch.randn(1, 5, 4), torch.tensor([5]))
        source = Sequence(torch.randn(1, 5, 4, requires_grad=True), torch.tensor([5]))
        states = subject.cross["audio_text"](target, source)
        (gradient,) = torch.autograd.grad(states[0, 2, 0], source.values)
        reached = gradient[0].abs().sum(-1) > 1e-9
        assert reached.tolist() == [True, True, True, not causal, not causal]


def test_mult_averages_long_sequences_down() -> None:
    subject = build(MulT, width=4, heads=2, levels=1, max_length=3)
    sizes = []
    subject.gather["text"].register_forward_pre_hook(
        lambda _, inputs: sizes.append(inputs[0].values.shape[1])
    )
    subject(encoded(steps=9))
    subject.max_length = 0
    subject(encoded(steps=9))
    assert sizes == [3, 9]


@pytest.mark.parametrize("width", [1, 5, 8])
def test_sinusoids_are_of_every_frequency(width: int) -> None:
    found = sinusoids(6, width, torch.device("cpu"))
    assert found.shape == (6, width)
    torch.testing.assert_close(found[:, 0], torch.arange(6.0).sin())


def test_heads_that_do_not_share_the_width_are_refused() -> None:
    for fusion in (MulT, MISA):
        with pytest.raises(ConfigError, match=r"heads: 3\n +must divide the width, which is 8"):
            parse(fusion.Config, {"width": 8, "heads": 3}, "test")


@torch.no_grad()
def test_mfn_is_its_recurrence_step_by_step() -> None:
    subject = build(MFN, steps=7, text=6, audio=2, vision=3, memory=4, hidden=8)
    parts = encoded()
    for part in parts.values():  # rows that fill all steps are not resampled
        part.lengths.fill_(7)
    cells = {
        name: (torch.zeros(ROWS, size), torch.zeros(ROWS, size))
        for name, size in {"text": 6, "audio": 2, "vision": 3}.items()
    }
    memory = torch.zeros(ROWS, 4)
    for step in range(7):
        before = torch.cat([c for _, c in cells.values()], -1)
        cells = {
            name: subject.lstms[name](part.states.values[:, step], cells[name])
            for name, part in parts.items()
        }
        changes = torch.cat([before, *(c for _, c in cells.values())], -1)
        attended = subject.attention(changes).softmax(-1) * changes
        proposed = subject.proposal(attended).tanh()
        keep, take = (
            gate.layers(gate.attended(attended) + gate.memory(memory))
            for gate in (subject.keep, subject.take)
        )
        memory = keep * memory + take * proposed
    expected = torch.cat([*(h for h, _ in cells.values()), memory], -1)
    torch.testing.assert_close(subject(parts).vector, expected)


@torch.no_grad()
def test_mfn_takes_the_steps_of_a_row_from_its_first_modality() -> None:
    subject, parts = build(MFN, text=6, audio=2, vision=3, memory=4, hidden=8), encoded()
    together = subject(parts).vector
    for row, length in enumerate(parts["text"].lengths):
        alone = {}
        for name, part in parts.items():
            states = part.states.values[[row], :length]
            alone[name] = Encoded.of(part.vector[[row]], part.lengths[[row]], lambda states=states: states)
        torch.testing.assert_close(subject(alone).vector[0], together[row])
