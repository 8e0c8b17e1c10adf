"""Information terms: under names of one's own, by every estimator there is, raised or lowered."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_objective import DIMS, TARGETS, representations

from mmsa.config import parse, with_overrides
from mmsa.data.targets import TrainTargets
from mmsa.errors import ConfigError
from mmsa.information import CONDITIONAL_ESTIMATORS, ESTIMATORS, SURROGATES
from mmsa.information.estimators import EstimatorModule
from mmsa.objectives import CPC, Objective, ObjectiveConfig
from mmsa.objectives.terms.information import EVERY_ESTIMATOR, InformationTerm

FUSION_TEXT: dict[str, Any] = {"term": "information", "between": ["fusion", "text"]}
AUDIO_TEXT: dict[str, Any] = {"term": "information", "between": ["audio", "text"]}
GIVEN_LABEL = {**AUDIO_TEXT, "given": "label"}
MEASURES = {"gaussian_copula", "ksg"}
BOTH = {"jsd", "gan_dime", "infonce_anchor", "smile", "hsic", "cka", "cmi_knn"}


def config_of(**terms: Any) -> ObjectiveConfig:
    return parse(ObjectiveConfig, {"terms": terms}, "test")


def objective(**terms: Any) -> Objective:
    torch.manual_seed(0)
    built = Objective(config_of(**terms), DIMS, TrainTargets(20)).train()
    for epoch in range(2):  # the first one fills the banks
        built.start_epoch(epoch)
        built(representations(), TARGETS)
    built.start_epoch(2)
    return built


def takes(name: str, sense: str, given: str | None) -> bool:
    entry = {**AUDIO_TEXT, "given": given, "estimator": {"name": name}, "sense": sense}
    try:
        config_of(own=entry)
    except ConfigError:
        return False
    return True


def test_any_number_stand_under_names_of_their_own() -> None:
    terms = {"text_in_fusion": FUSION_TEXT, "shared": {**AUDIO_TEXT, "weight": 0.5}, "cpc": {}}
    value = objective(**terms)(representations(), TARGETS)
    assert list(value.losses) == ["task", "text_in_fusion", "shared", "cpc"]
    assert {"bound/text_in_fusion", "bound/shared", "bound/cpc/text"} <= set(value.monitors)


def test_a_configuration_survives_its_dump_and_every_way_of_changing_it() -> None:
    config = config_of(shared=AUDIO_TEXT)
    again = parse(ObjectiveConfig, config.model_dump(mode="json"), "again")
    assert again == config
    changes = {"terms.shared.estimator.name": "smile", "terms.shared.estimator.clip": 2.0}
    changed = with_overrides(config, {**changes, "terms.shared.weight": 0.3})
    assert changed.model_dump()["terms"]["shared"]["estimator"]["clip"] == 2.0
    assert changed.built() == {"shared": 0.3}


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"shard": {"between": ["text", "audio"]}}, "Under a name of your own, write term: information"),
        ({"barber_agakow": {}}, "Did you mean 'barber_agakov'"),
        ({"shared": {**AUDIO_TEXT, "term": "informaton"}}, "Did you mean 'information'"),
        ({"sharp": {"term": "cpc"}}, "can stand under its own name only.*Write cpc: instead of sharp:"),
        ({"a.b": AUDIO_TEXT}, "Write letters, digits and _"),
        ({"task": AUDIO_TEXT}, "Call the term task_term"),
        ({"train": AUDIO_TEXT}, "Call the term train_term"),
        ({"shared": {**AUDIO_TEXT, "estimator": {"name": "infonse"}}}, "Did you mean 'infonce'"),
        ({"shared": {**AUDIO_TEXT, "between": ["text", "text"]}}, "names a vector twice"),
        ({"shared": {"term": "information"}}, "terms.shared.between.* is required"),
        ({"shared": {**AUDIO_TEXT, "sense": "minimise"}}, "bounds information from below"),
        ({"shared": {**AUDIO_TEXT, "estimator": {"name": "club"}}}, "bounds information from above"),
        ({"shared": {**AUDIO_TEXT, "estimator": {"name": "ksg"}}}, "trains nothing"),
        ({"shared": {**AUDIO_TEXT, "estimator": {"name": "cmi_knn"}}}, "needs a third vector, `given`"),
        ({"shared": GIVEN_LABEL}, "knows no third vector.* use one of cmi_knn, "),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_next_step(terms: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        config_of(**terms)


def test_every_estimator_is_reachable_and_bounds_are_used_in_their_direction_only() -> None:
    assert set(EVERY_ESTIMATOR) == {*ESTIMATORS, *CONDITIONAL_ESTIMATORS, *SURROGATES}
    for name in EVERY_ESTIMATOR:
        given = "label" if name in CONDITIONAL_ESTIMATORS else None
        senses = {sense for sense in ("maximise", "minimise") if takes(name, sense, given)}
        kind, role = EVERY_ESTIMATOR[name].spec.kind, EVERY_ESTIMATOR[name].spec.role
        if name in BOTH:
            assert senses == {"maximise", "minimise"}, name
        else:
            assert len(senses) == (0 if name in MEASURES else 1), name
        assert not (kind == "lower" and "minimise" in senses), name
        assert not (kind == "upper" and "maximise" in senses), name
        assert (role == "measure") == (not senses), name


@pytest.mark.parametrize("name", sorted({*EVERY_ESTIMATOR} - MEASURES))
def test_every_estimator_moves_the_vectors_and_is_fitted_apart(name: str) -> None:
    given = "label" if name in CONDITIONAL_ESTIMATORS else None
    for sense in ("maximise", "minimise"):
        if not takes(name, sense, given):
            continue
        entry = {**AUDIO_TEXT, "given": given, "estimator": {"name": name}, "sense": sense}
        subject, vectors = objective(own=entry), representations()
        loss = subject(vectors, TARGETS).losses["own"]
        gradients = torch.autograd.grad(loss, [*vectors.unimodal.values()])
        assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients)
        # Divided by its running size, one batch has a gradient of about unit length per row.
        squares = sum(gradient.square().sum() for gradient in gradients)
        assert 0.2 < float(squares) * len(TARGETS) < 20
        fitted = subject.parameter_groups().get("estimator", [])
        assert bool(fitted) == bool(subject.estimator_losses(vectors, TARGETS))


def test_maximise_and_minimise_are_opposite_where_both_are_allowed() -> None:
    def gradient(name: str, sense: str) -> torch.Tensor:
        vectors = representations()
        entry = {**AUDIO_TEXT, "estimator": {"name": name}, "sense": sense, "normalise": False}
        loss = objective(own=entry)(vectors, TARGETS).losses["own"]
        return torch.autograd.grad(loss, vectors.unimodal["text"])[0]

    for name in BOTH - {"cmi_knn"}:
        torch.testing.assert_close(gradient(name, "maximise"), -gradient(name, "minimise"))


def test_to_minimise_a_discrepancy_is_to_maximise_what_is_shared() -> None:
    entry = {**AUDIO_TEXT, "estimator": {"name": "cmd"}, "normalise": False}
    assert objective(own=entry)(representations(), TARGETS).losses["own"] > 0
    with pytest.raises(ConfigError, match="driving them apart has no end"):
        config_of(own={**entry, "sense": "minimise"})


def test_vectors_that_are_not_there_are_refused_when_it_is_built() -> None:
    with pytest.raises(ConfigError, match=r"terms\.own\.between.*(?s:.)*Did you mean 'text'"):
        objective(own={**FUSION_TEXT, "between": ["fusion", "txt"]})
    with pytest.raises(ConfigError, match=r"terms\.own.*(?s:.)*one width, and these have 6 and 8"):
        objective(own={**FUSION_TEXT, "estimator": {"name": "mmd"}})


def test_weights_of_zero_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    original = EstimatorModule.__init__
    monkeypatch.setattr(
        EstimatorModule,
        "__init__",
        lambda self, *rest: (calls.append(type(self).__name__), original(self, *rest))[1],
    )
    off = {name: {**AUDIO_TEXT, "weight": 0.0} for name in ("first", "second")}
    assert list(objective(**off, third=AUDIO_TEXT).terms) == ["third"]
    assert calls == ["InfoNCE"]


def test_the_mean_over_modalities_is_cpc() -> None:
    """Both directions, one linear layer: what ``cpc`` says of a modality is one of these terms."""
    given, cpc = representations(), CPC(CPC.Config(), DIMS)
    estimator = {"name": "infonce", "symmetric": True, "critic": {"name": "prediction"}}
    for modality in DIMS.unimodal:
        settings = {"between": ["fusion", modality], "estimator": estimator, "normalise": False}
        own = InformationTerm(InformationTerm.Config.model_validate(settings), DIMS)
        own.estimator.critic.predict.load_state_dict(cpc.heads[modality].state_dict())
        bound = cpc(given, TARGETS).monitors[f"bound/cpc/{modality}"]
        torch.testing.assert_close(own(given, TARGETS).loss.detach(), -bound)


def test_a_bank_starts_with_the_second_epoch() -> None:
    torch.manual_seed(0)
    subject = Objective(config_of(own={**GIVEN_LABEL, "estimator": {"name": "cmi_knn"}}), DIMS).train()
    for epoch in range(2):
        subject.start_epoch(epoch)
        value, fits = (
            subject(representations(), TARGETS),
            subject.estimator_losses(representations(), TARGETS),
        )
        assert (bool(value.losses["own"].any()), "own" in fits) == (epoch > 0, epoch > 0)
