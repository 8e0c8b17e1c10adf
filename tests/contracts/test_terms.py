"""What every registered loss term has to do. A new term joins with one line in ``CASES``."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor

from mmsa.config import parse
from mmsa.data.corpus import ModalityName
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
CASES |= {
    "cmd": [{}, {"moments": 2}],
    "orthogonality": [{}],
    "reconstruction": [{}],
    "similarity": [{}],
    "hsic": [{}, {"kernel": "gaussian"}],
    "coral": [
        {"pairs": ["text_audio", "audio_vision"]},
        {"pairs": ["text_audio", "text_vision"], "projection": "trained", "width": 4},
    ],
    "infonce": [{}, {"temperature": 1.0}],
    "supervised_contrastive": [{}, {"bin_width": 3.0, "width": 8}],
    "relational": [{}],
}
REMEMBERS_AN_EPOCH = {"mimrl"}
VARIANTS = [(name, settings) for name, variants in CASES.items() for settings in variants]


def dims_of(unimodal: dict[ModalityName, int]) -> RepresentationDims:
    """Of a model that offers private and shared vectors as well."""
    kinds = ("private", "shared", "projected")
    return RepresentationDims(unimodal, 10, {f"{kind}/{name}": 7 for kind in kinds for name in unimodal})


DIMS = dims_of({"text": 12, "audio": 8, "vision": 6})
LABELS = {
    "mixed": lambda rows: torch.linspace(-3, 3, rows),
    "positive": lambda rows: torch.full((rows,), 2.0),
    "zero": torch.zeros,
}

TermOrObjective = TypeVar("TermOrObjective", Term, Objective)

variants = pytest.mark.parametrize(
    ("name", "settings"), VARIANTS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(VARIANTS)]
)


def build(name: str, settings: dict[str, Any], dims: RepresentationDims = DIMS) -> Term:
    """The term in training mode, at the start of its second epoch."""
    torch.manual_seed(0)
    term: Term = TERMS[name](TERMS[name].Config.model_validate(settings), dims)
    return in_second_epoch(term, dims)


def in_second_epoch(module: TermOrObjective, dims: RepresentationDims = DIMS) -> TermOrObjective:
    """After a first epoch of one batch."""
    module.train()(representations(24, 11, dims), LABELS["mixed"](24))
    module.start_epoch(1)
    return module


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
    objective = in_second_epoch(Objective(config, DIMS))
    given, labels_B = representations(24), LABELS["mixed"](24)
    weighed = objective(given, labels_B).losses[name]
    torch.testing.assert_close(weighed, 0.5 * build(name, settings)(given, labels_B).loss)


@variants
@pytest.mark.parametrize("rows", [1, 2, 3, 24])
@pytest.mark.parametrize("labels", list(LABELS))
def test_loss_and_gradients_are_finite(name: str, settings: dict[str, Any], rows: int, labels: str) -> None:
    term, given, labels_B = build(name, settings), representations(rows), LABELS[labels](rows)
    for _ in range(3):
        loss = term(given, labels_B).loss
        loss.backward()
        assert loss.isfinite()
        assert loss.shape == ()
    leaves = [leaf.grad for leaf in (*tensors_of(given), *term.parameters()) if leaf.grad is not None]
    assert leaves
    assert all(gradient.isfinite().all() for gradient in leaves)


@variants
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_constant_representations_are_survived(name: str, settings: dict[str, Any], level: float) -> None:
    term = build(name, settings)
    constant = like(representations(16), lambda vector: torch.full_like(vector, level).requires_grad_())
    loss = term(constant, LABELS["mixed"](16)).loss
    loss.backward()
    assert loss.isfinite()
    assert all(t.grad.isfinite().all() for t in tensors_of(constant) if t.grad is not None)


@variants
def test_main_loss_reaches_every_representation_it_reads(name: str, settings: dict[str, Any]) -> None:
    given = representations(24)
    build(name, settings)(given, LABELS["mixed"](24)).loss.backward()
    vectors = {**given.unimodal, **given.extra}
    reached = {name for name, vector in vectors.items() if vector.grad is not None and vector.grad.any()}
    assert {name.split("/")[-1] for name in reached} == {"text", "audio", "vision"}


@variants
def test_each_parameter_is_in_one_group_and_trained_by_its_loss(name: str, settings: dict[str, Any]) -> None:
    term, given, labels_B = build(name, settings), representations(24), LABELS["mixed"](24)
    groups = term.parameter_groups()
    grouped = [id(parameter) for parameters in groups.values() for parameter in parameters]
    assert sorted(grouped) == sorted(id(p) for p in term.parameters() if p.requires_grad)
    losses = {"main": term(given, labels_B).loss, "estimator": term.estimator_loss(given.detach(), labels_B)}
    assert set(groups) <= set(losses)
    assert (losses["estimator"] is None) == (not groups.get("estimator"))
    for group, parameters in groups.items():
        if parameters:
            gradients = torch.autograd.grad(losses[group], parameters, retain_graph=True)
            assert all(gradient.any() and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize(
    ("name", "settings"),
    [case for case in VARIANTS if TERMS[case[0]].estimator_loss is not Term.estimator_loss],
)
def test_fitting_the_estimator_trains_nothing_else(name: str, settings: dict[str, Any]) -> None:
    term, given, labels_B = build(name, settings), representations(24), LABELS["mixed"](24)
    loss = term.estimator_loss(given.detach(), labels_B)
    loss.backward()
    fitted = {id(p) for p in term.parameters() if p.grad is not None}
    assert fitted == {id(p) for p in term.parameter_groups()["estimator"]}
    assert all(tensor.grad is None for tensor in tensors_of(given))


@variants
def test_the_order_of_rows_does_not_matter(name: str, settings: dict[str, Any]) -> None:
    given, labels_B = representations(24), LABELS["mixed"](24)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    shuffled = like(given, lambda vector: vector[order])
    expected = build(name, settings)(given, labels_B).loss
    torch.testing.assert_close(build(name, settings)(shuffled, labels_B[order]).loss, expected)


@variants
def test_an_absent_modality_leaves_the_others(name: str, settings: dict[str, Any]) -> None:
    dims = dims_of({"text": 12, "audio": 8})
    value = build(name, settings, dims)(representations(24, dims=dims), LABELS["mixed"](24))
    assert value.loss.isfinite()
    assert not [monitor for monitor in value.monitors if "vision" in monitor]


@variants
def test_monitors_are_detached_scalars(name: str, settings: dict[str, Any]) -> None:
    for monitor in build(name, settings)(representations(24), LABELS["mixed"](24)).monitors.values():
        assert monitor.shape == ()
        assert monitor.isfinite()
        assert not monitor.requires_grad


@variants
def test_a_checkpoint_in_the_middle_of_an_epoch_continues_alike(name: str, settings: dict[str, Any]) -> None:
    """State with remembered batches of different sizes goes through a file into a term of another seed."""
    term = build(name, settings)
    for seed, rows in enumerate((24, 23, 24, 7)):
        term(representations(rows, seed), LABELS["mixed"](rows))
    file = io.BytesIO()
    torch.save(term.state_dict(), file)
    file.seek(0)
    torch.manual_seed(99)
    again = TERMS[name](TERMS[name].Config.model_validate(settings), DIMS)
    again.load_state_dict(torch.load(file, weights_only=True))
    given, labels_B = representations(24, 5), LABELS["mixed"](24)
    assert torch.equal(again(given, labels_B).loss, term(given, labels_B).loss)


@variants
def test_evaluation_leaves_no_memory(name: str, settings: dict[str, Any]) -> None:
    term, labels_B = build(name, settings), LABELS["mixed"](24)
    term.eval()(representations(24, 7), labels_B)
    expected = build(name, settings)(representations(24), labels_B).loss
    torch.testing.assert_close(term.train()(representations(24), labels_B).loss, expected)


@pytest.mark.parametrize(("name", "settings"), [v for v in VARIANTS if v[0] not in REMEMBERS_AN_EPOCH])
def test_an_epoch_starts_without_memory(name: str, settings: dict[str, Any]) -> None:
    term, labels_B = build(name, settings), LABELS["mixed"](24)
    fresh = term.eval()(representations(24), labels_B).loss
    term.train()(representations(24, 7), labels_B)
    term.start_epoch(1)
    torch.testing.assert_close(term(representations(24), labels_B).loss, fresh)


@pytest.mark.parametrize(("name", "settings"), [v for v in VARIANTS if v[0] in REMEMBERS_AN_EPOCH])
def test_an_epoch_starts_with_the_one_before(name: str, settings: dict[str, Any]) -> None:
    term, again = build(name, settings), build(name, settings)
    given, labels_B = representations(24), LABELS["mixed"](24)
    for module, seed in ((term, 7), (again, 8)):
        module(representations(24, seed), labels_B)
    torch.testing.assert_close(again(given, labels_B).loss, term(given, labels_B).loss)
    for module in (term, again):
        module.start_epoch(2)
    assert not again(given, labels_B).loss.isclose(term(given, labels_B).loss, atol=0)
