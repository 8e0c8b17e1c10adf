"""What the common skeleton does besides encoding: absent modalities, shuffled rows, an average's weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.distributions import Categorical

from mmsa.config import parse
from mmsa.data import Corpus, open_corpus
from mmsa.data.batches import Batch, Batches
from mmsa.data.inputs import InputSpec
from mmsa.data.planted import Planted
from mmsa.errors import ConfigError
from mmsa.models import MODELS, Model, build_model

SMALL = {name: {"name": "mlp", "output": 6, "dropout": 0.0} for name in ("text", "audio", "vision")}


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return open_corpus(Planted.Config(rows_train=12), ("train",))


def model_of(corpus: Corpus, **settings: Any) -> Model:
    torch.manual_seed(0)
    config = parse(MODELS["late_fusion"].Config, {"name": "late_fusion", **SMALL, **settings}, "test")
    return build_model(config, InputSpec.of(corpus))


def batch_of(corpus: Corpus) -> Batch:
    return next(Batches(corpus["train"], 12).epoch(0))


def test_a_batch_with_one_modality_trains_its_encoder_and_the_rest_has_no_gradient(corpus: Corpus) -> None:
    model = model_of(corpus, fusion={"name": "average"})
    trained = [parameter for members in model.parameter_groups().values() for parameter in members]
    found = model(batch_of(corpus).only("audio"))
    torch.autograd.backward(found.prediction.sum(), inputs=trained)
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert {name.split(".")[0] for name in reached} == {"encoders", "fusion", "predict"}
    assert {name.split(".")[1] for name in reached if name.startswith("encoders")} == {"audio"}
    assert not model.fusion.mixture.grad.any()  # the weight of one modality alone is 1
    torch.testing.assert_close(found.fusion, found.unimodal["audio"])
    assert not found.unimodal["text"].any()


def test_the_average_predicts_the_average_of_what_modalities_predict_alone(corpus: Corpus) -> None:
    model, batch = model_of(corpus, fusion={"name": "average"}), batch_of(corpus)
    model.fusion.mixture.data = torch.tensor([1.0, 0.0, -1.0])
    alone = [model(batch.only(name)).prediction for name in ("text", "audio", "vision")]
    weights = model.fusion.mixture.softmax(0)
    torch.testing.assert_close(model(batch).prediction, torch.stack(alone, 1) @ weights)


def test_whoever_is_sure_counts_where_weights_come_from_entropies(corpus: Corpus) -> None:
    """MLA: softmax of minus the entropy of what the head predicts from each modality of a row."""
    classes = open_corpus(Planted.Config(rows_train=12, kind="multiclass"), ("train",))
    model, batch = model_of(classes, fusion={"name": "average", "weights": "entropy"}), batch_of(classes)
    with torch.no_grad():
        model.predict.weight *= 20  # so that some rows are sure
        alone = [model(batch.only(name)).prediction for name in ("text", "audio", "vision")]
        entropies = [Categorical(logits=logits).entropy() for logits in alone]
        weights = torch.softmax(-torch.stack(entropies), 0)
        expected = sum(weight[:, None] * logits for weight, logits in zip(weights, alone, strict=True))
        torch.testing.assert_close(model(batch).prediction, expected)
    assert weights.max() > 0.6
    assert not model.parameter_groups()["mixture"]  # nothing is left for the second pass of ``alternating``


def test_a_number_has_no_entropy_to_weigh_by(corpus: Corpus) -> None:
    with pytest.raises(ConfigError, match=r"(?s)model.fusion.weights.*label is a number.*learnt"):
        model_of(corpus, fusion={"name": "average", "weights": "entropy"})


def test_an_average_of_different_widths_is_refused(corpus: Corpus) -> None:
    wider = {"name": "mlp", "output": 7}
    with pytest.raises(ConfigError, match=r"(?s)averages vectors of one width.*'audio': 7.*every encoder"):
        model_of(corpus, audio=wider, fusion={"name": "average"})


@pytest.mark.parametrize("fusion", [{"name": "lmf"}, {"name": "mfn", "steps": 2}])
def test_shuffled_vectors_are_fused_from_modalities_of_different_rows(
    corpus: Corpus, fusion: dict[str, Any]
) -> None:
    model, batch = model_of(corpus, fusion={**fusion}), batch_of(corpus)
    for module in model.fusion.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    assert "shuffled" not in model.train()(batch).extra
    model.request({"shuffled"})
    torch.manual_seed(5)
    found = model(batch)
    torch.manual_seed(5)
    rows = [torch.randperm(12) for _ in range(3)]
    parts = {name: model.encoders[name](getattr(batch, name)) for name in found.unimodal}
    expected = model.fusion({name: part.take(r) for (name, part), r in zip(parts.items(), rows, strict=True)})
    torch.testing.assert_close(found.extra["shuffled"], expected.vector)
    assert not torch.allclose(found.extra["shuffled"], found.fusion)
    assert "shuffled" not in model.eval()(batch).extra


def test_turns_give_each_batch_once_with_each_modality(corpus: Corpus) -> None:
    batches = Batches(corpus["train"], 4, seed=1)

    def turns(start: int) -> list[tuple[list[int], bool]]:
        visited = batches.turns(0, ("text", "audio"), start)
        return [(batch.rows.tolist(), batch.audio is None) for batch in visited]

    assert turns(0) == [(rows.tolist(), absent) for rows in batches.plan(0) for absent in (True, False)]
    assert all(turns(start) == turns(0)[start:] for start in range(7))
