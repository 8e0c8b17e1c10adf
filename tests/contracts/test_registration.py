"""Whatever is written can be named in a space file: no component stands in the code without its name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import mmsa.models
import mmsa.objectives
from mmsa.models import FUSIONS, MODELS, Model
from mmsa.models.encoders import ENCODERS, TEXT_ENCODERS, FeatureEncoder
from mmsa.models.fusions import Fusion
from mmsa.models.text import FrozenText
from mmsa.objectives import STRATEGIES, TERMS, WEIGHTINGS, Strategy, Term
from mmsa.objectives.weightings import Weighting
from mmsa.registry import Registry

KINDS: dict[str, tuple[type, Registry[Any], set[type]]] = {
    "model": (Model, MODELS, set()),
    "encoder": (FeatureEncoder, ENCODERS, {FrozenText}),  # which is what `pretrained` is on encoded text
    "text encoder": (FeatureEncoder, TEXT_ENCODERS, {FrozenText}),
    "fusion": (Fusion, FUSIONS, set()),
    "term": (Term, TERMS, set()),
    "strategy": (Strategy, STRATEGIES, set()),
    "weighting": (Weighting, WEIGHTINGS, set()),
}


def leaves(base: type) -> Iterator[type]:
    """Everything of mmsa that is derived from ``base``, and from which nothing else is."""
    for child in base.__subclasses__():
        if child.__subclasses__():
            yield from leaves(child)
        elif child.__module__.startswith("mmsa."):
            yield child


@pytest.mark.parametrize("kind", KINDS)
def test_every_component_is_registered(kind: str) -> None:
    for package in (mmsa.models, mmsa.objectives):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    base, registry, exceptions = KINDS[kind]
    registered = {registry[name] for name in registry}
    assert {leaf for leaf in leaves(base) if leaf not in exceptions} <= registered


@pytest.mark.parametrize("kind", KINDS)
def test_a_config_bears_the_name_of_its_component(kind: str) -> None:
    _, registry, _ = KINDS[kind]
    for name in registry:
        field = registry[name].Config.model_fields.get("name")
        assert field is None or field.default == name  # terms are keyed by their name instead
