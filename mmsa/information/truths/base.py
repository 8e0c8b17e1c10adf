"""A distribution and its information."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Truth:
    """A distribution of (X, Y): ``draw(n, rng)`` gives x (n, d_x) and y (n, d_y); ``information`` in nats."""

    name: str
    information: float
    draw: Callable[[int, np.random.Generator], tuple[Floats, Floats]]

    def sample(self, n: int, seed: int = 0) -> tuple[Floats, Floats]:
        """``n`` independent draws, the same for the same seed."""
        return self.draw(n, np.random.default_rng(seed))

    def transformed(
        self,
        name: str,
        transform_x: Callable[[Floats], Floats],
        transform_y: Callable[[Floats], Floats],
    ) -> Truth:
        """The same information seen through injective maps; ``name`` is put before this one's."""

        def draw(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
            x_ND, y_ND = self.draw(n, rng)
            return transform_x(x_ND), transform_y(y_ND)

        return Truth(f"{name}-{self.name}", self.information, draw)


@dataclass(frozen=True)
class ConditionalTruth:
    """A distribution of (X, Y, Z) whose ``information`` is I(X; Y | Z) in nats."""

    name: str
    information: float
    draw: Callable[[int, np.random.Generator], tuple[Floats, Floats, Floats]]

    def sample(self, n: int, seed: int = 0) -> tuple[Floats, Floats, Floats]:
        """``n`` independent draws, the same for the same seed."""
        return self.draw(n, np.random.default_rng(seed))
