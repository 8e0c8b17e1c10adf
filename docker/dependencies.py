"""Print the packages that an image needs, one a line, as pyproject.toml names them."""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path


def needed(project: dict[str, object], extras: list[str]) -> Iterator[str]:
    """The requirements of the project and of some of its extras; an extra may name others."""
    optional = project["optional-dependencies"]
    assert isinstance(optional, dict)
    given = project["dependencies"]
    assert isinstance(given, list)
    lines = [*given, *(line for extra in extras for line in optional[extra])]
    for line in lines:
        if inner := re.fullmatch(rf"{project['name']}\[(.+)\]", line):
            yield from optional[inner[1]]
        else:
            yield line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extra", action="append", default=[], help="extra of pyproject.toml to add")
    parser.add_argument("--without", nargs="*", default=[], help="packages to leave out")
    args = parser.parse_args()
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    for line in needed(project, args.extra):
        if re.match(r"[\w.-]+", line)[0] not in args.without:  # type: ignore[index]
            print(line)


if __name__ == "__main__":
    main()
