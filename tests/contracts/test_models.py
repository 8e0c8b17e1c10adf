"""What every registered model and fusion has to do. A new one joins with one line in ``CASES``."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mmsa.data import Corpus, Features, Split, Strings
from mmsa.data.batches import Batch, collate
from mmsa.data.corpus import MODALITIES
from mmsa.data.inputs import InputSpec
from mmsa.errors import ConfigError
from mmsa.models import FUSIONS, MODELS, Model, build_model, encode_text

pytestmark = pytest.mark.long

CUBE = {"length": 5, "width": 12, "steps": (4, 3), "widths": (12, 8)}
CASES: dict[str, dict[str, Any]] = {
    "late_fusion": {"name": "late_fusion"},
    "mmim": {"name": "mmim", "fusion": {"name": "mlp", "width": 24}},
    "mimrl": {
        "name": "mimrl",
        "text": {"name": "linear", "output": 12},
        "audio": {"name": "mimrl", "output": 12},
        "vision": {"name": "conv", "output": 12},
        "fusion": {"name": "cubemlp", **CUBE},
    },
    "self_mm": {"name": "self_mm"},
    "dmsi": {"name": "dmsi", "fusion": {"name": "lmf"}},
    "tfn": {
        "name": "late_fusion",
        "fusion": {"name": "tfn", "width": 16},
        "text": {"name": "mlp", "output": 12},
    },
    "lmf": {"name": "mmim", "fusion": {"name": "lmf"}},
    "misa": {"name": "late_fusion", "fusion": {"name": "misa", "width": 16, "feedforward": 32}},
    "cubemlp": {
        "name": "late_fusion",
        "fusion": {"name": "cubemlp", **CUBE, "norm": "ln_first", "modalities": "cat"},
    },
    "mult": {
        "name": "late_fusion",
        "fusion": {"name": "mult", "width": 8, "heads": 2, "levels": 1, "kernel": 3, "max_length": 4},
    },
    "mfn": {
        "name": "late_fusion",
        "fusion": {"name": "mfn", "steps": 4, "text": 8, "audio": 6, "vision": 8, "memory": 12, "hidden": 16},
    },
    "average": {
        "name": "late_fusion",
        "text": {"name": "lstm", "output": 8},
        "audio": {"name": "mlp", "output": 8},
        "vision": {"name": "gru", "output": 8},
        "fusion": {"name": "average"},
    },
}
SUBSETS = [subset for size in (1, 2, 3) for subset in itertools.combinations(MODALITIES, size)]
TEXTS = ["features", "frozen", "attention", "finetuned"]
DIMS = {"text": 6, "audio": 5, "vision": 7}
ROWS = 12


def ragged(dim: int, seed: int) -> Features:
    """Rows of 1 to 6 frames with a constant and a wild column; the second and the last row have no frame."""
    random = np.random.default_rng(seed)
    lengths = [*random.integers(1, 7, ROWS - 1), 0]
    lengths[1] = 0
    rows = [random.standard_normal((length, dim)).astype(np.float32) for length in lengths]
    for row in rows:
        row[:, 0] = 3.0
        row[:, 1] *= 1e6
    return Features.from_rows(rows, dim)


def corpus_with(subset: tuple[str, ...], text: str) -> Corpus:
    """One split as train, whose text is features or strings, the second and the last row blank."""
    random = np.random.default_rng(0)
    words = ["the film was good", "", "bad", "not good", "i liked it very very much", "plot"] * 2
    words[-1] = " "
    modalities: dict[str, Any] = {
        name: ragged(DIMS[name], seed) for seed, name in enumerate(MODALITIES) if name in subset
    }
    if "text" in subset and text != "features":
        modalities["text"] = Strings(np.array(words))
    names = np.array([f"row{row}" for row in range(ROWS)])
    labels = random.uniform(-3, 3, ROWS).astype(np.float32)
    return Corpus("case", (-3.0, 3.0), {"train": Split(names, names, labels, **modalities)})


def build(
    name: str, encoder: Path, subset: tuple[str, ...] = MODALITIES, text: str = "features"
) -> tuple[Model, Batch, Any, InputSpec]:
    """The model in evaluation mode, a batch of all rows, and what the model was built from."""
    values: dict[str, Any] = {**CASES[name]}
    if text != "features":
        pooling = "attention" if text == "attention" else "cls_mean"
        values["text"] = {"name": "pretrained", "path": str(encoder), "pooling": pooling}
        values["text"]["finetune"] = text == "finetuned"
    config = MODELS[values["name"]].Config.model_validate(values)
    corpus = encode_text(corpus_with(subset, text), config, None)
    inputs = InputSpec.of(corpus)
    torch.manual_seed(0)
    model = build_model(config, inputs)
    return model.eval(), collate(corpus["train"], np.arange(ROWS)), config, inputs


def rows_of(batch: Batch, rows: list[int]) -> Batch:
    """Some rows of a batch in that order, with the padding of the whole."""
    parts = {name: getattr(batch, name) for name in MODALITIES if getattr(batch, name) is not None}
    for name, part in parts.items():
        fields = {field: getattr(part, field)[rows] for field in part.__dataclass_fields__}
        parts[name] = replace(part, **fields)
    return replace(batch, rows=batch.rows[rows], labels=batch.labels[rows], **parts)


# What encodes the text reaches a fusion as one vector or as states: each kind of text goes with a model that
# reads the vectors and with one that reads the states, and every model with features.
READS_VECTORS, READS_STATES = "mmim", "mult"
TEXTS_OF_MODELS = [
    *((name, "features") for name in CASES),
    *((name, text) for name in (READS_VECTORS, READS_STATES) for text in TEXTS[1:]),
]
models = pytest.mark.parametrize("name", list(CASES))
models_with_texts = pytest.mark.parametrize(("name", "text"), TEXTS_OF_MODELS)
PUBLISHED = list(MODELS)
"""One case each; every fusion meets every subset of the modalities in its own contract."""


def test_every_model_and_fusion_has_a_case() -> None:
    configs = [MODELS[case["name"]].Config.model_validate(case) for case in CASES.values()]
    assert {config.name for config in configs} == set(MODELS)
    assert {config.fusion.name for config in configs} == set(FUSIONS)


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("subset", SUBSETS, ids="-".join)
def test_any_subset_of_the_modalities_gives_the_declared_shapes(
    name: str, subset: tuple[str, ...], tiny_encoder: Path
) -> None:
    fusion = FUSIONS[MODELS[CASES[name]["name"]].Config.model_validate(CASES[name]).fusion.name]
    if len(subset) < fusion.fewest:
        with pytest.raises(ConfigError, match=rf"model.fusion.name: .*\n.*brings {subset[0]} only\n.*mlp"):
            build(name, tiny_encoder, subset)
        return
    model, batch, *_ = build(name, tiny_encoder, subset)
    found = model(batch)
    assert {key: value.shape[1] for key, value in found.extra.items()} == dict(model.dims.extra)
    assert found.prediction.shape == (ROWS,)
    assert found.fusion.shape == (ROWS, model.dims.fusion)
    assert {m: vector.shape[1] for m, vector in found.unimodal.items()} == dict(model.dims.unimodal)
    assert tuple(found.unimodal) == subset
    assert all(vector.isfinite().all() for vector in (found.prediction, found.fusion))


@models_with_texts
def test_a_row_that_lacks_a_modality_has_a_zero_vector(name: str, text: str, tiny_encoder: Path) -> None:
    model, batch, *_ = build(name, tiny_encoder, text=text)
    for vector_BD in model.train()(batch).unimodal.values():
        assert (vector_BD[[1, -1]] == 0).all()
        assert vector_BD[0].abs().sum() > 0


@models_with_texts
def test_neither_order_nor_company_nor_padding_changes_a_row(
    name: str, text: str, tiny_encoder: Path
) -> None:
    model, batch, *_ = build(name, tiny_encoder, text=text)
    whole = model(batch)
    backwards = list(reversed(range(ROWS)))
    torch.testing.assert_close(
        model(rows_of(batch, backwards)).prediction, whole.prediction[backwards], rtol=1e-5, atol=1e-5
    )
    longer = replace(
        batch, audio=replace(batch.audio, values=torch.nn.functional.pad(batch.audio.values, (0, 0, 0, 5)))
    )
    torch.testing.assert_close(model(longer).fusion, whole.fusion, rtol=1e-5, atol=1e-5)
    # A norm over three nearly equal values (CubeMLP's ``ln_first``) magnifies the last bit of the encoders,
    # which differs with the size of a batch, some 500 times.
    atol = 5e-5 if name == "cubemlp" else 1e-5
    for row in range(ROWS):
        alone = model(rows_of(batch, [row]))
        torch.testing.assert_close(alone.fusion, whole.fusion[[row]], rtol=1e-5, atol=atol)


@models_with_texts
def test_groups_partition_the_trained_parameters(name: str, text: str, tiny_encoder: Path) -> None:
    model, *_ = build(name, tiny_encoder, text=text)
    groups = model.parameter_groups()
    grouped = [id(parameter) for parameters in groups.values() for parameter in parameters]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    assert set(groups) <= {"main", "pretrained", "mixture"}
    assert bool(groups.get("mixture")) == (name == "average")
    assert bool(groups.get("pretrained")) == (text == "finetuned")
    in_pretrained = {id(p) for p in groups.get("pretrained", [])}
    named = {id(model.get_parameter(name)) for name in model.pretrained_depths()}
    assert named == in_pretrained


@models_with_texts
def test_every_parameter_gets_a_gradient(name: str, text: str, tiny_encoder: Path) -> None:
    model, batch, *_ = build(name, tiny_encoder, text=text)
    model.train()
    found = model(batch)
    vectors = torch.cat(list(found.unimodal.values()), dim=-1)  # terms read them, whatever the fusion reads
    ((found.prediction - batch.labels).square().sum() + vectors.square().sum()).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameter_groups()["main"])


@models_with_texts
def test_two_rows_in_training_give_a_finite_loss(name: str, text: str, tiny_encoder: Path) -> None:
    model, batch, *_ = build(name, tiny_encoder, text=text)
    two = rows_of(batch, [1, 2])  # the first of them lacks every modality
    loss = (model.train()(two).prediction - two.labels).abs().mean()
    loss.backward()
    assert loss.isfinite()
    assert all(
        parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None
    )


@models_with_texts
def test_bfloat16_autocast_gives_nearly_the_same(name: str, text: str, tiny_encoder: Path) -> None:
    model, batch, *_ = build(name, tiny_encoder, text=text)
    with torch.autocast("cpu", torch.bfloat16):
        found = model(batch).prediction
    torch.testing.assert_close(found.float(), model(batch).prediction, rtol=0.0, atol=0.06)
    found.float().sum().backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize(
    ("name", "text"), [*((name, "features") for name in CASES), (READS_VECTORS, "finetuned")]
)
def test_overfits_one_batch(name: str, text: str, tiny_encoder: Path) -> None:
    model, batch, *_ = build(name, tiny_encoder, text=text)
    batch = rows_of(batch, [0, *range(2, ROWS - 1)])
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(120):
        optimiser.zero_grad()
        loss = (model(batch).prediction - batch.labels).abs().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        if losses[-1] < 0.2 * losses[0]:
            break
    assert losses[-1] < 0.2 * losses[0]


@models_with_texts
def test_saved_weights_make_the_same_model_without_pretrained_ones(
    name: str, text: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    model, batch, config, inputs = build(name, tiny_encoder, text=text)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    torch.manual_seed(1)
    again = build_model(config, InputSpec.from_dict(inputs.to_dict()), weights=False).eval()
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(again(batch).prediction, model(batch).prediction)
    assert torch.equal(again(batch).fusion, model(batch).fusion)


@models
def test_training_from_the_same_seed_is_the_same(name: str, tiny_encoder: Path) -> None:
    predictions = []
    for _ in range(2):
        model, batch, *_ = build(name, tiny_encoder)
        model.train()
        torch.manual_seed(3)
        predictions.append(model(batch).prediction)
    assert torch.equal(*predictions)


@models
def test_a_step_never_waits_for_the_device(name: str) -> None:
    """On the device ``meta`` tensors have no data, so that whatever the host wants to know of them raises."""
    model, batch, *_ = build(name, Path())
    nowhere = torch.device("meta")
    model.to(nowhere).train()(batch.to(nowhere)).prediction.sum().backward()
