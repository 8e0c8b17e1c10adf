"""The environment is the one of the lock, and the lock is the one of pyproject.toml."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINES = (ROOT / "constraints.txt").read_text().splitlines()
LOCK = [Requirement(line) for line in LINES if not line.startswith("#")]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def locked(name, environment=None):
    """The exact requirements of a package that hold in an environment; that of this process without one."""
    return [
        pin.specifier
        for pin in LOCK
        if canonicalize_name(pin.name) == canonicalize_name(name)
        and (pin.marker is None or pin.marker.evaluate(environment))
    ]


def installed(requirement, found):
    """Add the versions of a requirement and of all that it needs here to ``found``, by name."""
    name = canonicalize_name(requirement.name)
    try:
        of_package = distribution(name)
    except PackageNotFoundError:
        found.setdefault((name, ""), None)
        return
    for extra in ("", *requirement.extras):
        if (name, extra) in found:
            continue
        found[name, extra] = of_package.version
        for needed in map(Requirement, of_package.requires or ()):
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                installed(needed, found)


def test_every_installed_package_has_the_version_of_the_lock():
    found = {}
    installed(Requirement("mmsa[dev]"), found)
    versions = {name: version for (name, _), version in found.items() if name != "mmsa"}
    assert len(versions) > 100
    differing = {
        name: (version, [str(pin) for pin in locked(name)])
        for name, version in versions.items()
        # a build for one accelerator has a local version: 2.13.0+cpu is 2.13.0
        if version is not None and not any(pin.contains(version, prereleases=True) for pin in locked(name))
    }
    assert not differing, f"installed against locked: {differing}; make the environment anew: make clean env"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_the_lock_answers_every_requirement_of_the_project(python, platform):
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": platform,
        "platform_machine": "x86_64" if platform == "linux" else "arm64",
    }
    extras = PROJECT["optional-dependencies"].values()
    for line in [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]:
        requirement = Requirement(line)
        if requirement.name == "mmsa":
            continue
        (pin,) = locked(requirement.name, environment)
        (exact,) = pin
        assert exact.operator == "==", f"{line}: the lock has {pin}; run: make lock"
        assert requirement.specifier.contains(exact.version), f"{line}: the lock has {pin}; run: make lock"


def test_pythons_are_those_of_the_project():
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert tuple(f"3.{minor}" for minor in range(30) if allowed.contains(f"3.{minor}")) == PYTHONS
