"""Print the longest import chain inside mmsa, and fail if imports form a cycle."""

from __future__ import annotations

import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter

import grimp


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
    return 0


if __name__ == "__main__":
    sys.exit(main())
