"""The small language of constraints and ties: numbers, words, paths, arithmetic, comparisons, and / or / not.

Python's parser reads it, and nothing of Python runs it: every node is one of those below, interpreted here,
or refused. There are no calls, loops, powers or operations on words, so evaluation ends after one visit of
each node, on numbers no longer than the text.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmsa.config import refuse
from mmsa.interface import Scalar

MOST_CHARACTERS = 300
"""Longest expression; Python's parser runs out of stack on much longer ones."""

Lookup = Callable[[str], Scalar]
"""The value at a dotted path; raises ``NotApplicable``."""

_ARITHMETIC: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_ORDER: Mapping[type, Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_EQUALITY: Mapping[type, Callable[[Any, Any], bool]] = {ast.Eq: operator.eq, ast.NotEq: operator.ne}
_WORDS = {"true": True, "false": False}
_RULE = (
    "may hold numbers, words in quotes, dotted paths, + - * / // %, comparisons, and, or, not and parentheses"
)


class NotApplicable(Exception):
    """A path has no value in this configuration."""


class Meaningless(Exception):
    """An operation on values that do not have it, such as a word divided by a number."""


@dataclass(frozen=True)
class Expression:
    """A condition on a configuration.

    Attributes:
        text: the condition as it was written.
        paths: the dotted paths in it.
    """

    text: str
    paths: frozenset[str]
    _tree: ast.expr

    def holds(self, value_at: Lookup) -> bool:
        """Whether the condition is true, or a path that decides it has no value.

        Raises:
            Meaningless: for operations on values that do not have them.
        """
        try:
            return _truth(_value(self._tree, value_at))
        except NotApplicable:
            return True

    @property
    def equated(self) -> tuple[str, str] | None:
        """The two paths of a condition that only says that they are equal."""
        match self._tree:
            case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]) if _path(left) and _path(right):
                return _path(left), _path(right)
        return None


@dataclass(frozen=True)
class Formula:
    """A value that follows from others.

    Attributes:
        text: the formula as it was written.
        paths: the dotted paths in it.
    """

    text: str
    paths: frozenset[str]
    _tree: ast.expr

    def value(self, value_at: Lookup) -> Scalar:
        """Evaluate it.

        Raises:
            NotApplicable: where a path has no value.
            Meaningless: for operations on values that do not have them.
        """
        return _value(self._tree, value_at)


def parse_formula(text: str) -> Formula:
    """Parse a value that follows from others.

    Raises:
        ValidationError: as a configuration block raises it, for anything that is not in the language, and
            for a value that follows from nothing.
    """
    tree = _parsed(text)
    paths = frozenset(_paths(tree))
    if not paths:
        raise refuse(text, "names no parameter to be the same as", "Write a fixed value in `base`.")
    return Formula(text, paths, tree)


def parse_expression(text: str) -> Expression:
    """Parse a condition.

    Raises:
        ValidationError: as a configuration block raises it, for anything that is not in the language.
    """
    tree = _parsed(text)
    if not isinstance(tree, ast.Compare | ast.BoolOp) and not _is_not(tree):
        raise refuse(text, "is neither true nor false", "Compare something: ==, !=, <, <=, >, >=.")
    return Expression(text, frozenset(_paths(tree)), tree)


def _parsed(text: str) -> ast.expr:
    if len(text) > MOST_CHARACTERS:
        raise refuse(text[:40] + "...", f"is longer than {MOST_CHARACTERS} characters", "Write several.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # what is odd in Python is refused below
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise refuse(text, "cannot be read", f"It {_RULE}.") from None
    _refuse_foreign(tree, text)
    return tree


def _refuse_foreign(node: ast.expr, text: str) -> None:
    for child in _children(node, text):
        _refuse_foreign(child, text)


def _children(node: ast.expr, text: str) -> list[ast.expr]:
    """The parts of a node of the language; other nodes are refused."""
    match node:
        case ast.Constant(value=bool() | int() | float() | str()) | ast.Name():
            return []
        case ast.Attribute() if _path(node):
            return []
        case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=operand):
            return [operand]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return [left, right]
        case ast.BoolOp(values=values):
            return values
        case ast.Compare(left=left, ops=ops, comparators=rest) if all(
            type(op) in _ORDER or type(op) in _EQUALITY for op in ops
        ):
            return [left, *rest]
    found = ast.get_source_segment(text.strip(), node) or text
    raise refuse(text, f"{found!r} is not understood", f"It {_RULE}.")


def _path(node: ast.expr) -> str:
    """The dotted path that a node is; empty for other nodes."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(names)]) if isinstance(node, ast.Name) else ""


def _is_not(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _paths(node: ast.expr) -> Iterator[str]:
    if path := _path(node):
        if path not in _WORDS:
            yield path
        return
    for child in _children(node, ""):
        yield from _paths(child)


def _value(node: ast.expr, value_at: Lookup) -> Scalar:
    if path := _path(node):
        return _WORDS[path] if path in _WORDS else value_at(path)
    match node:
        case ast.Constant(value=bool() | int() | float() | str() as constant):
            return constant
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _truth(_value(operand, value_at))
        case ast.UnaryOp(operand=operand):
            return -_number(_value(operand, value_at))
        case ast.BinOp(left=left, op=op, right=right):
            return _calculated(op, _value(left, value_at), _value(right, value_at))
        case ast.BoolOp(op=ast.And(), values=values):
            return all(_truth(_value(part, value_at)) for part in values)
        case ast.BoolOp(values=values):
            return any(_truth(_value(part, value_at)) for part in values)
        case ast.Compare(left=left, ops=ops, comparators=rest):
            parts = [_value(part, value_at) for part in (left, *rest)]
            return all(_compared(op, *pair) for op, *pair in zip(ops, parts, parts[1:], strict=False))
    raise AssertionError(f"{ast.dump(node)} was let through")


def _calculated(op: ast.operator, left: Scalar, right: Scalar) -> Scalar:
    try:
        result: float = _ARITHMETIC[type(op)](_number(left), _number(right))
    except (ZeroDivisionError, OverflowError) as error:
        raise Meaningless(f"{left!r} and {right!r}: {error}") from None
    return result


def _compared(op: ast.cmpop, left: Scalar, right: Scalar) -> bool:
    if type(op) in _EQUALITY:
        if isinstance(left, str) != isinstance(right, str):
            raise Meaningless(f"{left!r} and {right!r} are never equal")
        return _EQUALITY[type(op)](left, right)
    return _ORDER[type(op)](_number(left), _number(right))


def _number(value: Scalar) -> float:
    if isinstance(value, bool | str):
        raise Meaningless(f"{value!r} is not a number")
    return value


def _truth(value: Scalar) -> bool:
    if not isinstance(value, bool):
        raise Meaningless(f"{value!r} is neither true nor false")
    return value
