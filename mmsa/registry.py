"""Registries: from the name of a component, as users write it in YAML, to its class."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator, MutableMapping
from functools import cache
from typing import Any, Generic, TypeVar, cast

from mmsa.errors import ConfigError, Problem, did_you_mean
from mmsa.extensions import GROUPS, Extension, find_extensions

T = TypeVar("T")


class Registry(Generic[T]):
    """The components of one kind, such as models or loss terms, by name.

    Args:
        kind: what a component is called in messages.
        group: of entry points, by which other packages add components; empty where they cannot.

    Raises:
        ConfigError: from ``registry[name]`` for a name that is not registered, with the nearest valid one, or
            whose class cannot be imported; and from every question once other packages are found to declare
            what cannot be registered.
    """

    def __init__(self, kind: str, group: str = ""):
        self.kind = kind
        self.group = group
        self._own: MutableMapping[str, type[T] | Extension] = {}
        self._parts: tuple[Registry[Any], ...] = ()
        self._extended = not group

    @classmethod
    def joining(cls, kind: str, *parts: Registry[Any]) -> Registry[T]:
        """The entries of all ``parts`` as one kind, with those that are registered later."""
        joined = cls(kind)
        joined._own = ChainMap(*(part._own for part in reversed(parts)))  # which reads the last first
        joined._parts = parts
        joined._extended = False
        return joined

    @property
    def one(self) -> str:
        """The kind with its article: an encoder, a fusion."""
        return f"{'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Class decorator that registers the class under ``name``."""

        def add(entry: type[T]) -> type[T]:
            if isinstance(other := self._own.get(name), Extension):
                raise ConfigError("extensions", [self._taken(other, str(entry))])
            if name in self._own:
                raise ValueError(f"{self.kind} {name!r} is registered twice: {other} and {entry}")
            self._own[name] = entry
            return entry

        return add

    def declare(self, name: str, target: str) -> None:
        """Register a class of mmsa, ``module:class``, whose module is imported when somebody names it."""
        if name in self._own:
            raise ValueError(f"{self.kind} {name!r} is registered twice: {self._own[name]} and {target}")
        self._own[name] = Extension(self.group, name, target, "mmsa", "itself")

    def __getitem__(self, name: str) -> type[T]:
        entries = self._entries()
        if name not in entries:
            problem = Problem("name", name, f"is not a registered {self.kind}", did_you_mean(name, entries))
            raise ConfigError(self.kind, [problem])
        entry = entries[name]
        return self._imported(entry) if isinstance(entry, Extension) else entry

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._entries()

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries())

    def __len__(self) -> int:
        return len(self._entries())

    def _entries(self) -> MutableMapping[str, type[T] | Extension]:
        """What is registered, and what other packages declare."""
        for part in self._parts:
            part._entries()
        if not self._extended:
            if self._parts:
                self._refuse_hidden()
            self._own.update(self._declared())
            self._extended = True
        return self._own

    def _declared(self) -> dict[str, Extension]:
        """The extensions of this kind.

        Raises:
            ConfigError: for names that are taken, and for groups that do not exist.
        """
        declared: dict[str, Extension] = {}
        problems = [
            Problem(
                extension.group,
                extension.name,
                f"is declared in a group that mmsa does not know, by {extension}",
                did_you_mean(extension.group, GROUPS),
            )
            for extension in _extensions()
            if extension.group not in GROUPS
        ]
        for extension in _extensions():
            if extension.group != self.group:
                continue
            other = self._own.get(extension.name) or declared.get(extension.name)
            if other is None:
                declared[extension.name] = extension
            else:
                problems.append(self._taken(extension, str(other)))
        if problems:
            raise ConfigError("extensions", problems)
        return declared

    def _refuse_hidden(self) -> None:
        """Refuse extensions of one part that bear a name of another.

        Raises:
            ConfigError: naming them.
        """
        problems = [
            part._taken(entry, str(other._own[name]))
            for part in self._parts
            for name, entry in part._own.items()
            if isinstance(entry, Extension)
            for other in self._parts
            if other is not part and name in other._own
        ]
        if problems:
            raise ConfigError("extensions", problems)

    def _taken(self, extension: Extension, other: str) -> Problem:
        rule = f"is registered twice as {self.one}: as {extension} and as {other}"
        advice = (
            "Rename the entry point, or uninstall the package; a class with an entry point has no decorator."
        )
        return Problem(self.group, extension.name, rule, advice)

    def _imported(self, extension: Extension) -> type[T]:
        try:
            entry = extension.load()
        except Exception as error:  # a module of somebody else may raise anything
            rule = f"cannot be imported ({type(error).__name__}: {error}): {extension}"
            raise self._broken(extension, rule) from error
        if not isinstance(entry, type):
            raise self._broken(extension, f"must be a class, and {extension} is a {type(entry).__name__}")
        return cast("type[T]", entry)

    def _broken(self, extension: Extension, rule: str) -> ConfigError:
        advice = "Repair the package, or uninstall it."
        return ConfigError("extensions", [Problem(extension.group, extension.name, rule, advice)])


_extensions = cache(find_extensions)  # reading what all packages declare takes some 50 ms
