"""Reading of YAML: plain mappings, lists and scalars, within bounds that no honest file reaches.

PyYAML's safe loader runs no code, but a text made for it can hang it, fill the memory, or raise errors that
are not its own. Here every text becomes plain values or a ``ConfigError``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml
from yaml.events import Event
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from mmsa.errors import ConfigError, Problem

MOST_CHARACTERS = 2**18
"""Longest text that is read; the largest space that comes with mmsa has 5,000 characters."""
_MOST_EXPANDED = 2**20  # characters and values, when every alias is replaced by what it stands for
_DEEPEST = 64
_LONGEST_NUMBER = 400
_LARGEST = 2**63

_PREFIX = "tag:yaml.org,2002:"
_MERGE = f"{_PREFIX}merge"
_NOT_SETTINGS = (f"{_PREFIX}timestamp", f"{_PREFIX}value")  # a date is text here, and so is "="
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # libyaml takes a tenth of the time
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class _Refused(Exception):
    """A problem at a place in the text."""

    def __init__(self, at: Node | Event, value: object, rule: str, next_step: str = ""):
        super().__init__(rule)
        mark: Any = at.start_mark  # which composed nodes and events always have
        self.problem = Problem(f"line {mark.line + 1}", value, rule, next_step)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader as far as its tree of nodes, which must not be deep.

    Values are made of the tree by ``_value``, which knows no tags but those of settings.
    """

    yaml_implicit_resolvers: ClassVar[Any] = {  # type: ignore[misc]
        first: [(tag, pattern) for tag, pattern in known if tag not in _NOT_SETTINGS]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str):
        super().__init__(text)
        self._depth = 0
        self.scalars: Mapping[str, Callable[[ScalarNode], Any]] = {
            f"{_PREFIX}str": lambda node: node.value,
            f"{_PREFIX}int": self.construct_yaml_int,
            f"{_PREFIX}float": self.construct_yaml_float,
            f"{_PREFIX}bool": self.construct_yaml_bool,
            f"{_PREFIX}null": self.construct_yaml_null,
        }

    def compose_node(self, parent: Any, index: Any) -> Node | None:
        if self._depth == _DEEPEST:
            raise _too_deep(self.peek_event())  # type: ignore[no-untyped-call]
        self._depth += 1
        node: Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Measure:
    """Measures a tree of nodes with all aliases expanded; refuses trees that grow too large, and cycles."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, int] | None] = {}

    def of(self, node: Node) -> tuple[int, int]:
        """Number of characters and values below a node, and number of levels."""
        if id(node) in self._known:
            known = self._known[id(node)]
            if known is None:
                raise _Refused(node, "*", "holds itself", "Write it out.")
            return known
        self._known[id(node)] = None  # being measured: to meet it again below itself is a cycle
        if isinstance(node, ScalarNode):
            size, height = 1 + len(node.value), 1
        else:
            below = [self.of(child) for child in _children(node)]
            size, height = 1 + sum(size for size, _ in below), 1 + max((h for _, h in below), default=0)
        if size > _MOST_EXPANDED:
            advice = "Write fewer aliases (*name)."
            raise _Refused(node, size, "characters and values would come of its aliases", advice)
        if height > _DEEPEST:
            raise _too_deep(node)
        self._known[id(node)] = size, height
        return size, height


def _too_deep(at: Node | Event) -> _Refused:
    rule = f"goes deeper than {_DEEPEST} levels, which no setting does"
    return _Refused(at, "(nested)", rule, "Look for brackets that are not closed.")


def _children(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value)


def read_yaml(text: str, source: str) -> Any:
    """Parse YAML text to mappings with string keys, lists and scalars.

    Args:
        text: to parse.
        source: names the text in errors.

    Raises:
        ConfigError: for text that is not YAML, keys that are repeated or not strings, tags, and for sizes,
            depths, aliases and numbers beyond those of any setting.
    """
    if len(text) > MOST_CHARACTERS:
        rule = f"is longer than the {MOST_CHARACTERS:,} characters that are read"
        raise ConfigError(source, [Problem("(file)", f"{len(text):,} characters", rule)])
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _Measure().of(node)
        return _value(node, loader)
    except _Refused as error:
        raise ConfigError(source, [error.problem]) from None
    except yaml.MarkedYAMLError as error:
        raise ConfigError(source, [_unreadable(error, text)]) from None
    except (ValueError, OverflowError):  # PyYAML makes characters of escapes without looking at the number
        rule = "is not readable YAML: an escape such as \\U00110000 is of no character"
        raise ConfigError(source, [Problem("(file)", text, rule, "Write text in single quotes.")]) from None
    except yaml.YAMLError as error:
        rule = f"is not readable YAML: {str(error).splitlines()[0]}"
        raise ConfigError(source, [Problem("(file)", text[:MOST_CHARACTERS], rule)]) from None


def _unreadable(error: yaml.MarkedYAMLError, text: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    rule = f"is not readable YAML: {error.problem or error.context}"
    advice = "Indent with spaces, not with tabs." if "'\\t'" in rule else ""
    if mark is None:
        return Problem("(file)", text, rule, advice)
    lines = text.splitlines()
    line = lines[mark.line].strip() if mark.line < len(lines) else ""
    return Problem(f"line {mark.line + 1}, column {mark.column + 1}", line, rule, advice)


def _value(node: Node, loader: _Loader) -> Any:
    if isinstance(node, ScalarNode):
        return _scalar(node, loader)
    if isinstance(node, SequenceNode) and node.tag == f"{_PREFIX}seq":
        return [_value(child, loader) for child in node.value]
    if isinstance(node, MappingNode) and node.tag == f"{_PREFIX}map":
        _refuse_repeated(node)
        loader.flatten_mapping(node)
        return {_key(key): _value(child, loader) for key, child in node.value}
    raise _foreign(node)


def _scalar(node: ScalarNode, loader: _Loader) -> Any:
    if node.tag not in loader.scalars:
        raise _foreign(node)
    kind = node.tag.removeprefix(_PREFIX)
    if kind in ("int", "float") and len(node.value) > _LONGEST_NUMBER:
        raise _Refused(node, node.value, f"is a number of {len(node.value):,} characters", "Write fewer.")
    try:
        value = loader.scalars[node.tag](node)
    except (ValueError, LookupError, OverflowError):
        raise _Refused(node, node.value, f"cannot be read as {kind}", "Leave the tag out.") from None
    if isinstance(value, int) and abs(value) >= _LARGEST:
        rule = "is a whole number beyond 2**63, which no setting takes"
        raise _Refused(node, value, rule, "Write 1.0e+20, with a dot, if the setting need not be whole.")
    if isinstance(value, str) and (found := _CONTROL.search(value)):
        rule = f"holds the control character {found[0]!a}, which no setting does"
        raise _Refused(node, value, rule, "Leave it out.")
    return value


def _foreign(node: Node) -> _Refused:
    rule = (
        f"has the tag {node.tag.replace(_PREFIX, '!!')}, and settings are plain mappings, lists and scalars"
    )
    return _Refused(
        node, node.value if isinstance(node, ScalarNode) else _kind(node), rule, "Leave the tag out."
    )


def _kind(node: Node) -> str:
    return "mapping" if isinstance(node, MappingNode) else "sequence"


def _key(node: Node) -> str:
    if not isinstance(node, ScalarNode):
        advice = "Write name: value."
        raise _Refused(node, f"a {_kind(node)}", "is no name of a setting, but a collection", advice)
    if _CONTROL.search(node.value):
        raise _Refused(node, node.value, "holds a control character, which no name does", "Leave it out.")
    return str(node.value)


def _refuse_repeated(node: MappingNode) -> None:
    seen: set[str] = set()
    for key_node, _ in node.value:
        key = _key(key_node)
        if key in seen and key_node.tag != _MERGE:
            raise _Refused(key_node, key, "is written twice", "Keep one of the two.")
        seen.add(key)


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a file that holds one YAML mapping.

    Raises:
        ConfigError: for a file that cannot be read, text that ``read_yaml`` refuses, and anything but a
            mapping.
    """
    values = read_yaml(_text(path), str(path))
    if not isinstance(values, dict):
        raise ConfigError(
            str(path), [Problem("(file)", type(values).__name__, "must be a mapping of settings")]
        )
    return values


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(4 * MOST_CHARACTERS + 1)  # a character has four bytes at most
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        rule = f"is not text in UTF-8: {error.reason} at byte {error.start}"
    except (OSError, ValueError) as error:
        rule = f"cannot be read: {error.strerror if isinstance(error, OSError) else error}"
    raise ConfigError(str(path), [Problem("(file)", path.name, rule)])


def dump_yaml(values: Mapping[str, Any], compact: bool = False) -> str:
    """YAML text of ``values`` in their order, which ``read_yaml`` reads back.

    Args:
        values: plain data.
        compact: blocks that hold no other block take one line.
    """
    style = None if compact else False
    return str(
        yaml.dump(
            dict(values),
            Dumper=_DUMPER,
            sort_keys=False,
            allow_unicode=True,
            width=110,
            default_flow_style=style,
        )
    )
