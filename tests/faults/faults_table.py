"""The table that the fault harness prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import pytest

PROPERTY = "fault"
"""Of a test's report, which the process that ran it hands to the one that prints."""


@dataclass
class Line:
    """What became of the repeats of a scenario."""

    repeats: int = 0
    passed: int = 0
    asked: int = 0
    finished: int = 0
    launches: int = 0
    seconds: float = 0.0

    def add(self, happened: dict[str, Any], passed: bool) -> None:
        """One more repeat."""
        self.repeats += 1
        self.passed += passed
        for name, value in happened.items():
            setattr(self, name, getattr(self, name) + value)


def table_of(reports: Iterable[pytest.TestReport]) -> Iterator[str]:
    """A line for each scenario; nothing where none was run."""
    lines: dict[str, Line] = {}
    for report in reports:
        for name, value in report.user_properties:
            if name == PROPERTY:
                scenario, happened = value
                lines.setdefault(scenario, Line()).add(happened, report.passed)
    columns = [field.name for field in fields(Line)]
    if lines:
        yield f"{'scenario':30}" + "".join(f"{column:>10}" for column in columns)
    for scenario, line in sorted(lines.items()):
        yield f"{scenario:30}" + "".join(f"{value:10.0f}" for value in asdict(line).values())
