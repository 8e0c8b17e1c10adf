"""The strict base of every configuration block, and the only way to change a configuration.

A block is a frozen pydantic model that refuses unknown keys and converts no types. The block of a component
is its nested class ``Config``, which ``one_of`` and ``keyed_by`` find through the registry by the name that
the user wrote. ``with_overrides`` is the only function that turns ``{dotted path: value}`` into a new
configuration: search, retrain, export and the command line all use it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from mmsa.errors import ConfigError, DataError, Problem, did_you_mean, nearest, shown, words_of
from mmsa.masking import refusal_of_url
from mmsa.registry import Registry
from mmsa.yaml_text import dump_yaml as dump_yaml
from mmsa.yaml_text import load_yaml as load_yaml
from mmsa.yaml_text import read_yaml as read_yaml

_NUMBER_WITHOUT_DOT = re.compile(r"[-+]?\d+[eE][-+]?\d+")
_PATH = re.compile(r"\w+(\.\w+)*")
_LONGEST_PATH = 200
_OWN_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)
_ENVIRONMENT_VARIABLE = re.compile(r"\$\{(\w+)\}")

# In the words of YAML, which has neither tuples nor classes.
_SHAPES = {"tuple_type": "must be a list", "model_type": "must be a mapping of settings"}
_OFTEN_MEANT = ("weight", "metric", "name")  # the setting that a lone value is of
_QUOTED = re.compile("'([^']*)'")
_UNKNOWN = "is not a setting of this block"

_BY_NAME = get_origin(Mapping[str, Any])  # of fields with one block for each name of the user's own

MISSING = object()
"""What ``walk`` returns where there is no value."""


class Block(BaseModel):
    """Base of every configuration block: frozen, strict, without unknown keys, all problems told at once."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    @model_validator(mode="wrap")
    @classmethod
    def _teach(cls, data: Any, handler: Any) -> Any:
        # In "wrap" mode every block adds advice to its own errors, where its fields are known. Outside, a
        # ValidationError tells locations but not which block refused a key.
        try:
            return handler(data)
        except ValidationError as error:
            raise ValidationError.from_exception_data(
                cls.__name__, [_taught(detail, cls.model_fields) for detail in error.errors()]
            ) from None


class Named(Block):
    """Base of the blocks among which a user chooses by ``name``: each pins its own with a ``Literal``."""

    if TYPE_CHECKING:
        # No field at run time: it would come first in every subclass, and the order of fields is the order
        # of keys in exported files.
        name: str


BlockT = TypeVar("BlockT", bound=Block)


def _taught(detail: Any, fields: Mapping[str, Any]) -> InitErrorDetails:
    """A pydantic error with a next step for the reader.

    Blocks validate from the inside out, and each wraps the errors of the one inside it: advice that is there
    already comes from the block that knows best, and is kept.
    """
    context = detail.get("ctx") or {}
    rule, next_step = detail["msg"], str(context.get("next_step", ""))
    if detail["type"] == "extra_forbidden" and len(detail["loc"]) == 1:
        rule, next_step = _UNKNOWN, did_you_mean(str(detail["loc"][0]), fields)
    elif not next_step and isinstance(detail["input"], str):
        words = _QUOTED.findall(rule) if detail["type"] == "literal_error" else []
        close = nearest(detail["input"], words)
        next_step = f"Did you mean {close!r}?" if close else without_dot(detail["input"])
    elif not next_step and detail["type"] == "string_type" and isinstance(detail["input"], bool):
        read = "yes and on as true" if detail["input"] else "no and off as false"
        next_step = f"YAML reads {read}; put the word in quotes."
    value = detail["input"]
    if detail["type"] == "missing":
        value, rule = None, "is required"
    elif detail["type"] in _SHAPES:
        rule = _SHAPES[detail["type"]]
        next_step = next_step or _in_shape(value, detail["type"], fields)
    return _error_at(detail["loc"], value, rule, next_step, kind=detail["type"])


