"""What every loss term has to do."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from mmsa.config import parse
from mmsa.data.corpus import MODALITIES, ModalityName
from mmsa.data.targets import Targets, TrainTargets
from mmsa.information import SURROGATES
from mmsa.models import RepresentationDims, Representations
from mmsa.objectives import TERMS, Objective, ObjectiveConfig, Term
from mmsa.testing.contract import Case, Contract, only


def representation_dims(unimodal: Mapping[ModalityName, int]) -> RepresentationDims:
    """Of a model that offers private and shared vectors as well."""
    kinds = ("private", "shared", "projected")
    of_modalities = {f"{kind}/{name}": 7 for kind in kinds for name in unimodal}
    return RepresentationDims(unimodal, 10, {**of_modalities, "hidden": 9, "shuffled": 10})


DIMS = representation_dims({"text": 12, "audio": 8, "vision": 6})
SPEC = TrainTargets(24, (-3.0, 3.0), MODALITIES)
LABELS: dict[str, Callable[[int], Tensor]] = {
    "mixed": lambda rows: torch.linspace(-3, 3, rows),
    "positive": lambda rows: torch.full((rows,), 2.0),
    "zero": lambda rows: torch.zeros(rows),
}
# The smallest batches, and labels of one kind in a small and in an ordinary one: what divides by a count or a
# spread meets each of its zeros.
BATCHES = [(1, "mixed"), (2, "mixed"), (3, "zero"), (3, "positive"), (24, "zero"), (24, "positive")]

TermOrObjective = TypeVar("TermOrObjective", Term, Objective)


def untrained_term(case: Case, dims: RepresentationDims = DIMS) -> Term:
    """The term as a run begins with it."""
    kind: Any = TERMS[case.name]
    term: Term = kind(kind.Config.model_validate(case.settings), dims)
    term.prepare(SPEC)
    return term


def build_term(case: Case, dims: RepresentationDims = DIMS) -> Term:
    """The term in training mode, at the start of its third epoch."""
    torch.manual_seed(0)
    return _in_third_epoch(untrained_term(case, dims), dims)


def _in_third_epoch(module: TermOrObjective, dims: RepresentationDims = DIMS) -> TermOrObjective:
    """After two epochs of one batch each."""
    for epoch in range(2):
        module.train().start_epoch(epoch)
        module(representations(24, 11 + epoch, dims), targets(24))
    module.start_epoch(2)
    return module


def targets(rows: int, labels: str = "mixed") -> Targets:
    """Of the first rows of the split; the labels of modalities alone are others."""
    labels_B = LABELS[labels](rows)
    return Targets(labels_B, torch.arange(rows), dict.fromkeys(MODALITIES, 0.5 - labels_B))


def representations(rows: int, seed: int = 0, dims: RepresentationDims = DIMS) -> Representations:
    """Random leaves that require gradients."""
    generator = torch.Generator().manual_seed(seed)

    def leaf(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).requires_grad_()

    unimodal = {modality: leaf(rows, width) for modality, width in dims.unimodal.items()}
    fusion, prediction = leaf(rows, dims.fusion), leaf(rows)
    extra = {name: leaf(rows, width) for name, width in dims.extra.items()}
    return Representations(unimodal, fusion, prediction, extra)


def _tensors_of(given: Representations) -> list[Tensor]:
    return [*given.unimodal.values(), given.fusion, *given.extra.values()]


def _changed(given: Representations, change: Callable[[Tensor], Tensor]) -> Representations:
    """With every tensor changed."""
    unimodal = {name: change(vector) for name, vector in given.unimodal.items()}
    extra = {name: change(vector) for name, vector in given.extra.items()}
    return Representations(unimodal, change(given.fusion), change(given.prediction), extra)


def _fits_an_estimator(suite: TermContract, case: Case) -> bool:
    has_loss = TERMS[case.name].estimator_loss is not Term.estimator_loss
    return has_loss and case.settings.get("estimator", {}).get("name") not in SURROGATES


class TermContract(Contract):
    """Suite of loss terms: finite losses, gradients where they belong, memory that checkpoints carry.

    Attributes:
        READS: the vectors that the loss of a component reaches, by their last part, such as ``text`` for
            ``private/text``; those of all modalities where nothing is said.
        REMEMBERS_AN_EPOCH: the components that begin an epoch with what they kept of the one before.
        KEEPS_STATE: the components whose state goes on over all epochs.
    """

    READS: ClassVar[Mapping[str, Collection[str]]] = {}
    REMEMBERS_AN_EPOCH: ClassVar[Collection[str]] = ()
    KEEPS_STATE: ClassVar[Collection[str]] = ()

    def test_it_is_a_term(self, case: Case) -> None:
        assert isinstance(untrained_term(case), Term)

    def test_the_objective_builds_it_from_yaml_and_weighs_it(self, case: Case) -> None:
        values = {"terms": {case.name: {"weight": 0.5, **case.settings}}}
        torch.manual_seed(0)
        objective = _in_third_epoch(Objective(parse(ObjectiveConfig, values, "test"), DIMS, SPEC))
        given, wanted = representations(24), targets(24)
        weighed = objective(given, wanted).losses[case.name]
        torch.testing.assert_close(weighed, 0.5 * build_term(case)(given, wanted).loss)

    def test_loss_and_gradients_are_finite(self, case: Case) -> None:
        for rows, labels in BATCHES:
            term, given, wanted = build_term(case), representations(rows), targets(rows, labels)
            for _ in range(2):  # without and with what it remembers of the batch
                loss = term(given, wanted).loss
                loss.backward()
                assert loss.isfinite(), (rows, labels)
                assert loss.shape == ()
            leaves = [
                leaf.grad for leaf in (*_tensors_of(given), *term.parameters()) if leaf.grad is not None
            ]
            assert leaves
            assert all(gradient.isfinite().all() for gradient in leaves), (rows, labels)

    def test_constant_representations_are_survived(self, case: Case) -> None:
        for level in (0.0, 1.0):
            term = build_term(case)
            fill = partial(torch.full_like, fill_value=level, requires_grad=True)
            constant = _changed(representations(16), fill)
            loss = term(constant, targets(16)).loss
            loss.backward()
            assert loss.isfinite()
            assert all(t.grad.isfinite().all() for t in _tensors_of(constant) if t.grad is not None)

    def test_main_loss_reaches_every_representation_it_reads(self, case: Case) -> None:
        given = representations(24)
        build_term(case)(given, targets(24)).loss.backward()
        vectors = [*given.unimodal.items(), *given.extra.items()]
        reached = {key for key, vector in vectors if vector.grad is not None and vector.grad.any()}
        named = {
            part
            for value in (*case.settings.get("between", ()), case.settings.get("given", ""))
            for part in value.split("/")
        }
        reads: Collection[str] = self.READS.get(case.name, MODALITIES)
        expected = named & set(MODALITIES) or set(reads)
        assert {vector.split("/")[-1] for vector in reached} == expected

    def test_each_parameter_is_in_one_group_and_trained_by_its_loss(self, case: Case) -> None:
        term, given, wanted = build_term(case), representations(24), targets(24)
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

    @only(_fits_an_estimator)
    def test_fitting_the_estimator_trains_nothing_else(self, case: Case) -> None:
        term, given, wanted = build_term(case), representations(24), targets(24)
        loss = term.estimator_loss(given.detach(), wanted)
        assert loss is not None
        loss.backward()  # type: ignore[no-untyped-call]
        fitted = {id(p) for p in term.parameters() if p.grad is not None}
        assert fitted == {id(p) for p in term.parameter_groups()["estimator"]}
        assert all(tensor.grad is None for tensor in _tensors_of(given))

    def test_the_order_of_rows_does_not_matter(self, case: Case) -> None:
        given, wanted = representations(24), targets(24)
        order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
        shuffled = _changed(given, lambda vector: vector[order])
        alone = {name: labels_B[order] for name, labels_B in wanted.unimodal.items()}
        wanted_there = Targets(wanted.labels[order], wanted.rows[order], alone)
        expected = build_term(case)(given, wanted).loss
        torch.testing.assert_close(build_term(case)(shuffled, wanted_there).loss, expected)

    def test_an_absent_modality_leaves_the_others(self, case: Case) -> None:
        dims = representation_dims({"text": 12, "audio": 8})
        value = build_term(case, dims)(representations(24, dims=dims), targets(24))
        assert value.loss.isfinite()
        assert not [monitor for monitor in value.monitors if "vision" in monitor]

    def test_training_on_one_batch_lowers_the_loss(self, case: Case) -> None:
        term, given, wanted = build_term(case), representations(24), targets(24)
        main = term.parameter_groups().get("main", [])
        optimiser = torch.optim.Adam([*_tensors_of(given), *main], lr=0.02)
        losses = []
        for _ in range(30):
            optimiser.zero_grad()
            loss = term(given, wanted).loss
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
            if losses[-1] < losses[0] - 0.02 * abs(losses[0]):
                break
        assert min(losses) < losses[0] - 0.02 * abs(losses[0])

    def test_monitors_are_detached_scalars(self, case: Case) -> None:
        for monitor in build_term(case)(representations(24), targets(24)).monitors.values():
            assert monitor.shape == ()
            assert monitor.isfinite()
            assert not monitor.requires_grad

    def test_a_checkpoint_in_the_middle_of_an_epoch_continues_alike(self, case: Case) -> None:
        """State with batches of different sizes goes through a file into a term of another seed."""
        term = build_term(case)
        for seed, rows in enumerate((24, 23, 24, 7)):
            term(representations(rows, seed), targets(rows))
        file = io.BytesIO()
        torch.save(term.state_dict(), file)
        file.seek(0)
        torch.manual_seed(99)
        again = untrained_term(case)
        again.load_state_dict(torch.load(file, weights_only=True))
        given, wanted = representations(24, 5), targets(24)
        assert torch.equal(again(given, wanted).loss, term(given, wanted).loss)

    def test_evaluation_leaves_no_memory(self, case: Case) -> None:
        term, wanted = build_term(case), targets(24)
        term.eval()(representations(24, 7), wanted)
        expected = build_term(case)(representations(24), wanted).loss
        torch.testing.assert_close(term.train()(representations(24), wanted).loss, expected)

    @only(lambda suite, case: case.name not in {*suite.REMEMBERS_AN_EPOCH, *suite.KEEPS_STATE})
    def test_an_epoch_starts_without_memory(self, case: Case) -> None:
        term, wanted = build_term(case), targets(24)
        fresh = term.eval()(representations(24), wanted).loss
        term.train()(representations(24, 7), wanted)
        term.start_epoch(3)
        torch.testing.assert_close(term(representations(24), wanted).loss, fresh)

    @only(lambda suite, case: case.name in suite.REMEMBERS_AN_EPOCH)
    def test_an_epoch_starts_with_the_one_before(self, case: Case) -> None:
        term, again = build_term(case), build_term(case)
        given, wanted = representations(24), targets(24)
        for module, seed in ((term, 7), (again, 8)):
            module(representations(24, seed), wanted)
        torch.testing.assert_close(again(given, wanted).loss, term(given, wanted).loss)
        for module in (term, again):
            module.start_epoch(3)
        assert not again(given, wanted).loss.isclose(term(given, wanted).loss, atol=0)
