"""What becomes of the text of a corpus before a model sees it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from mmsa.data import Corpus, Features, Split, Strings, Tokens
from mmsa.data.batches import collate
from mmsa.data.inputs import InputSpec
from mmsa.errors import ConfigError, DataError
from mmsa.models import build_model, encode_text, save_text_frontend, text_input, with_text_frontend
from mmsa.models.pretrained import load_backbone, load_tokenizer
from mmsa.models.systems import LateFusion

TEXTS = ["the film was good", " ", "bad plot", "i liked it very very much indeed"]


def corpus(text: Any = None, labels: float = 1.0) -> Corpus:
    """Two splits of the same four rows."""
    names = np.array([f"row{row}" for row in range(4)])
    split = Split(
        names, names, np.full(4, labels, np.float32), Strings(np.array(TEXTS)) if text is None else text
    )
    return Corpus("four", (-3.0, 3.0), {"train": split, "valid": split})


def config(folder: Path, **settings: Any) -> LateFusion.Config:
    """A model that reads its text through the encoder in ``folder``."""
    return LateFusion.Config.model_validate({"text": {"name": "pretrained", "path": str(folder), **settings}})


def states(folder: Path, text: str) -> np.ndarray:
    """(T, D) of one text, without any batching of ours."""
    ids = torch.tensor([load_tokenizer(folder)(text)["input_ids"]])
    with torch.inference_mode():
        return load_backbone(folder)(input_ids=ids).last_hidden_state[0].numpy()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders from which a backbone was loaded, in order."""
    loaded: list[Path] = []

    def load(folder: Path) -> torch.nn.Module:
        loaded.append(folder)
        return load_backbone(folder)

    monkeypatch.setattr(text_input, "load_backbone", load)
    return loaded


@pytest.mark.parametrize("pooling", ["cls", "mean", "cls_mean", "attention", "tokens"])
def test_frozen_features_are_what_the_encoder_says_of_each_text(tiny_encoder: Path, pooling: str) -> None:
    encoded = encode_text(corpus(), config(tiny_encoder, pooling=pooling), None)["train"].text
    assert isinstance(encoded, Features)
    for row, text in enumerate(TEXTS):
        found = encoded.values[encoded.offsets[row] : encoded.offsets[row + 1]]
        if not text.strip():
            assert len(found) == 0
            continue
        of_tokens = states(tiny_encoder, text)
        expected = {
            "cls": of_tokens[:1],
            "mean": of_tokens.mean(0, keepdims=True),
            "cls_mean": np.concatenate([of_tokens[:1], of_tokens.mean(0, keepdims=True)], axis=1),
            "attention": of_tokens,
            "tokens": of_tokens,
        }[pooling]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_fine_tuning_gets_token_ids(tiny_encoder: Path) -> None:
    encoded = encode_text(corpus(), config(tiny_encoder, finetune=True, max_length=5), None)["valid"].text
    assert isinstance(encoded, Tokens)
    assert encoded.lengths().tolist() == [5, 0, 4, 5]
    assert encoded.ids[:5].tolist() == load_tokenizer(tiny_encoder)("the film was")["input_ids"]


def test_no_text_is_longer_than_the_encoder_has_positions_for(tiny_encoder: Path) -> None:
    long = corpus(Strings(np.array(["good " * 100] * 4)))
    for text in (long, encode_text(long, config(tiny_encoder, finetune=True), None)):
        encoded = encode_text(text, config(tiny_encoder, finetune=True, max_length=500), None)
        assert encoded["train"].text.lengths().tolist() == [40] * 4


def test_token_ids_of_the_data_set_are_encoded_and_cut(tiny_encoder: Path) -> None:
    tokens = encode_text(corpus(), config(tiny_encoder, finetune=True), None)["train"].text
    same = encode_text(corpus(tokens), config(tiny_encoder), None)["train"].text
    expected = encode_text(corpus(), config(tiny_encoder), None)["train"].text
    np.testing.assert_array_equal(same.values, expected.values)
    cut = encode_text(corpus(tokens), config(tiny_encoder, finetune=True, max_length=3), None)["train"].text
    assert cut.ids.tolist() == [token for row in range(4) for token in _row(tokens, row)[:3]]


def _row(tokens: Tokens, row: int) -> list[int]:
    return tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]].tolist()


def test_token_ids_of_another_encoder_are_refused(tiny_encoder: Path) -> None:
    foreign = Tokens(np.array([2, 29000, 3, 2, 3], np.int64), np.array([0, 3, 5, 5, 5], np.int64))
    with pytest.raises(DataError, match=r"run from 2 to 29000.*knows 16 tokens"):
        encode_text(corpus(foreign), config(tiny_encoder), None)


def test_the_cache_answers_without_the_encoder(tiny_encoder: Path, tmp_path: Path, loads: list[Path]) -> None:
    first = encode_text(corpus(), config(tiny_encoder), tmp_path)
    assert len(loads) == 1  # both splits hold the same text
    second = encode_text(corpus(labels=-2.0), config(tiny_encoder), tmp_path)
    assert len(loads) == 1
    np.testing.assert_array_equal(first["train"].text.values, second["train"].text.values)


