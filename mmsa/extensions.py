"""What other installed packages add to mmsa: components that they declare as entry points.

A package whose ``pyproject.toml`` says

    [project.entry-points."mmsa.fusions"]
    gated = "mmsa_gated:Gated"

adds the fusion ``gated`` to every process that can import the package (docs/extending.md). Declarations are
read without importing anything: the registry of fusions imports the class when somebody asks for ``gated``,
so a retraining does not need the packages whose samplers happen to be installed beside it.

This module needs only the standard library, because nodes of a cluster are sent it by value.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

GROUPS = (
    "mmsa.fusions",
    "mmsa.estimators",
    "mmsa.terms",
    "mmsa.readers",
    "mmsa.samplers",
    "mmsa.schedulers",
)
"""Groups of entry points, one for each kind of component that ``mmsa.testing`` has a contract for."""
_PREFIX = "mmsa."


@dataclass(frozen=True)
class Extension:
    """A component that another package declares.

    Attributes:
        group: of the entry point.
        name: under which the component is registered.
        target: where its class is, ``module:class``.
        package: that declares it.
        version: of that package.
    """

    group: str
    name: str
    target: str
    package: str
    version: str

    @property
    def module(self) -> str:
        """The top-level package or module that the class is in."""
        return self.target.partition(":")[0].partition(".")[0].strip()

    def load(self) -> object:
        """Import the class; raises whatever the import raises."""
        return EntryPoint(self.name, self.target, self.group).load()

    def __str__(self) -> str:
        return f"{self.target} of the package {self.package} {self.version}"


def find_extensions() -> tuple[Extension, ...]:
    """All extensions that this Python finds, also those of groups that do not exist."""
    declared = entry_points()
    groups = [group for group in declared.groups if group.startswith(_PREFIX)]
    extensions = [
        Extension(
            entry.group,
            entry.name,
            entry.value,
            entry.dist.name if entry.dist else "",
            entry.dist.version if entry.dist else "",
        )
        for group in groups
        for entry in declared.select(group=group)
    ]
    return tuple(sorted(extensions, key=lambda extension: (extension.group, extension.name, str(extension))))
