"""The table that the fault harness prints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass
class Line:
    """What became of the repeats of a scenario."""

    repeats: int = 0
    passed: int = 0
    asked: int = 0
    finished: int = 0
    launches: int = 0
    seconds: float = 0.0


class Table(defaultdict[str, Line]):
    """A line for each scenario."""

    def __init__(self) -> None:
        super().__init__(Line)

    def text(self) -> Iterator[str]:
        """As it is printed."""
        columns = ("repeats", "passed", "asked", "finished", "launches", "seconds")
        yield f"{'scenario':26}" + "".join(f"{column:>10}" for column in columns)
        for name, line in self.items():
            counts = "".join(f"{getattr(line, column):10}" for column in columns[:-1])
            yield f"{name:26}{counts}{line.seconds:10.0f}"
