"""Fine-tuned upper layers on cached states of the lower ones: the same numbers, from that layer's cache."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmsa.data.batches import Sequence, TokenSequence
from mmsa.data.corpus import Features, Split, Tokens
from mmsa.errors import ConfigError
from mmsa.models import text_input
from mmsa.models.systems import LateFusion
from mmsa.models.text import PretrainedConfig, PretrainedText, UpperText

ROWS, STEPS = 3, 4
IDS = np.array([2, 5, 6, 3, 2, 8, 7, 3, 2, 6, 8, 3])


@pytest.fixture
def folder(tiny_encoder: Path, tmp_path: Path) -> Path:
    """A two-layer BERT with dropout."""
    copy = Path(shutil.copytree(tiny_encoder, tmp_path / "copy"))
    settings = json.loads((copy / "config.json").read_text())
    rates = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3}
    (copy / "config.json").write_text(json.dumps(settings | rates))
    return copy


def settings(folder: Path, **changes: Any) -> dict[str, Any]:
    values = {"path": str(folder), "finetune": True, "freeze_layers": 1, "cache_frozen": True}
    return {"name": "pretrained", **values, **changes}


def encoded(folder: Path, cache: Path | None = None, **changes: Any) -> Features:
    names = np.array([f"row{row}" for row in range(ROWS)])
    text = Tokens(IDS, STEPS * np.arange(ROWS + 1))
    split = Split(names, names, np.zeros(ROWS, np.float32), text)
    model = LateFusion.Config.model_validate({"text": settings(folder, **changes)})
    states = text_input.encode_split(split, model, cache).text
    assert isinstance(states, Features)
    return states


@pytest.mark.parametrize("pooling", ["cls", "cls_mean", "attention", "tokens"])
def test_a_step_is_that_of_the_whole_encoder_to_the_last_bit(folder: Path, pooling: str) -> None:
    """With dropout in the upper layers; the lower ones have none, as they are computed once."""
    config = PretrainedConfig.model_validate(settings(folder, pooling=pooling))
    torch.manual_seed(0)
    whole = PretrainedText(config).train()
    torch.manual_seed(0)
    upper = UpperText(config).train()
    whole.backbone.embeddings.eval()  # type: ignore[operator, union-attr]
    whole.backbone.encoder.layer[0].eval()  # type: ignore[operator, union-attr, index]
    lengths = torch.full((ROWS,), STEPS)
    values = torch.tensor(encoded(folder, pooling=pooling).values).view(ROWS, STEPS, -1)
    results = []
    for model, given in (
        (whole, TokenSequence(torch.tensor(IDS).view(ROWS, STEPS), lengths)),
        (upper, Sequence(values, lengths)),
    ):
        torch.manual_seed(1)
        found = model(given)  # type: ignore[operator]
        (found.vector.square().sum() + found.states.values.square().sum()).backward()
        gradients = [parameter.grad for parameter in model.parameters() if parameter.requires_grad]
        results.append([found.vector, found.states.values, *gradients])
    assert len(results[0]) == len(results[1]) > 10
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
    assert sum(p.numel() for p in upper.backbone.parameters()) < sum(
        p.numel() for p in whole.backbone.parameters() if not p.requires_grad
    )


def test_the_cache_knows_of_which_layer_its_states_are(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    of_layer = {layers: encoded(folder, cache, freeze_layers=layers).values for layers in (1, 2)}
    encoded(folder, cache, max_length=3)
    assert len(list((cache / "text").iterdir())) == 3
    monkeypatch.setattr(text_input, "load_backbone", lambda folder: pytest.fail("computed again"))
    for layers, values in of_layer.items():
        # Pooling and dropout come after.
        again = encoded(folder, cache, freeze_layers=layers, pooling="cls", dropout=0.5).values
        assert np.array_equal(again, values)
    assert not np.array_equal(of_layer[1], of_layer[2])


def small(kind: str) -> Iterator[Any]:
    """A random three-layer encoder of another architecture."""
    import transformers

    sizes = {"vocab_size": 20, "max_position_embeddings": 12}
    wide = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "distilbert":
            config = transformers.DistilBertConfig(**sizes, dim=16, n_layers=3, n_heads=2, hidden_dim=16)
        elif kind == "electra":
            config = transformers.ElectraConfig(**sizes, **wide, embedding_size=8)
        else:
            config = getattr(transformers, f"{kind}Config")(**sizes, **wide)
        yield transformers.AutoModel.from_config(config)


@pytest.mark.parametrize(
    ("kind", "divided"), [("Roberta", True), ("distilbert", True), ("electra", False), ("Albert", False)]
)
def test_what_cannot_be_divided_is_refused_before_it_is_trained(
    kind: str, divided: bool, tmp_path: Path
) -> None:
    """ALBERT has one layer for all; small ELECTRA projects its embeddings, states as well."""
    next(small(kind)).save_pretrained(tmp_path / kind)
    if divided:
        assert encoded(tmp_path / kind).dim == 16
        UpperText(PretrainedConfig.model_validate(settings(tmp_path / kind)))
    else:
        with pytest.raises(ConfigError, match=r"(?s)cache_frozen.*does not go on.*cache_frozen: false"):
            encoded(tmp_path / kind)
