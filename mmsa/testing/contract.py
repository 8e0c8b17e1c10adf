"""The base of all contract suites: a class of tests that is run on each of its cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, TypeVar

import pytest

Settings = Mapping[str, Any]
TestT = TypeVar("TestT", bound=Callable[..., None])

Applies = Callable[[Any, "Case"], bool]
"""Whether a test of a suite makes sense for a case."""
_APPLIES: dict[Any, Applies] = {}
_NONE = pytest.param(None, marks=pytest.mark.skip(reason="no case of this suite is of the kind it is about"))


# Compared by identity, so that what was fitted for a case can be kept for all tests of it.
@dataclass(frozen=True, eq=False)
class Case:
    """A component as the tests build it.

    Attributes:
        id: in the names of tests, unique in its suite.
        name: under which the component is registered.
        settings: of its ``Config``, without ``name``.
    """

    id: str
    name: str
    settings: Settings


class Contract:
    """Base of the suites.

    Attributes:
        CASES: settings of each component by its registered name; a list of them for several variants. What
            follows a slash in a name only tells cases apart: ``infonce/cosine``.
    """

    CASES: ClassVar[Mapping[str, Settings | Sequence[Settings]]] = {}

    @classmethod
    @cache
    def cases(cls) -> tuple[Case, ...]:
        """All cases, the same objects at each call."""
        return tuple(
            Case(key if isinstance(given, Mapping) else f"{key}-{position}", key.partition("/")[0], settings)
            for key, given in cls.CASES.items()
            for position, settings in enumerate([given] if isinstance(given, Mapping) else given)
        )

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test of the class on the cases that it applies to."""
        if not self.CASES:
            raise pytest.UsageError(f"{type(self).__name__}.CASES is empty; write CASES = {{name: settings}}")
        if "case" in metafunc.fixturenames:
            applies = _APPLIES.get(metafunc.function)
            cases = [case for case in self.cases() if applies is None or applies(self, case)]
            metafunc.parametrize("case", cases or [_NONE], ids=[case.id for case in cases] or ["none"])


def only(applies: Applies) -> Callable[[TestT], TestT]:
    """Decorator of a test that makes sense for some cases only."""

    def remember(test: TestT) -> TestT:
        _APPLIES[test] = applies
        return test

    return remember
