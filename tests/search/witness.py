"""An observer of searches for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Witness:
    """Observer that keeps what it is told, and may act on it."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.on: dict[str, Callable[..., None]] = {}

    def __getattr__(self, event: str) -> Callable[..., None]:
        if event.startswith("__"):
            raise AttributeError(event)

        def tell(*details: Any) -> None:
            self.events.append((event, *details))
            self.on.get(event, lambda *_: None)(*details)

        return tell

    def told(self, event: str) -> list[tuple[Any, ...]]:
        return [details for name, *details in self.events if name == event]
