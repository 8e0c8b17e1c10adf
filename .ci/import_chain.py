"""Print the longest import chain in mmsa and public names that are defined twice; fail for import cycles."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

PACKAGE = Path(__file__).parents[1] / "mmsa"


def defined_twice() -> dict[str, list[str]]:
    """The modules of each public class or function that more than one module defines."""
    modules = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                modules[node.name].append(module)
    return {name: where for name, where in sorted(modules.items()) if len(set(where)) > 1}


def main() -> int:
    """Exit status: 1 for a cycle."""
    graph = grimp.build_graph("mmsa")
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        tuple(TopologicalSorter(imports).static_order())
    except CycleError as error:
        print(f"import cycle: {' -> '.join(error.args[1])}")
        return 1

    @cache
    def longest_from(module: str) -> tuple[str, ...]:
        tails = (longest_from(imported) for imported in sorted(imports[module]))
        return (module, *max(tails, key=len, default=()))

    chain = max((longest_from(module) for module in sorted(imports)), key=len)
    print(f"no import cycle in {len(imports)} modules; longest chain ({len(chain)}): {' -> '.join(chain)}")
    twice = defined_twice()
    print(f"{len(twice)} public names are defined twice{':' if twice else ''}")
    for name, modules in twice.items():
        print(f"  {name}: {', '.join(modules)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
