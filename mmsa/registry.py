"""Registries: from the name of a component, as users write it in YAML, to its class."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Generic, TypeVar

from mmsa.errors import ConfigError, Problem, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """The components of one kind, such as models or loss terms, by name.

    Args:
        kind: what a component is called in messages.

    Raises:
        ConfigError: from ``registry[name]`` for a name that is not registered, with the nearest valid one.
    """

    def __init__(self, kind: str):
        self.kind = kind
        self._entries: MutableMapping[str, type[T]] = {}

    @classmethod
    def joining(cls, kind: str, *parts: Registry[Any]) -> Registry[T]:
        """The entries of all ``parts`` as one kind, with those that are registered later."""
        joined = cls(kind)
        joined._entries = ChainMap(*(part._entries for part in reversed(parts)))  # which reads the last first
        return joined

    @property
    def one(self) -> str:
        """The kind with its article: an encoder, a fusion."""
        return f"{'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Class decorator that registers the class under ``name``."""

        def add(entry: type[T]) -> type[T]:
            if name in self._entries:
                raise ValueError(
                    f"{self.kind} {name!r} is registered twice: {self._entries[name]} and {entry}"
                )
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> type[T]:
        if name not in self._entries:
            problem = Problem(
                "name", name, f"is not a registered {self.kind}", did_you_mean(name, self._entries)
            )
            raise ConfigError(self.kind, [problem])
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
