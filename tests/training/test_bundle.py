from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mmsa.data import Corpus, Split, Strings
from mmsa.errors import DataError
from mmsa.training import load_bundle, run, save_bundle

WORDS = ["a", "bad", "dull", "film", "fine", "good", "plot", "the", "was", "great"]


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with random weights, saved as transformers saves one."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("tiny_bert")
    vocabulary = {
        word: index for index, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
    }
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    BertTokenizer(vocab=vocabulary).save_pretrained(folder)
    return folder


@pytest.fixture
def with_strings(corpus: Corpus) -> Corpus:
    """The corpus with sentences in place of text features."""

    def spoken(split: Split) -> Split:
        draw = np.random.default_rng(len(split))
        sentences = [" ".join(draw.choice(WORDS, draw.integers(2, 9))) for _ in range(len(split))]
        return replace(split, text=Strings(np.array(sentences)))

    return Corpus(
        corpus.name, corpus.label_range, {name: spoken(split) for name, split in corpus.splits.items()}
    )


def test_a_bundle_predicts_what_the_result_predicts(configure, corpus, tmp_path):
    result = run(configure(), corpus)
    save_bundle(result, tmp_path / "bundle")
    predictor = load_bundle(tmp_path / "bundle")
    assert predictor.config == result.config
    for name in ("valid", "test"):
        np.testing.assert_array_equal(predictor.predict(corpus[name]), result.predict(corpus[name]))


@pytest.mark.parametrize("finetune", [False, True])
def test_a_bundle_reads_raw_text_without_the_encoder_it_was_made_from(
    late_fusion, with_strings, tiny_bert, tmp_path, finetune
):
    encoder = tmp_path / "encoder"
    encoder.symlink_to(tiny_bert)
    text = {"model.text.name": "pretrained", "model.text.path": str(encoder), "model.text.finetune": finetune}
    config = late_fusion({**text, "train.epochs": 2})
    result = run(config, with_strings)
    errors = np.abs(result.predict(with_strings["valid"]) - with_strings["valid"].labels)
    assert errors.mean() == pytest.approx(result.metrics["valid/mae"])
    expected = result.predict(with_strings["test"])
    save_bundle(result, tmp_path / "bundle")
    encoder.unlink()
    found = load_bundle(tmp_path / "bundle").predict(with_strings["test"])
    np.testing.assert_array_equal(found, expected)
    assert len(set(expected.tolist())) > 10


def test_some_rows_alone_are_predicted_as_among_all(configure, corpus, tmp_path):
    save_bundle(run(configure({"train.epochs": 1}), corpus), tmp_path)
    predictor, split = load_bundle(tmp_path), corpus["test"]
    rows = slice(0, 1)

    def cut(features):
        return type(features)(features.values[: features.offsets[1]], features.offsets[:2])

    one = Split(
        split.ids[rows],
        split.groups[rows],
        split.labels[rows],
        cut(split.text),
        cut(split.audio),
        cut(split.vision),
    )
    np.testing.assert_allclose(predictor.predict(one), predictor.predict(split)[rows], rtol=1e-5, atol=1e-6)


def test_a_fresh_process_needs_no_search_and_no_tracking(configure, corpus, tmp_path):
    result = run(configure({"train.epochs": 1}), corpus)
    save_bundle(result, tmp_path)
    code = (
        "import sys, json; from pathlib import Path; from mmsa.data import open_corpus\n"
        "from mmsa.training import load_bundle\n"
        "predictor = load_bundle(Path(sys.argv[1]))\n"
        "corpus = open_corpus(predictor.config.data, ('test',))\n"
        "print(json.dumps(predictor.predict(corpus['test']).tolist()))\n"
        "heavy = {'ray', 'optuna', 'mlflow', 'transformers'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == result.predict(corpus["test"]).tolist()


def test_it_holds_no_pickle(late_fusion, with_strings, tiny_bert, tmp_path):
    config = late_fusion(
        {"model.text.name": "pretrained", "model.text.path": str(tiny_bert), "train.epochs": 1}
    )
    save_bundle(run(config, with_strings), tmp_path)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} <= {".yaml", ".json", ".safetensors", ".txt"}
    assert {file.name for file in tmp_path.iterdir()} == {
        "config.yaml",
        "inputs.json",
        "weights.safetensors",
        "text_encoder",
    }


class TestRefusals:
    @pytest.mark.parametrize("name", ["config.yaml", "inputs.json", "weights.safetensors"])
    def test_incomplete(self, bundle, name):
        (bundle / name).unlink()
        with pytest.raises(DataError, match=f"no model bundle: {name} missing"):
            load_bundle(bundle)

    @pytest.mark.parametrize("name", ["inputs.json", "weights.safetensors"])
    def test_damaged(self, bundle, name):
        whole = (bundle / name).read_bytes()
        (bundle / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match="damaged model bundle"):
            load_bundle(bundle)

    def test_a_weight_that_changed_its_value(self, bundle):
        whole = bytearray((bundle / "weights.safetensors").read_bytes())
        whole[-3] ^= 0x10
        (bundle / "weights.safetensors").write_bytes(whole)
        with pytest.raises(DataError, match=r"damaged model bundle: .*wrong checksum"):
            load_bundle(bundle)

    def test_rows_without_a_modality_the_model_reads(self, bundle, corpus):
        with pytest.raises(DataError, match="reads audio, which these rows do not have"):
            load_bundle(bundle).predict(replace(corpus["test"], audio=None))

    def test_rows_of_another_width(self, bundle, corpus):
        test = corpus["test"]
        with pytest.raises(DataError, match="reads audio of 12 dimensions, not of 16"):
            load_bundle(bundle).predict(replace(test, audio=test.vision))


def test_the_record_of_a_result_is_json(late_fusion, corpus, tmp_path):
    result = run(late_fusion(), corpus)
    result.save(tmp_path / "run")
    record = json.loads((tmp_path / "run" / "result.json").read_text())
    assert record["history"] == result.history
    assert record["metrics"] == result.history[record["best_epoch"] - 1]
    assert record["config"]["model"]["name"] == "late_fusion"
    assert record["num_parameters"] == result.num_parameters
