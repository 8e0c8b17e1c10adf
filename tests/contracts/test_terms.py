"""What every registered loss term has to do. A new term joins with one line in ``CASES``."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor

from mmsa.config import parse
from mmsa.data.corpus import ModalityName
from mmsa.data.targets import Targets, TargetSpec
from mmsa.information import SURROGATES
from mmsa.models import RepresentationDims, Representations
from mmsa.objectives import TERMS, Objective, ObjectiveConfig, Term

CASES: dict[str, list[dict[str, Any]]] = {
    "cpc": [
        {},
        {"direction": "paper", "temperature": 0.1},
        {"direction": "mmim_code", "layers": 3},
    ],
    "barber_agakov": [
        {},
        {"likelihood": "mmim_code", "memory": 0},
        {"projection": "trained", "memory": 3, "vision_to_audio": True},
        {"projection": "none"},
    ],
    "mimrl": [
        {},
        {
            "pairs": "sum",
            "estimator": {"name": "nwj", "critic": {"name": "joint", "hidden": 32}},
            "conditional": {"name": "cmi_knn_mimrl_code", "k": 3},
        },
        {"fusion": {"text": 0.0, "audio": 0.0, "vision": 0.0}, "invariant": 0.0},
        {"complementary": 0.0, "estimator": {"name": "mine"}, "conditional": {"name": "cmi_knn_dv"}},
    ],
}
HEADS = {name: {"width": 8, "dropout": 0.0} for name in ("text", "audio", "vision")}
CASES |= {
    "cmd": [{}, {"moments": 2}],
    "orthogonality": [{}],
    "reconstruction": [{}],
    "similarity": [{}],
    "hsic": [{}, {"kernel": "gaussian"}],
    "coral": [
        {"text_audio": 0.5},
        {"text_audio": 1.0, "text_vision": 2.0, "projection": "trained", "width": 4},
    ],
    "infonce": [{}, {"temperature": 1.0}],
    "supervised_contrastive": [{}, {"bin_width": 3.0, "width": 8}],
    "relational": [{}],
    "dependency": [{"measure": measure} for measure in ("kl", "f", "wasserstein")],
    "unimodal": [
        HEADS,
        {**HEADS, "zeros": "positive", "vision": {"weight": 0.5, "dropout": 0.0}},
        {**HEADS, "labels": "annotated"},
        {**HEADS, "labels": "multimodal"},
    ],
}
TINY = {"hidden": 16}
CRITIC = {"name": "separable", **TINY}
FUSION_TEXT = {"between": ["fusion", "text"]}
CASES["information"] = [
    {"between": ["text", "audio"], "estimator": {"name": "infonce", "critic": {"name": "prediction"}}},
    {**FUSION_TEXT, "estimator": {"name": "barber_agakov", "entropy": {"name": "knife"}}},
    {**FUSION_TEXT, "estimator": {"name": "club"}, "sense": "minimise", "normalise": False},
    {**FUSION_TEXT, "estimator": {"name": "gan_dime", "critic": CRITIC}, "sense": "minimise"},
    {"between": ["text", "audio"], "estimator": {"name": "hsic"}, "sense": "minimise"},
    {"between": ["shared/text", "shared/audio"], "estimator": {"name": "cmd"}},
    {"between": ["text", "audio"], "given": "label", "estimator": {"name": "cmi_knn_nwj"}},
    {"between": ["audio", "label"], "given": "text", "estimator": {"name": "cmi_cross_entropy"}},
]
REMEMBERS_AN_EPOCH = {"mimrl"}
KEEPS_STATE = {"unimodal", "dependency", "information"}
READS = {"dependency": {"shuffled"}}
ANNOTATED: tuple[ModalityName, ...] = ("text", "audio", "vision")
VARIANTS = [(name, settings) for name, variants in CASES.items() for settings in variants]


def dims_of(unimodal: dict[ModalityName, int]) -> RepresentationDims:
    """Of a model that offers private and shared vectors as well."""
    kinds = ("private", "shared", "projected")
    of_modalities = {f"{kind}/{name}": 7 for kind in kinds for name in unimodal}
    return RepresentationDims(unimodal, 10, {**of_modalities, "hidden": 9, "shuffled": 10})


DIMS = dims_of({"text": 12, "audio": 8, "vision": 6})
SPEC = TargetSpec(24, (-3.0, 3.0), ANNOTATED)
LABELS = {
    "mixed": lambda rows: torch.linspace(-3, 3, rows),
    "positive": lambda rows: torch.full((rows,), 2.0),
    "zero": torch.zeros,
}

TermOrObjective = TypeVar("TermOrObjective", Term, Objective)

variants = pytest.mark.parametrize(
    ("name", "settings"), VARIANTS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(VARIANTS)]
)


def untrained(name: str, settings: dict[str, Any], dims: RepresentationDims = DIMS) -> Term:
    term: Term = TERMS[name](TERMS[name].Config.model_validate(settings), dims)
    term.prepare(SPEC)
    return term


def build(name: str, settings: dict[str, Any], dims: RepresentationDims = DIMS) -> Term:
    """The term in training mode, at the start of its third epoch."""
    torch.manual_seed(0)
    return in_third_epoch(untrained(name, settings, dims), dims)


def in_third_epoch(module: TermOrObjective, dims: RepresentationDims = DIMS) -> TermOrObjective:
    """After two epochs of one batch each."""
    for epoch in range(2):
        module.train().start_epoch(epoch)
        module(representations(24, 11 + epoch, dims), targets(24))
    module.start_epoch(2)
    return module


def targets(rows: int, labels: str = "mixed") -> Targets:
    """Of the first rows of the split; the labels of modalities alone are others."""
    labels_B = LABELS[labels](rows)
    return Targets(labels_B, torch.arange(rows), dict.fromkeys(ANNOTATED, 0.5 - labels_B))


def representations(rows: int, seed: int = 0, dims: RepresentationDims = DIMS) -> Representations:
    """Random leaves that require gradients."""
    generator = torch.Generator().manual_seed(seed)

    def leaf(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).requires_grad_()

    unimodal = {modality: leaf(rows, width) for modality, width in dims.unimodal.items()}
    fusion, prediction = leaf(rows, dims.fusion), leaf(rows)
    extra = {name: leaf(rows, width) for name, width in dims.extra.items()}
    return Representations(unimodal, fusion, prediction, extra)


def tensors_of(given: Representations) -> list[Tensor]:
    return [*given.unimodal.values(), given.fusion, *given.extra.values()]


def like(given: Representations, change: Callable[[Tensor], Tensor]) -> Representations:
    """With every tensor changed."""
    unimodal = {name: change(vector) for name, vector in given.unimodal.items()}
    extra = {name: change(vector) for name, vector in given.extra.items()}
    return Representations(unimodal, change(given.fusion), change(given.prediction), extra)


def test_every_term_has_a_case() -> None:
    assert set(CASES) == set(TERMS)


@variants
def test_the_objective_builds_it_from_yaml_and_weighs_it(name: str, settings: dict[str, Any]) -> None:
    config = parse(ObjectiveConfig, {"terms": {name: {"weight": 0.5, **settings}}}, "test")
    torch.manual_seed(0)
    objective = in_third_epoch(Objective(config, DIMS, SPEC))
    given, wanted = representations(24), targets(24)
    weighed = objective(given, wanted).losses[name]
    torch.testing.assert_close(weighed, 0.5 * build(name, settings)(given, wanted).loss)


# The smallest batches, and labels of one kind in a small and in an ordinary one: what divides by a count or a
# spread meets each of its zeros.
BATCHES = [(1, "mixed"), (2, "mixed"), (3, "zero"), (3, "positive"), (24, "zero"), (24, "positive")]


@variants
def test_loss_and_gradients_are_finite(name: str, settings: dict[str, Any]) -> None:
    for rows, labels in BATCHES:
        term, given, wanted = build(name, settings), representations(rows), targets(rows, labels)
        for _ in range(3):
            loss = term(given, wanted).loss
            loss.backward()
            assert loss.isfinite(), (rows, labels)
            assert loss.shape == ()
        leaves = [leaf.grad for leaf in (*tensors_of(given), *term.parameters()) if leaf.grad is not None]
        assert leaves
        assert all(gradient.isfinite().all() for gradient in leaves), (rows, labels)


@variants
def test_constant_representations_are_survived(name: str, settings: dict[str, Any]) -> None:
    for level in (0.0, 1.0):
        term = build(name, settings)
        constant = like(representations(16), partial(torch.full_like, fill_value=level, requires_grad=True))
        loss = term(constant, targets(16)).loss
        loss.backward()
        assert loss.isfinite()
        assert all(t.grad.isfinite().all() for t in tensors_of(constant) if t.grad is not None)


@variants
def test_main_loss_reaches_every_representation_it_reads(name: str, settings: dict[str, Any]) -> None:
    given = representations(24)
    build(name, settings)(given, targets(24)).loss.backward()
    vectors = {**given.unimodal, **given.extra}
    reached = {key for key, vector in vectors.items() if vector.grad is not None and vector.grad.any()}
    named = {
        part
        for value in (*settings.get("between", ()), settings.get("given", ""))
        for part in value.split("/")
    }
    expected = named & set(ANNOTATED) or READS.get(name, set(ANNOTATED))
    assert {vector.split("/")[-1] for vector in reached} == expected


@variants
def test_each_parameter_is_in_one_group_and_trained_by_its_loss(name: str, settings: dict[str, Any]) -> None:
    term, given, wanted = build(name, settings), representations(24), targets(24)
    groups = term.parameter_groups()
    grouped = [id(parameter) for parameters in groups.values() for parameter in parameters]
    assert sorted(grouped) == sorted(id(p) for p in term.parameters() if p.requires_grad)
    losses = {"main": term(given, wanted).loss, "estimator": term.estimator_loss(given.detach(), wanted)}
    assert set(groups) <= set(losses)
    assert (losses["estimator"] is None) == (not groups.get("estimator"))
    for group, parameters in groups.items():
        if parameters:
            gradients = torch.autograd.grad(losses[group], parameters, retain_graph=True)
            assert all(gradient.any() and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        (name, settings)
        for name, settings in VARIANTS
        if TERMS[name].estimator_loss is not Term.estimator_loss
        and settings.get("estimator", {}).get("name") not in SURROGATES
    ],
)
def test_fitting_the_estimator_trains_nothing_else(name: str, settings: dict[str, Any]) -> None:
    term, given, wanted = build(name, settings), representations(24), targets(24)
    loss = term.estimator_loss(given.detach(), wanted)
    loss.backward()
    fitted = {id(p) for p in term.parameters() if p.grad is not None}
    assert fitted == {id(p) for p in term.parameter_groups()["estimator"]}
    assert all(tensor.grad is None for tensor in tensors_of(given))


@variants
def test_the_order_of_rows_does_not_matter(name: str, settings: dict[str, Any]) -> None:
    given, wanted = representations(24), targets(24)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    shuffled = like(given, lambda vector: vector[order])
    alone = {name: labels_B[order] for name, labels_B in wanted.unimodal.items()}
    wanted_there = Targets(wanted.labels[order], wanted.rows[order], alone)
    expected = build(name, settings)(given, wanted).loss
    torch.testing.assert_close(build(name, settings)(shuffled, wanted_there).loss, expected)


@variants
def test_an_absent_modality_leaves_the_others(name: str, settings: dict[str, Any]) -> None:
    dims = dims_of({"text": 12, "audio": 8})
    value = build(name, settings, dims)(representations(24, dims=dims), targets(24))
    assert value.loss.isfinite()
    assert not [monitor for monitor in value.monitors if "vision" in monitor]


@variants
def test_training_on_one_batch_lowers_the_loss(name: str, settings: dict[str, Any]) -> None:
    term, given, wanted = build(name, settings), representations(24), targets(24)
    main = term.parameter_groups().get("main", [])
    optimiser = torch.optim.Adam([*tensors_of(given), *main], lr=0.02)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = term(given, wanted).loss
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert min(losses) < losses[0] - 0.02 * abs(losses[0])


@variants
def test_monitors_are_detached_scalars(name: str, settings: dict[str, Any]) -> None:
    for monitor in build(name, settings)(representations(24), targets(24)).monitors.values():
        assert monitor.shape == ()
        assert monitor.isfinite()
        assert not monitor.requires_grad


@variants
def test_a_checkpoint_in_the_middle_of_an_epoch_continues_alike(name: str, settings: dict[str, Any]) -> None:
    """State with remembered batches of different sizes goes through a file into a term of another seed."""
    term = build(name, settings)
    for seed, rows in enumerate((24, 23, 24, 7)):
        term(representations(rows, seed), targets(rows))
    file = io.BytesIO()
    torch.save(term.state_dict(), file)
    file.seek(0)
    torch.manual_seed(99)
    again = untrained(name, settings)
    again.load_state_dict(torch.load(file, weights_only=True))
    given, wanted = representations(24, 5), targets(24)
    assert torch.equal(again(given, wanted).loss, term(given, wanted).loss)


@variants
def test_evaluation_leaves_no_memory(name: str, settings: dict[str, Any]) -> None:
    term, wanted = build(name, settings), targets(24)
    term.eval()(representations(24, 7), wanted)
    expected = build(name, settings)(representations(24), wanted).loss
    torch.testing.assert_close(term.train()(representations(24), wanted).loss, expected)


@pytest.mark.parametrize(
    ("name", "settings"), [v for v in VARIANTS if v[0] not in REMEMBERS_AN_EPOCH | KEEPS_STATE]
)
def test_an_epoch_starts_without_memory(name: str, settings: dict[str, Any]) -> None:
    term, wanted = build(name, settings), targets(24)
    fresh = term.eval()(representations(24), wanted).loss
    term.train()(representations(24, 7), wanted)
    term.start_epoch(3)
    torch.testing.assert_close(term(representations(24), wanted).loss, fresh)


@pytest.mark.parametrize(("name", "settings"), [v for v in VARIANTS if v[0] in REMEMBERS_AN_EPOCH])
def test_an_epoch_starts_with_the_one_before(name: str, settings: dict[str, Any]) -> None:
    term, again = build(name, settings), build(name, settings)
    given, wanted = representations(24), targets(24)
    for module, seed in ((term, 7), (again, 8)):
        module(representations(24, seed), wanted)
    torch.testing.assert_close(again(given, wanted).loss, term(given, wanted).loss)
    for module in (term, again):
        module.start_epoch(3)
    assert not again(given, wanted).loss.isclose(term(given, wanted).loss, atol=0)
