"""The examples in the documentation of mmsa.information run, and what is public has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import FunctionType, ModuleType

import pytest

import mmsa.information
from mmsa.information import bounds, distributions, target

SLOW = {"mmsa.information.target.decomposing"}  # trains networks for seconds
MODULES = [
    pytest.param(found.name, marks=[pytest.mark.slow] if found.name in SLOW else [])
    for found in pkgutil.walk_packages(mmsa.information.__path__, "mmsa.information.")
]


def public_functions(package: ModuleType) -> Iterator[FunctionType]:
    names = getattr(package, "__all__", [name for name in vars(package) if not name.startswith("_")])
    for name in names:
        entry = getattr(package, name)
        if inspect.isfunction(entry) and entry.__module__.startswith(package.__name__):
            yield entry


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name), report=True)
    assert failed == 0


@pytest.mark.parametrize(
    "package", [mmsa.information, target, distributions, bounds], ids=lambda p: p.__name__
)
def test_public_functions_have_an_example(package: ModuleType) -> None:
    without = [
        entry.__qualname__ for entry in public_functions(package) if ">>> " not in (entry.__doc__ or "")
    ]
    assert not without
