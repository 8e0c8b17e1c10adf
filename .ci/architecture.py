"""Check the module structure of mmsa: no import cycle, short import chains, one home for each public name."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

LONGEST_CHAIN = 20
"""Modules in the longest import chain that is accepted."""

Imports = Mapping[str, set[str]]


def main() -> int:
    """Exit status: 1 if something is wrong."""
    graph = grimp.build_graph("mmsa")
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    return int(any([not chains_are_short(imports), not names_have_one_home(Path("mmsa"))]))


def chains_are_short(imports: Imports) -> bool:
    """Print the longest import chain, or a cycle; whether it is accepted."""
    try:
        tuple(TopologicalSorter(imports).static_order())
    except CycleError as error:
        print(f"import cycle: {' -> '.join(error.args[1])}")
        return False

    @cache
    def longest_from(module: str) -> tuple[str, ...]:
        tails = (longest_from(imported) for imported in sorted(imports[module]))
        return (module, *max(tails, key=len, default=()))

    chain = max((longest_from(module) for module in sorted(imports)), key=len)
    print(f"no import cycle in {len(imports)} modules; longest chain ({len(chain)}): {' -> '.join(chain)}")
    if len(chain) > LONGEST_CHAIN:
        print(
            f"at most {LONGEST_CHAIN} are accepted: import from defining modules, or move shared nouns down"
        )
    return len(chain) <= LONGEST_CHAIN


def names_have_one_home(package: Path) -> bool:
    """Print public classes and functions that more than one module defines; whether there are none."""
    homes: dict[str, list[str]] = defaultdict(list)
    for path in sorted(package.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            defines = isinstance(node, ast.ClassDef | ast.FunctionDef)
            if defines and not node.name.startswith("_"):
                homes[node.name].append(str(path))
    repeated = {name: paths for name, paths in sorted(homes.items()) if len(paths) > 1}
    print(f"{len(homes)} public classes and functions, {len(repeated)} of them defined in two modules")
    for name, paths in repeated.items():
        print(f"  {name}: {', '.join(paths)}")
    return not repeated


if __name__ == "__main__":
    sys.exit(main())
