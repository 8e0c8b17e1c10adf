"""Where space files are: in the working folder, or among those that come with mmsa."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import mmsa
from mmsa.errors import ConfigError, Problem, did_you_mean

SPACES = Path(mmsa.__file__).resolve().parent.parent / "search_spaces"
SCHEMA = SPACES / "space.schema.json"


def find_space(name: str | Path) -> Path:
    """The file a name stands for, with or without ``.yaml``: in the working folder, or a shipped space.

    Raises:
        ConfigError: when there is none, with the nearest shipped name.
    """
    for folder in (Path(), SPACES):
        for candidate in (folder / name, folder / f"{name}.yaml"):
            with suppress(OSError, ValueError):  # of names that no file can have
                if candidate.is_file():
                    return candidate
    rule = f"no such file here ({Path.cwd()}) or among the shipped spaces"
    raise ConfigError("space", [Problem("(file)", str(name), rule, did_you_mean(str(name), shipped()))])


def shipped() -> list[str]:
    """The names of the spaces that come with mmsa."""
    return [str(path.relative_to(SPACES)) for path in sorted(SPACES.rglob("*.yaml"))]