def _in_shape(value: object, wanted: str, fields: Mapping[str, Any]) -> str:
    """Advice for a single text or number where a list or a mapping is wanted; else empty."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    if wanted == "tuple_type":
        return f"Write [{shown(value)}]."
    first = next((name for name in _OFTEN_MEANT if name in fields), None)
    return f"Write {{{first}: {value}}}." if first and len(str(value)) < _LONGEST_PATH else ""


def without_dot(text: str) -> str:
    """Advice for a number such as 1e-3, which YAML 1.1 reads as text for want of a dot; else empty."""
    if not _NUMBER_WITHOUT_DOT.fullmatch(text):
        return ""
    mantissa, exponent = re.split("[eE]", text)
    return f"YAML reads {text} as text; write {mantissa}.0e{int(exponent):+d}"


def _error_at(
    location: tuple[int | str, ...], value: object, rule: str, next_step: str, kind: str = "refused"
) -> InitErrorDetails:
    message = PydanticCustomError(kind, "{rule}", {"rule": rule, "next_step": next_step})
    return InitErrorDetails(type=message, loc=location, input=value)


def refuse(value: object, rule: str, next_step: str = "", at: tuple[int | str, ...] = ()) -> ValidationError:
    """Error for a block's own validator to raise.

    Args:
        value: what the user wrote.
        rule: the rule it breaks, as the rest of a sentence about it.
        next_step: what to write instead.
        at: path of the value, relative to the block.
    """
    return ValidationError.from_exception_data("refused", [_error_at(at, value, rule, next_step)])


def refuse_all(problems: Iterable[Problem]) -> ValidationError:
    """Like ``refuse``, for several problems with paths relative to the block."""
    return ValidationError.from_exception_data(
        "refused",
        [_error_at((problem.path,), problem.value, problem.rule, problem.next_step) for problem in problems],
    )


_FOLDER_NAME = "[A-Za-z0-9][A-Za-z0-9_-]*"


def _checked_folder_name(name: object) -> object:
    if isinstance(name, str) and not re.fullmatch(_FOLDER_NAME, name):
        advice = f"Write {re.sub('[^A-Za-z0-9_-]+', '-', name).strip('-_') or 'my-study'}."
        raise refuse(name, "may hold letters, digits, - and _, and starts with a letter or digit", advice)
    return name


FolderName = Annotated[str, Field(pattern=f"^{_FOLDER_NAME}$"), BeforeValidator(_checked_folder_name)]
"""A name that becomes a folder, and cannot lead anywhere else."""


class _OneOf:
    """Validates a mapping by the ``Config`` of the component that its ``name`` stands for."""

    def __init__(self, registry: Registry[Any], optional: bool):
        self.registry, self.optional = registry, optional

    def validate(self, value: Any) -> Block | None:
        if value is None and self.optional:
            return None
        if isinstance(value, Block):  # a default, or a copy with changes: it was validated when it was made
            return value
        if not isinstance(value, Mapping):
            raise refuse(
                value, f"must be a mapping with the name of {self.registry.one}", "Write {name: ...}."
            )
        name = value.get("name")
        if name not in self.registry:
            rule = f"is not {self.registry.one}" if "name" in value else f"{self.registry.one} needs a name"
            wanted = str(name) if "name" in value else ""
            raise refuse(name, rule, did_you_mean(wanted, self.registry), at=("name",))
        return _config_of(self.registry[str(name)]).model_validate(value)

    # pydantic's discriminated unions need all classes when the field is declared. A registry is looked up
    # when a value is validated, so components may register later.
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.validate, serialization=core_schema.plain_serializer_function_ser_schema(_dump)
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        options = [_schema_of(_config_of(self.registry[name]), handler) for name in self.registry]
        chosen: JsonSchemaValue = {"type": "object", "required": ["name"], "oneOf": options}
        return {"anyOf": [chosen, {"type": "null"}]} if self.optional else chosen


class _KeyedBy:
    """Validates ``{name: settings}`` by the ``Config`` each key stands for; ``null`` means the defaults.

    With ``own``, a component whose ``Config`` has a field of that name may stand under any other key too, and
    as often as one likes: its settings say there which one it is.
    """

    def __init__(self, registry: Registry[Any], own: str | None):
        self.registry, self.own = registry, own

    def validate(self, value: Any) -> dict[str, Block]:
        if not isinstance(value, Mapping):
            raise refuse(value, f"must map names of {self.registry.kind}s to their settings")
        blocks: dict[str, Block] = {}
        problems: list[InitErrorDetails] = []
        for name, settings in value.items():
            if isinstance(settings, Block):
                blocks[name] = settings
                continue
            try:
                config = _config_of(self.registry[self._component(str(name), settings)])
                blocks[name] = config.model_validate({} if settings is None else settings)
            except ValidationError as error:
                problems += [
                    _error_at((str(name), *detail["loc"]), detail["input"], detail["msg"], _next_step(detail))
                    for detail in error.errors()
                ]
        if problems:
            raise ValidationError.from_exception_data(self.registry.kind, problems)
        return blocks

    def _component(self, name: str, settings: object) -> str:
        """The registered name that an entry stands for: its key, or what is said under a key of one's own.

        Raises:
            ValidationError: where neither is registered, or the component stands under its own name only.
        """
        if name in self.registry:
            return name
        named = settings.get(self.own) if self.own and isinstance(settings, Mapping) else None
        repeatable = self._repeatable()
        if named is None:
            advice = did_you_mean(name, self.registry)
            if repeatable and not nearest(name, self.registry):
                advice += f" Under a name of your own, write {self.own}: {' or '.join(repeatable)}."
            raise refuse(settings, f"is not {self.registry.one}", advice)
        if named in self.registry and named not in repeatable:
            advice = f"Write {named}: instead of {name}:, or {self.own}: {' or '.join(repeatable)}."
            raise refuse(named, "can stand under its own name only", advice, at=(str(self.own),))
        if named not in repeatable:
            raise refuse(
                named,
                f"is not {self.registry.one}",
                did_you_mean(str(named), repeatable),
                at=(str(self.own),),
            )
        if not _OWN_NAME.fullmatch(name):
            raise refuse(
                name, "is no name for an entry", "Write letters, digits and _, beginning with a letter."
            )
        return str(named)

    def _repeatable(self) -> list[str]:
        """The components that may stand under other names than their own."""
        return [name for name in self.registry if self.own in _config_of(self.registry[name]).model_fields]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda blocks: {name: _dump(block) for name, block in blocks.items()}
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        settings = {name: _schema_of(_config_of(self.registry[name]), handler) for name in self.registry}
        properties = {name: {"anyOf": [schema, {"type": "null"}]} for name, schema in settings.items()}
        others = [
            {"allOf": [_schema_of(_config_of(self.registry[name]), handler), {"required": [self.own]}]}
            for name in self._repeatable()
        ]
        return {
            "type": "object",
            "properties": properties,
            "additionalProperties": {"anyOf": others} if others else False,
        }


class _NameIn:
    """Validates the name of a component that has no settings of its own, or one of ``others``."""

    def __init__(self, registry: Registry[Any], others: tuple[str, ...]):
        self.registry, self.others = registry, others

    def validate(self, value: str) -> str:
        if value in self.others or value in self.registry:
            return value
        known = (*self.others, *self.registry)
        raise refuse(value, f"is not {self.registry.one}", did_you_mean(value, known))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.validate, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"enum": [*self.others, *self.registry], "type": "string"}


class _NumberOr:
    """Validates a number, or a block that has one number for each of several members."""

    def __init__(self, number: Any, block: type[Block]):
        self.block = block
        self.number: TypeAdapter[float] = TypeAdapter(number, config=ConfigDict(strict=True))

    # A union would put the name of the alternative into the path of every problem.
    def validate(self, value: Any) -> float | Block:
        if isinstance(value, Block):
            return value
        return (
            self.block.model_validate(value)
            if isinstance(value, Mapping)
            else self.number.validate_python(value)
        )

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.validate, serialization=core_schema.plain_serializer_function_ser_schema(_dump)
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [handler(self.number.core_schema), _schema_of(self.block, handler)]}


def one_of(registry: Registry[Any], *, optional: bool = False) -> Any:
    """Annotation of a field that holds the block of one component, chosen by its ``name``, or None."""
    return _OneOf(registry, optional)


def number_or(number: Any, block: type[Block]) -> Any:
    """Annotation of a field that holds a ``number`` for all members, or a ``block`` with one for each."""
    return _NumberOr(number, block)


def keyed_by(registry: Registry[Any], own: str | None = None) -> Any:
    """Annotation of a field that maps registered names to their blocks.

    With ``own``, other keys may hold a block that says by this setting what it is.
    """
    return _KeyedBy(registry, own)


def name_in(registry: Registry[Any], *others: str) -> Any:
    """Annotation of a string that is a registered name, or one of ``others``."""
    return _NameIn(registry, others)


def _config_of(component: Any) -> type[Block]:
    config: type[Block] = component.Config
    return config


def _schema_of(config: type[Block], handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    """A reference to the JSON schema of a block, which the handler keeps with all others."""
    schema = config.__pydantic_core_schema__
    if schema["type"] == "definitions":
        return handler(schema)
    # Without a name of its own it would be written out wherever it may stand, with all that it may hold.
    name = f"{config.__module__}.{config.__qualname__}:{id(config)}"
    named = cast(CoreSchema, {**schema, "ref": name})
    return handler(core_schema.definitions_schema(core_schema.definition_reference_schema(name), [named]))


def _dump(value: Any) -> Any:
    return value.model_dump() if isinstance(value, Block) else value


def _next_step(detail: Any) -> str:
    return str((detail.get("ctx") or {}).get("next_step", ""))


def parse(block: type[BlockT], values: Mapping[str, Any], source: str) -> BlockT:
    """Validate ``values`` as a ``block``.

    Args:
        block: class of the block.
        values: what was read.
        source: names the file in errors.

    Raises:
        ConfigError: listing all problems, with dotted paths and nearest valid names.
    """
    try:
        return block.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(source, [_at_home(problem, block) for problem in problems_of(error)]) from None


def _at_home(problem: Problem, root: type[Block]) -> Problem:
    """A problem with an unknown setting, with the place where another block has a setting of that name."""
    parent, _, name = problem.path.rpartition(".")
    if problem.rule != _UNKNOWN or not problem.next_step.startswith("Known"):
        return problem
    homes = {
        home
        for home in homes_of_settings(root).get(words_of(name), ())
        if home != parent and not _is_where(home, problem.path)
    }
    if not homes:
        return problem
    home = min(homes, key=lambda path: (not path.startswith(f"{parent}."), len(path)))
    return replace(problem, next_step=f"Did you mean {home!r}?")


def _is_where(home: str, path: str) -> bool:
    """Whether a setting stands where it belongs, which another component has: ``base.`` may be left out."""
    return any("." in at and f".{path}".endswith(f".{at}") for at in (home, home.partition(".")[2]))


@cache
def homes_of_settings(block: type[Block]) -> Mapping[str, frozenset[str]]:
    """Dotted paths of all settings below a block, by the words of their last part.

    Includes every block that may stand in a field. The settings of a list's items are at the list's path.
    """
    homes: dict[str, set[str]] = {}
    for name, field in block.model_fields.items():
        homes.setdefault(words_of(name), set()).add(name)
        for inner, prefix in _inner_blocks(name, field):
            for words, paths in homes_of_settings(inner).items():
                homes.setdefault(words, set()).update(
                    f"{prefix}.{path}" if prefix else name for path in paths
                )
    return {words: frozenset(paths) for words, paths in homes.items()}


def _inner_blocks(name: str, field: FieldInfo) -> Iterator[tuple[type[Block], str]]:
    """The blocks that a field may hold, each with its path; the path is empty for items of a list."""
    for choice in field.metadata:
        if isinstance(choice, _OneOf):
            yield from ((_config_of(choice.registry[entry]), name) for entry in choice.registry)
            return
        if isinstance(choice, _KeyedBy):
            yield from ((_config_of(choice.registry[entry]), f"{name}.{entry}") for entry in choice.registry)
            return
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, Block):
            origin = None if kind is field.annotation else get_origin(field.annotation)
            yield kind, "" if origin is tuple else f"{name}.<name>" if origin is _BY_NAME else name


def problems_of(error: ValidationError) -> list[Problem]:
    """Problems of a pydantic error, with dotted paths."""
    return [
        Problem(
            ".".join(map(str, detail["loc"])) or "(top level)",
            detail["input"],
            detail["msg"],
            _next_step(detail),
        )
        for detail in error.errors()
    ]


def with_overrides(config: BlockT, changes: Mapping[str, Any], source: str = "overrides") -> BlockT:
    """A new configuration with the values at the dotted paths of ``changes`` replaced.

    A path that ends in ``.name`` and names another component starts from that component's defaults, because
    the settings of the replaced one mean nothing to it. Other paths below it apply on top. What nobody wrote
    stays unwritten: a default that follows from another setting follows it again.

    Raises:
        ConfigError: listing all unknown paths and refused values.
    """
    _refuse_malformed(changes, source)
    values = _written(config)
    for path in changes:
        _write_out(config, values, path.split(".")[:-1])
    # Outer paths first, and of one block its name first: a new name clears the block, which must not lose
    # changes of its settings.
    for path in sorted(changes, key=lambda path: (path.count("."), not path.endswith(".name"))):
        *parents, leaf = path.split(".")
        block = values
        for key in parents:
            if not isinstance(block.get(key), dict):
                block[key] = {}
            block = block[key]
        if parents and leaf == "name" and block.get("name") != changes[path]:
            block.clear()
        block[leaf] = changes[path]
    return parse(type(config), values, source)


def _written(value: Any) -> Any:
    """What somebody wrote of a configuration; names of components always, for they say what the rest is."""
    if isinstance(value, Block):
        names = value.model_fields_set
        if "name" in type(value).model_fields:
            names = names | {"name"}
        return {name: _written(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {key: _written(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_written(inner) for inner in value]
    return value


def _write_out(value: Any, values: dict[str, Any], path: list[str]) -> None:
    """Write the blocks on a path into ``values`` where they are defaults, so that a part can be changed."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)
        if not isinstance(value, (Block, Mapping)):
            return
        if key not in values:
            values[key] = _written(value)
        values = values[key]


def _refuse_malformed(changes: Mapping[str, Any], source: str) -> None:
    problems = [
        Problem(path, value, "is no dotted path of a setting", "Write optim.lr, for instance.")
        for path, value in changes.items()
        if len(path) > _LONGEST_PATH or not _PATH.fullmatch(path)
    ]
    if problems:
        raise ConfigError(source, problems)


def walk(values: Any, path: str) -> Any:
    """The value at a dotted path of nested mappings, or ``MISSING``."""
    for key in path.split("."):
        if not isinstance(values, Mapping) or key not in values:
            return MISSING
        values = values[key]
    return values


def expand_path(path: str) -> Path:
    """``path`` with ``${VARIABLE}`` and ``~`` expanded.

    Records keep the unexpanded form, so that they mean the same on another machine.

    Raises:
        DataError: for a variable that is not set, or a URL.
    """
    if refusal := refusal_of_url(path):
        raise DataError(refusal)

    def value_of(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise DataError(
                f"{path}: the environment variable {match[1]} is not set; export {match[1]}=<folder>"
            )
        return os.environ[match[1]]

    return Path(_ENVIRONMENT_VARIABLE.sub(value_of, path)).expanduser()
