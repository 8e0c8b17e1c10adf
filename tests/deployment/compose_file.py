"""``docker/compose.yaml`` as Docker would read it: variables replaced, and what each service is given."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
_VARIABLE = re.compile(r"\$\{(\w+)(?:(:[-+])((?:[^{}]|\{[^{}]*\})*))?\}|\$(\w+)")


@dataclass(frozen=True)
class Mount:
    """A folder of the host in a container."""

    source: str
    target: str
    read_only: bool


@dataclass(frozen=True)
class Service:
    """What a container of the service is started with.

    Attributes:
        command: with the entry point of the service or its image before it.
        mounts: volumes; one without a name has no source.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    mounts: Sequence[Mount]
    secrets: Sequence[str]
    user: str
    health: Sequence[str]
    ports: Sequence[str]
    raw: Mapping[str, Any]


def replaced(text: str, variables: Mapping[str, str]) -> str:
    """``text`` with ``$NAME``, ``${NAME}``, ``${NAME:-otherwise}`` and ``${NAME:+if set}`` replaced."""

    def value(found: re.Match[str]) -> str:
        name, operator, word = found[1] or found[4], found[2], found[3] or ""
        given = variables.get(name, "")
        if operator == ":-":
            return given or replaced(word, variables)
        if operator == ":+":
            return replaced(word, variables) if given else ""
        return given

    return _VARIABLE.sub(value, text)


def compose(variables: Mapping[str, str], file: str = "compose.yaml") -> dict[str, Any]:
    """A file of Docker's with variables replaced."""
    found: dict[str, Any] = _each(yaml.safe_load((DOCKER / file).read_text(encoding="utf-8")), variables)
    return found


def services(variables: Mapping[str, str]) -> dict[str, Service]:
    """The services of ``docker/compose.yaml``."""
    return {name: _service(name, block) for name, block in compose(variables)["services"].items()}


def _each(block: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(block, dict):
        return {name: _each(value, variables) for name, value in block.items()}
    if isinstance(block, list):
        return [_each(value, variables) for value in block]
    if not isinstance(block, str) or "$" not in block:
        return block
    text = replaced(block, variables)
    return int(text) if text.isdigit() else text


def _service(name: str, block: Mapping[str, Any]) -> Service:
    ours = "build" in block
    entry = block.get("entrypoint") or (image_entrypoint() if ours else [])
    mounts = [Mount(v.get("source", ""), v["target"], v.get("read_only", False)) for v in block["volumes"]]
    return Service(
        name,
        [*entry, *block["command"]],
        {**(image_environment() if ours else {}), **{k: str(v) for k, v in block["environment"].items()}},
        mounts,
        block.get("secrets", []),
        block.get("user", ""),
        block.get("healthcheck", {}).get("test", [])[1:],
        block.get("ports", []),
        block,
    )


def dockerfile() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile as (word, rest), with continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (DOCKER / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def image_entrypoint() -> list[str]:
    """Of all images."""
    (entry,) = {rest for word, rest in dockerfile() if word == "ENTRYPOINT"}
    found: list[str] = yaml.safe_load(entry)
    return found


def image_environment() -> dict[str, str]:
    """What the images set; ``PATH`` before the rest of a Debian root's."""
    pairs = [pair for word, rest in dockerfile() if word == "ENV" for pair in shlex.split(rest)]
    values = dict(pair.split("=", 1) for pair in pairs)
    return values | {"PATH": replaced(values["PATH"], {"PATH": "/usr/local/bin:/usr/bin:/bin"})}


def image_files() -> list[str]:
    """The files and folders of the repository that lie in ``/mmsa`` of every image."""
    instructions = dockerfile()
    start = instructions.index(("FROM", "base AS code"))
    copied = []
    for word, rest in instructions[start + 1 :]:
        if word != "COPY":
            break
        *sources, target = rest.split()
        copied += sources
        assert target in ("./", *sources)
    return copied
