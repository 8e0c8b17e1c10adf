"""The information terms of MIMRL: against one estimator at a time, against truths, and its coefficients."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from mmsa.config import parse
from mmsa.data.targets import Targets
from mmsa.errors import ConfigError
from mmsa.information.conditional import conditional_jsd, conditional_mimrl_code, conditional_nwj
from mmsa.information.critics import mlp
from mmsa.information.score_estimators import InfoNCE
from mmsa.models import RepresentationDims, Representations
from mmsa.objectives import ObjectiveConfig, warnings
from mmsa.objectives.terms import MIMRLTerm

DIMS = RepresentationDims({"text": 5, "audio": 4, "vision": 5}, fusion=6)
SMALL = {
    "estimator": {"name": "nwj", "critic": {"name": "separable", "hidden": 16, "embedding": 4}},
    "conditional": {"name": "cmi_knn_nwj", "classifier": {"hidden": 16}, "k": 3},
}
TRUTH = 1.5185  # I(X; Y | Z) of the chain of CMINE, section V
EIGHT = {
    "fusion": {"text": 0.3, "audio": 0.2, "vision": 0.1},
    "invariant": 0.7,
    "specific": {"text": 0.4, "audio": 0.5, "vision": 0.6},
    "complementary": 0.9,
}


def build(dims: RepresentationDims = DIMS, **settings: Any) -> MIMRLTerm:
    torch.manual_seed(0)
    return MIMRLTerm(parse(MIMRLTerm.Config, {**SMALL, **settings}, "test"), dims).train()


def batch(rows: int, seed: int, dims: RepresentationDims = DIMS) -> tuple[Representations, Targets]:
    generator = torch.Generator().manual_seed(seed)
    unimodal = {
        name: torch.randn(rows, width, generator=generator).requires_grad_()
        for name, width in dims.unimodal.items()
    }
    fusion = torch.randn(rows, dims.fusion, generator=generator).requires_grad_()
    labels_B = torch.randn(rows, generator=generator)
    return Representations(unimodal, fusion, labels_B), Targets(labels_B, torch.arange(rows))


def after_an_epoch(term: MIMRLTerm, rows: int = 40) -> MIMRLTerm:
    term(*batch(rows, 1))
    term.start_epoch(1)
    return term


def columns(representations: Representations, targets: Targets) -> dict[str, Tensor]:
    return {**representations.unimodal, "fusion": representations.fusion, "label": targets.labels[:, None]}


def gradients(representations: Representations) -> list[Tensor]:
    return [tensor.grad for tensor in (*representations.unimodal.values(), representations.fusion)]


class OneAtATime:
    """The same numbers, one estimator after the other, with the weights of a term."""

    def __init__(self, term: MIMRLTerm, config: MIMRLTerm.Config):
        self.term = term
        self.pairs, self.triples = {}, {}
        for stack, names in zip(term.critics.stacks, term.critics._names, strict=True):
            for place, name in enumerate(names):
                self.pairs[name] = {key: value[place] for key, value in stack.member.state_dict().items()}
        for stack, names in zip(term.classifiers.stacks, term.classifiers._names, strict=True):
            for place, name in enumerate(names):
                state = {key: value[place] for key, value in stack.member.state_dict().items()}
                network = mlp(config.conditional.classifier, state["0.weight"].shape[1], 1)
                network.load_state_dict(state)
                self.triples[name] = network

    def tower(self, name: str, side: str, rows: Tensor) -> Tensor:
        weights = self.pairs[name]
        for layer in (0, 2):
            rows = rows @ weights[f"critic.{side}.{layer}.weight"].T + weights[f"critic.{side}.{layer}.bias"]
            rows = rows.clamp(min=0)
        return rows @ weights[f"critic.{side}.4.weight"].T + weights[f"critic.{side}.4.bias"]

    def pair(self, x: str, y: str, given: dict[str, Tensor]) -> Tensor:
        name = f"{x}-{y}"
        scores = self.tower(name, "x_tower", given[x]) @ self.tower(name, "y_tower", given[y]).T
        apart = ~torch.eye(len(scores), dtype=torch.bool)
        return 1 + scores.diagonal().mean() - scores[apart].exp().mean()

    def logits(self, condition: tuple[str, str, str], given: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        x, y, z = condition
        name = f"{x}-{y}-given-{z}"
        draws = self.term.bank.draws
        product = torch.cat(
            self.term.bank.product_batches({name: condition}, len(given[x]), self.term.readings[0].k)[name], 1
        )
        self.term.bank.draws = draws
        joint = torch.cat([given[x], given[y], given[z]], 1)
        return self.triples[name](joint)[:, 0], self.triples[name](product)[:, 0]


TRIPLES = {
    "ac_t": ("audio", "label", "text"),
    "vc_t": ("vision", "label", "text"),
    "ta_c": ("text", "audio", "label"),
    "tv_c": ("text", "vision", "label"),
    "tc_a": ("text", "label", "audio"),
    "tc_v": ("text", "label", "vision"),
}


@pytest.mark.parametrize("pairs", ["sum", "average"])
@pytest.mark.parametrize("code", [False, True])
def test_main_loss_and_gradients_are_those_of_the_definition(pairs, code):
    name, reading = (
        ("cmi_knn_mimrl_code", conditional_mimrl_code) if code else ("cmi_knn_nwj", conditional_nwj)
    )
    conditional = {**SMALL["conditional"], "name": name}
    term = after_an_epoch(build(**EIGHT, pairs=pairs, conditional=conditional))
    slow = OneAtATime(term, parse(MIMRLTerm.Config, {**SMALL, "conditional": conditional}, "test"))
    alone, targets = batch(12, 2)
    given = columns(alone, targets)
    i = {key: reading(*slow.logits(condition, given)) for key, condition in TRIPLES.items()}
    f = {m: slow.pair("fusion", m, given) for m in DIMS.unimodal}
    share = 0.5 if pairs == "average" else 1.0
    quantities = {
        "fusion_text": f["text"],
        "fusion_audio": f["audio"],
        "fusion_vision": f["vision"],
        "invariant": share * (slow.pair("text", "audio", given) + slow.pair("text", "vision", given)),
        "specific_text": share * (i["tc_a"] - i["ta_c"] + i["tc_v"] - i["tv_c"]),
        "specific_audio": i["ac_t"] - i["ta_c"],
        "specific_vision": i["vc_t"] - i["tv_c"],
        "complementary": share * (i["ta_c"] + i["tv_c"]),
    }
    weights = [0.3, 0.2, 0.1, 0.7, 0.4, 0.5, 0.6, 0.9]
    expected = -sum(w * value for w, value in zip(weights, quantities.values(), strict=True))
    expected.backward()
    together, _ = batch(12, 2)
    value = term(together, targets)
    value.loss.backward()
    torch.testing.assert_close(value.loss, expected, rtol=1e-5, atol=1e-5)
    for one, other in zip(gradients(together), gradients(alone), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    in_nats = {name: q for name, q in quantities.items() if not code or name in list(quantities)[:4]}
    assert set(value.monitors) == {f"bound/mimrl/{name}" for name in in_nats}
    for name, quantity in in_nats.items():
        torch.testing.assert_close(value.monitors[f"bound/mimrl/{name}"], quantity, rtol=1e-5, atol=1e-5)


def test_estimator_loss_is_that_of_the_definition():
    term = after_an_epoch(build())
    slow = OneAtATime(term, parse(MIMRLTerm.Config, SMALL, "test"))
    given, targets = batch(12, 2)
    each = columns(given, targets)
    expected = [-conditional_jsd(*slow.logits(condition, each)) for condition in TRIPLES.values()]
    pairs = [("fusion", m) for m in DIMS.unimodal] + [("text", "audio"), ("text", "vision")]
    expected += [-slow.pair(*pair, each) for pair in pairs]
    loss = term.estimator_loss(given.detach(), targets)
    torch.testing.assert_close(loss, torch.stack(expected).sum(), rtol=1e-5, atol=1e-5)


def test_the_first_epoch_has_no_conditional_information():
    term = build()
    value = term(*batch(12, 1))
    assert set(value.monitors) == {
        f"bound/mimrl/{name}" for name in ("fusion_text", "fusion_audio", "fusion_vision", "invariant")
    }
    fitted = torch.autograd.grad(
        term.estimator_loss(*batch(12, 2)), list(term.classifiers.parameters()), allow_unused=True
    )
    assert fitted == (None,) * len(fitted)


def test_only_what_a_coefficient_asks_for_is_built():
    off = {"text": 0.0, "audio": 0.0, "vision": 0.0}
    term = build(fusion={**off, "audio": 1.0}, invariant=0.0, specific=off, complementary=0.0)
    assert [*term.critics.order, *term.classifiers.order] == ["fusion-audio"]
    nothing = build(fusion=off, invariant=0.0, specific=off, complementary=0.0)
    assert nothing(*batch(12, 1)).loss.item() == 0.0
    assert nothing.estimator_loss(*batch(12, 1)) is None
    assert nothing.parameter_groups() == {"estimator": []}


@pytest.mark.parametrize(
    ("modalities", "estimators"),
    [(("text", "audio"), 6), (("audio", "vision"), 2), (("text",), 1), (("text", "audio", "vision"), 11)],
)
def test_absent_modalities_leave_the_smaller_set(modalities, estimators):
    dims = RepresentationDims(dict.fromkeys(modalities, 4), fusion=3)
    term = build(dims)
    assert len(term.critics.order) + len(term.classifiers.order) == estimators
    for epoch in range(2):
        term.start_epoch(epoch)
        assert term(*batch(12, epoch, dims)).loss.isfinite()


def test_coefficients_of_absent_modalities_alone_are_refused():
    off = {"text": 0.0, "audio": 0.0, "vision": 0.0}
    dims = RepresentationDims({"audio": 4, "vision": 4}, fusion=3)
    with pytest.raises(ConfigError, match="fusion` of a modality that is there"):
        build(dims, fusion=off, specific=off, complementary=0.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"estimator": {"name": "club"}}, r"(?s)estimator\.name: 'club'.*not a loss on the scores.*infonce"),
        ({"estimator": {"name": "ksg"}}, "not a loss on the scores"),
        (
            {"conditional": {"name": "cmi_difference"}},
            r"(?s)conditional\.name.*classifier on neigh.*cmi_knn_dv",
        ),
    ],
)
def test_estimators_that_do_not_fit_the_block_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        parse(MIMRLTerm.Config, settings, "test")


class TestCancellation:
    """Complementary information is subtracted by specific information (methods.md, caution of MIMRL)."""

    @staticmethod
    def warned(**settings: Any) -> list[str]:
        return warnings(parse(ObjectiveConfig, {"terms": {"mimrl": settings}}, "test"))

    def test_the_defaults_do_not_cancel(self):
        assert self.warned() == []

    @pytest.mark.parametrize("pairs", ["average", "sum"])
    def test_equal_coefficients_do(self, pairs):
        found = self.warned(complementary=0.01, pairs=pairs)
        assert [line.split(" is ")[0] for line in found] == [
            "objective.terms.mimrl: I(text; audio | label)",
            "objective.terms.mimrl: I(text; vision | label)",
        ]
        assert "net coefficient -0.01)" in found[0]

    @pytest.mark.parametrize(("pairs", "needed"), [("average", 0.7), ("sum", 0.4)])
    def test_the_advice_is_where_it_stops(self, pairs, needed):
        specific = {"text": 0.1, "audio": 0.3, "vision": 0.0}
        (line,) = self.warned(complementary=0.2, specific=specific, pairs=pairs)
        assert f"complementary above {needed} it is maximised" in line
        assert self.warned(complementary=needed + 0.01, specific=specific, pairs=pairs) == []

    def test_not_asking_for_it_is_no_surprise(self):
        assert self.warned(complementary=0.0) == []


def chain(rows: int, seed: int) -> tuple[Representations, Targets]:
    """text, audio and label as X, Y and Z of X ~ N(0, 100), Y = X + N(0, 1), Z = Y + N(0, 25), in tens."""
    x, first, second = torch.randn(3, rows, 1, generator=torch.Generator().manual_seed(seed)).unbind()
    y = x + 0.1 * first
    z = (y + 0.5 * second)[:, 0]
    return Representations({"text": x, "audio": y}, x, z), Targets(z, torch.arange(rows))


def of_the_chain(name: str) -> MIMRLTerm:
    """In its second epoch, with the first chain in its bank."""
    off = {"text": 0.0, "audio": 0.0, "vision": 0.0}
    term = build(
        RepresentationDims({"text": 1, "audio": 1}, fusion=1),
        fusion=off,
        specific=off,
        invariant=0.0,
        complementary=1.0,
        conditional={"name": name, "classifier": {"hidden": 32}},
    )
    term(*chain(2000, 1))
    term.start_epoch(1)
    return term


@cache
def fitted_to_the_chain(steps: int = 250) -> dict[str, Tensor]:
    """The state of a term, whose reading of the classifier has no part in how that is trained."""
    term = of_the_chain("cmi_knn")
    optimiser = torch.optim.Adam(term.parameter_groups()["estimator"], lr=1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
    for step in range(steps):
        optimiser.zero_grad()
        term.estimator_loss(*chain(48, 100 + step)).backward()
        optimiser.step()
        schedule.step()
    return term.state_dict()


def reading_of_the_chain(name: str) -> MIMRLTerm:
    losses = [of_the_chain(kind).estimator_loss(*chain(48, 100)) for kind in ("cmi_knn", name)]
    assert torch.equal(*losses)
    term = of_the_chain(name)
    term.load_state_dict(fitted_to_the_chain())
    return term.eval()


@pytest.mark.parametrize("name", ["cmi_knn", "cmi_knn_dv", "cmi_knn_nwj"])
def test_corrected_readings_find_the_information_of_the_chain(name):
    value = reading_of_the_chain(name)(*chain(1500, 2))
    assert value.monitors["bound/mimrl/complementary"].item() == pytest.approx(TRUTH, abs=0.25)
    assert value.loss.item() == pytest.approx(-TRUTH, abs=0.25)


def test_the_released_formula_does_not():
    value = reading_of_the_chain("cmi_knn_mimrl_code")(*chain(1500, 2))
    assert -value.loss.item() > 2 * TRUTH
    assert value.monitors == {}


NONE = {"text": 0.0, "audio": 0.0, "vision": 0.0}


class TestLevels:
    """Coefficients by pair, and estimators by kind of information."""

    def test_a_number_is_that_number_for_each_pair(self):
        pairs = {"text_audio": 0.3, "text_vision": 0.3}
        one = after_an_epoch(build(invariant=0.3, complementary=0.3))
        each = after_an_epoch(build(invariant=pairs, complementary=pairs))
        each.load_state_dict(one.state_dict())
        torch.testing.assert_close(each(*batch(12, 2)).loss, one(*batch(12, 2)).loss, rtol=0, atol=0)

    def test_pairs_without_text_are_there_if_asked_for(self):
        dims = RepresentationDims({"audio": 4, "vision": 4}, fusion=3)
        own = {"invariant": {"audio_vision": 1.0}, "complementary": {"audio_vision": 1.0}}
        term = build(dims, fusion=NONE, specific=NONE, **own)
        assert [*term.critics.order, *term.classifiers.order] == ["audio-vision", "audio-vision-given-label"]

    def test_coefficients_of_0_ask_no_estimator(self, monkeypatch):
        asked: list[int] = []
        estimate = InfoNCE.estimate
        monkeypatch.setattr(InfoNCE, "estimate", lambda *args: asked.append(1) or estimate(*args))
        settings = {**SMALL, "estimator": {"name": "infonce"}, "invariant": 0.0, "specific": NONE}
        settings |= {"complementary": {"text_audio": 0.0, "text_vision": 0.0}}
        term = build(**settings, fusion={**NONE, "audio": 1.0})
        term(*batch(12, 1))
        term.estimator_loss(*batch(12, 1))
        assert len(asked) == 2  # one estimator in each loss
        assert not term.classifiers.stacks
        off = parse(ObjectiveConfig, {"terms": {"mimrl": {**settings, "fusion": NONE}}}, "test")
        assert off.built() == {}

    def test_each_kind_has_its_own_estimator_and_neighbours(self):
        own = {"fusion": {"name": "smile"}, "complementary": {"name": "cmi_knn_dv", "k": 2}}
        term = after_an_epoch(build(estimators=own))
        assert sorted((len(reading.names), reading.k) for reading in term.readings) == [(2, 2), (4, 3)]
        assert len(set(term.critics.kinds)) == 2
        assert term(*batch(12, 2)).loss.isfinite()
        assert term.estimator_loss(*batch(12, 2)).isfinite()

    def test_one_estimator_for_all_by_name_is_the_one_of_the_block(self):
        conditional = {**SMALL["conditional"]}
        own = {"fusion": SMALL["estimator"], "invariant": SMALL["estimator"]}
        own |= {"specific": conditional, "complementary": conditional}
        one, each = after_an_epoch(build()), after_an_epoch(build(estimators=own))
        torch.testing.assert_close(each(*batch(12, 2)).loss, one(*batch(12, 2)).loss, rtol=0, atol=0)

    def test_normalised_estimates_move_the_vectors_by_their_coefficient(self):
        coefficient = 0.3
        settings = {"invariant": 0.0, "specific": NONE, "complementary": 0.0, "normalise": True}
        term = build(fusion={**NONE, "text": coefficient}, **settings)
        given, targets = batch(12, 3)
        term(given, targets).loss.backward()
        squared = sum(g.square().sum() for g in gradients(given) if g is not None)
        assert (12 * squared).sqrt().item() == pytest.approx(coefficient, rel=1e-4)

    def test_gradients_of_all_estimators_are_told_apart(self):
        settings = {"fusion": {**NONE, "text": 1.0}, "specific": NONE, "complementary": 0.0}
        together = build(**settings, invariant={"text_audio": 1.0, "text_vision": 0.0}, normalise=True)
        together(*batch(12, 3))
        for place, name in enumerate(together.critics.order):
            given, targets = batch(12, 3)
            loss, _ = together.critics(together._inputs(columns(given, targets)))
            loss[place].backward()
            squared = 12 * sum(g.square().sum() for g in gradients(given) if g is not None)
            size = together.normaliser.mean_square[place] / together.normaliser.rate
            torch.testing.assert_close(size, squared.double(), rtol=1e-4, atol=1e-8), name

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"estimators": {"fusion": {"name": "club"}}}, r"estimators\.fusion\.name: 'club'(?s:.)*infonce"),
            ({"estimators": {"specific": {"name": "cmi_difference"}}}, r"estimators\.specific\.name"),
            ({"invariant": -1.0}, r"invariant: -1\.0"),
            ({"invariant": {"text_audoi": 1.0}}, r"invariant\.text_audoi(?s:.)*Did you mean 'text_audio'"),
            ({"complementary": "0.1"}, r"complementary: '0\.1'"),
        ],
    )
    def test_what_makes_no_sense_is_refused_at_its_path(self, settings, message):
        with pytest.raises(ConfigError, match=message):
            parse(MIMRLTerm.Config, settings, "test")
