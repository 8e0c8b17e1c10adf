"""A searcher that hands out trials by number, for tests of what Ray Tune does with them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ray import tune
from ray.tune.search import Searcher

ROOM = tune.PlacementGroupFactory([{"CPU": 1}])


class Handing(Searcher):
    """Hands out ``numbers``; None is none before another report."""

    def __init__(self, *numbers: int | None):
        super().__init__()
        self._numbers = list(numbers)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if not self._numbers:
            return str(Searcher.FINISHED)
        number = self._numbers.pop(0)
        return None if number is None else {"assignment": SimpleNamespace(number=number)}

    def on_trial_complete(self, trial_id: str, result: object = None, error: bool = False) -> None:
        pass