@pytest.mark.parametrize("finetune", [False, True])
def test_token_ids_in_which_text_can_be_read_are_never_written(
    tiny_encoder: Path, tmp_path: Path, finetune: bool
) -> None:
    encode_text(corpus(), config(tiny_encoder, finetune=finetune), tmp_path)
    written = [load_file(file) for file in tmp_path.rglob("*.safetensors")]
    assert [set(arrays) for arrays in written] == ([] if finetune else [{"values", "offsets"}])


@pytest.mark.parametrize("change", [{"pooling": "cls"}, {"max_length": 4}])
def test_the_cache_tells_settings_apart(
    tiny_encoder: Path, tmp_path: Path, loads: list[Path], change: dict[str, Any]
) -> None:
    before = encode_text(corpus(), config(tiny_encoder), tmp_path)["train"].text
    after = encode_text(corpus(), config(tiny_encoder, **change), tmp_path)["train"].text
    assert len(loads) == 2
    assert not np.array_equal(before.values, after.values)


def test_a_damaged_cache_file_is_written_anew(tiny_encoder: Path, tmp_path: Path, loads: list[Path]) -> None:
    expected = encode_text(corpus(), config(tiny_encoder), tmp_path)["train"].text
    for file in (tmp_path / "text").iterdir():
        file.write_bytes(file.read_bytes()[:20])
    for _ in range(2):
        again = encode_text(corpus(), config(tiny_encoder), tmp_path)["train"].text
        np.testing.assert_array_equal(again.values, expected.values)
    assert len(loads) == 2


def test_concurrent_writers_leave_one_whole_file(tmp_path: Path) -> None:
    together = threading.Barrier(6)

    def compute() -> dict[str, np.ndarray]:
        together.wait(timeout=20)  # nobody finds the file before all have started
        return {"values": np.arange(50_000)}

    with ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(text_input._cached, tmp_path, ["key"], compute) for _ in range(6)]
        found = [future.result()["values"] for future in futures]
    assert all(np.array_equal(values, np.arange(50_000)) for values in found)
    assert len(list((tmp_path / "text").iterdir())) == 1


def test_text_that_fits_the_encoder_is_left_as_it_is() -> None:
    features = Features.from_vectors(np.ones((4, 3), np.float32))
    untouched = encode_text(corpus(features), LateFusion.Config(), None)
    assert untouched["train"].text is features


def test_a_corpus_without_text_needs_no_encoder() -> None:
    names = np.array(["a", "b"])
    split = Split(
        names, names, np.ones(2, np.float32), audio=Features.from_vectors(np.eye(2, dtype=np.float32))
    )
    silent = Corpus("silent", (-3.0, 3.0), {"train": split})
    assert encode_text(silent, config(Path("/no/such/encoder")), None)["train"].text is None


@pytest.mark.parametrize("kind", ["strings", "tokens"])
def test_feature_encoders_refuse_text_that_has_to_be_encoded(kind: str, tiny_encoder: Path) -> None:
    given = (
        corpus() if kind == "strings" else encode_text(corpus(), config(tiny_encoder, finetune=True), None)
    )
    message = rf"model.text.name: 'lstm'\n.*comes as {kind}\n.*name: pretrained"
    with pytest.raises(ConfigError, match=message):
        encode_text(given, LateFusion.Config(), None)
    with pytest.raises(ConfigError, match=message):
        build_model(LateFusion.Config(), InputSpec.of(given))


@pytest.mark.parametrize("finetune", [False, True])
def test_a_pretrained_encoder_refuses_features(tiny_encoder: Path, finetune: bool) -> None:
    features = corpus(Features.from_vectors(np.ones((4, 3), np.float32)))
    with pytest.raises(ConfigError, match=r"'pretrained'\n.*comes as features\n.*name: lstm"):
        encode_text(features, config(tiny_encoder, finetune=finetune), None)


def test_a_model_on_frozen_features_refuses_strings_that_were_not_encoded(tiny_encoder: Path) -> None:
    with pytest.raises(ConfigError, match="Pass the corpus through encode_text"):
        build_model(config(tiny_encoder), InputSpec.of(corpus()))


@pytest.mark.parametrize(
    ("finetune", "cache_frozen"),
    [(False, False), (True, False), (True, True)],
    ids=["frozen", "whole", "upper"],
)
def test_a_saved_frontend_replaces_the_encoder(
    tiny_encoder: Path, tmp_path: Path, finetune: bool, cache_frozen: bool
) -> None:
    original = config(tiny_encoder, finetune=finetune, freeze_layers=1, cache_frozen=cache_frozen)
    assert save_text_frontend(original, tmp_path / "text")
    moved = with_text_frontend(original, tmp_path / "text")
    assert (tmp_path / "text" / "model.safetensors").exists() == (not finetune or cache_frozen)

    encoded, again = encode_text(corpus(), original, None), encode_text(corpus(), moved, None)
    inputs = InputSpec.of(encoded)
    assert inputs == InputSpec.of(again)
    model = build_model(original, inputs).eval()
    rebuilt = build_model(moved, inputs, weights=False).eval()
    rebuilt.load_state_dict(model.state_dict())
    batches = [collate(text["train"], np.arange(4)) for text in (encoded, again)]
    assert torch.equal(model(batches[0]).prediction, rebuilt(batches[1]).prediction)


def test_a_model_without_pretrained_text_has_no_frontend(tmp_path: Path) -> None:
    assert not save_text_frontend(LateFusion.Config(), tmp_path / "text")
    assert not (tmp_path / "text").exists()
