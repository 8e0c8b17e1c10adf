"""Space files before torch is loaded: where they lie, and the names in them checked against the JSON schema.

Most slips are a wrong name, and saying so needs no model. Everything else that may be wrong is found when the
space is loaded, which takes seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import mmsa
from mmsa.errors import ConfigError, Problem, did_you_mean, words_of
from mmsa.extensions import find_extensions
from mmsa.yaml_text import load_yaml

SPACES = Path(mmsa.__file__).resolve().parent.parent / "search_spaces"
SCHEMA = SPACES / "space.schema.json"

UNKNOWN = "is not a setting of this block"
_FLOAT, _INT = "{type: float, low: ..., high: ...}", "{type: int, low: ..., high: ...}"
_SHARES = "{type: shares, of: [...], total: ...}"
_LOG, _CHOICE = "{type: float, low: ..., high: ..., log: true}", "{type: categorical, choices: [...]}"
OTHER_TYPES = {
    **dict.fromkeys(("uniform", "double", "real", "quniform", "range"), f"Write {_FLOAT}."),
    **dict.fromkeys(("loguniform", "log_uniform", "log_float", "log"), f"Write {_LOG}."),
    **dict.fromkeys(("randint", "integer", "lograndint", "int_uniform"), f"Write {_INT}."),
    **dict.fromkeys(("dirichlet", "simplex", "share", "proportions"), f"Write {_SHARES}."),
    **dict.fromkeys(("choice", "choices", "bool", "boolean", "grid", "grid_search"), f"Write {_CHOICE}."),
}
"""What to write for the types of other tools."""

Schema = Mapping[str, Any]


def find_space(name: str | Path) -> Path:
    """The file that a name stands for, with or without ``.yaml``: in the working folder, or a shipped space.

    Raises:
        ConfigError: if there is none, with the nearest shipped name.
    """
    for folder in (Path(), SPACES):
        for candidate in (folder / name, folder / f"{name}.yaml"):
            with suppress(OSError, ValueError):  # of names that no file can have
                if candidate.is_file():
                    return candidate
    rule = f"no such file here ({Path.cwd()}) or among the shipped spaces"
    raise ConfigError("space", [Problem("(file)", str(name), rule, did_you_mean(str(name), shipped()))])


def shipped() -> list[str]:
    """The names of the shipped spaces."""
    return [str(path.relative_to(SPACES)) for path in sorted(SPACES.rglob("*.yaml"))]


def misspelt(path: Path) -> list[Problem]:
    """The unknown names in a space file, each with the nearest known one.

    Raises:
        ConfigError: for a file that is not readable YAML.
    """
    values = load_yaml(path)
    # The file is installed without the shipped spaces, or knows nothing of what other packages add.
    if not SCHEMA.is_file() or find_extensions():
        return []
    return list(_Names(json.loads(SCHEMA.read_text(encoding="utf-8"))).problems(values))


class _Names:
    """The names in a JSON schema."""

    def __init__(self, schema: Schema):
        self._schema = schema
        self._definitions = schema.get("$defs", {})

    def problems(self, values: Any) -> Iterator[Problem]:
        """The unknown names in ``values``."""
        for problem in self._below(values, self._schema, ""):
            yield problem if problem.next_step.startswith("Did") else self._at_home(problem)
        search = values.get("search")
        parameters = search.get("parameters") if isinstance(search, Mapping) else None
        base = self._schema["properties"]["base"]
        settings = {path for path, _ in self._paths(base, "", values.get("base"))}
        for path, place in _searched(parameters) if isinstance(parameters, Mapping) else ():
            if path not in settings:
                advice = did_you_mean(path, settings)
                yield Problem(f"search.parameters.{place}", path, "is not a setting", advice)

    def _below(self, values: Any, schema: Schema, path: str) -> Iterator[Problem]:
        options = self._options(schema)
        if isinstance(values, list):
            for position, value in enumerate(values):
                for option in options:
                    if "items" in option:
                        yield from self._below(value, option["items"], f"{path}{position}.")
        # A block that is chosen by name or type is only checked against the one that is named; a wrong name
        # would otherwise make all of its settings wrong as well.
        blocks = [option for option in options if option.get("type") == "object"]
        if not isinstance(values, Mapping) or not blocks:
            return
        for word in ("name", "type"):
            known = {str(self._constant(option, word)): option for option in blocks}
            if word in values and "None" not in known:
                chosen = known.get(str(values[word]))
                if chosen is None:
                    yield Problem(
                        f"{path}{word}", values[word], "is not known", _advice(word, values[word], known)
                    )
                    return
                blocks = [chosen]
        if len(blocks) == 1:
            yield from self._in_block(values, blocks[0], path)

    def _in_block(self, values: Mapping[str, Any], block: Schema, path: str) -> Iterator[Problem]:
        known, others = block.get("properties", {}), block.get("additionalProperties", True)
        for name, value in values.items():
            if name in known:
                yield from self._below(value, known[name], f"{path}{name}.")
            elif others is False or not self._says_what_it_is(value, others):
                yield Problem(f"{path}{name}", value, UNKNOWN, did_you_mean(name, known))
            elif isinstance(others, Mapping):
                yield from self._below(value, others, f"{path}{name}.")

    def _says_what_it_is(self, value: object, others: Schema | bool) -> bool:
        """Whether an entry under a name of the user's own has the constant that such entries need."""
        needed = [
            {word for word in option.get("required", ()) if self._constant(option, word) is not None}
            for option in (self._options(others) if isinstance(others, Mapping) else ())
        ]
        given = set(value) if isinstance(value, Mapping) else set()
        return not needed or any(words <= given for words in needed)

    def _options(self, schema: Schema) -> list[Schema]:
        """The schemas that a value may follow, with references resolved."""
        while "$ref" in schema:
            schema = self._definitions[schema["$ref"].rpartition("/")[2]]
        if "allOf" in schema:  # a block, and what is required of it here
            block, *more = (option for part in schema["allOf"] for option in self._options(part))
            required = [
                *block.get("required", ()),
                *(word for one in more for word in one.get("required", ())),
            ]
            return [{**block, "required": required}]
        inner = [*schema.get("oneOf", ()), *schema.get("anyOf", ())]
        return [option for part in inner for option in self._options(part)] or [schema]

    def _constant(self, option: Schema, word: str) -> Any:
        return option.get("properties", {}).get(word, {}).get("const")

    def _paths(self, schema: Schema, path: str, values: object = None) -> Iterator[tuple[str, str]]:
        """The path of each setting, with the path that names it: members of a list are named by the list.

        Entries under names of the user's own are those of ``values``.
        """
        written = values if isinstance(values, Mapping) else {}
        for option in self._options(schema):
            known, others = option.get("properties", {}), option.get("additionalProperties")
            own = {name: others for name in written if name not in known and isinstance(others, Mapping)}
            for name, inner in {**known, **own}.items():
                yield f"{path}{name}", f"{path}{name}"
                yield from self._paths(inner, f"{path}{name}.", written.get(name))
            if isinstance(option.get("items"), Mapping):
                yield from ((found, path.rstrip(".")) for found, _ in self._paths(option["items"], path))

    def _at_home(self, problem: Problem) -> Problem:
        """The problem of an unknown name, with the place where another block has that name."""
        parent, _, name = problem.path.rpartition(".")
        if problem.rule != UNKNOWN:
            return problem
        homes = {
            home
            for path, home in self._paths(self._schema, "")
            if words_of(path.rpartition(".")[2]) == words_of(name) and home not in (parent, problem.path)
        }
        home = min(homes, key=lambda path: (not path.startswith(f"{parent}."), len(path)), default=None)
        advice = problem.next_step if home is None else f"Did you mean {home!r}?"
        return Problem(problem.path, problem.value, problem.rule, advice)


def _searched(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The paths of the settings that are searched, and where each is written."""
    for name, parameter in parameters.items():
        if isinstance(parameter, Mapping) and parameter.get("type") == "shares":
            members = parameter.get("of")
            yield from (
                (path, f"{name}.of.{path}")
                for path in (members if isinstance(members, Mapping | list) else ())
                if isinstance(path, str)
            )
        else:
            yield name, name


def _advice(word: str, value: object, known: Mapping[str, Any]) -> str:
    other = OTHER_TYPES.get(str(value).lower()) if word == "type" else None
    return other or did_you_mean(str(value), known)
