"""The language of constraints: what it means, what it refuses, that nothing in it runs and all of it ends."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mmsa.config import problems_of
from mmsa.errors import Problem
from mmsa.search.space.expressions import (
    MOST_CHARACTERS,
    Meaningless,
    NotApplicable,
    parse_expression,
)

VALUES = {
    "model.hidden": 32,
    "model.heads": 4,
    "optim.lr": 0.01,
    "model.name": "mmim",
    "model.text.finetune": False,
}


def at(path: str) -> Any:
    if path not in VALUES:
        raise NotApplicable(path)
    return VALUES[path]


def refused(text: str) -> Problem:
    with pytest.raises(ValidationError) as caught:
        parse_expression(text)
    (problem,) = problems_of(caught.value)
    return problem


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("model.hidden % model.heads == 0", True),
        ("model.hidden % 5 == 0", False),
        ("model.hidden // 5 * 5 + 2 == model.hidden", True),
        ("model.hidden / model.heads == 8", True),
        ("1 < model.heads <= 4", True),
        ("1 < model.heads < 4", False),
        ("-model.heads == 0 - 4", True),
        ("model.name == 'mmim' and optim.lr < 0.1", True),
        ("model.name != 'mmim' or optim.lr > 0.1", False),
        ("not (model.name == 'mimrl')", True),
        ("model.text.finetune == false", True),
        ("not model.text.finetune", True),
        ("model.text.finetune == true or model.heads == 4", True),
    ],
)
def test_truth(text, truth):
    assert parse_expression(text).holds(at) is truth


def test_paths_are_those_written():
    assert parse_expression("a.b + c == 1 and d.e.f != 'g.h' or true == i").paths == {
        "a.b",
        "c",
        "d.e.f",
        "i",
    }


def test_what_is_absent_makes_a_condition_hold():
    assert parse_expression("model.rank < 0").holds(at)
    assert not parse_expression("model.heads == 5 and model.rank < 0").holds(at)
    assert parse_expression("model.heads == 4 or model.rank < 0").holds(at)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model.name % 2 == 0", "'mmim' is not a number"),
        ("model.name * 3 == 1", "'mmim' is not a number"),
        ("model.text.finetune < 3", "False is not a number"),
        ("model.name == 3", "never equal"),
        ("model.heads or model.hidden", "4 is neither true nor false"),
        ("model.hidden % (model.heads - 4) == 0", "32 and 0"),
    ],
)
def test_operations_that_values_do_not_have(text, words):
    with pytest.raises(Meaningless, match=words):
        parse_expression(text).holds(at)


FOREIGN = [
    "__import__('os').system('true') == 0",
    "open('x') == 1",
    "(lambda: 1)() == 1",
    "[x for x in y] == 1",
    "model.heads ** 9 ** 9 ** 9 == 1",
    "1 << 99999 == 1",
    "model['heads'] == 4",
    "f'{model}' == 'x'",
    "b'x' == 1",
    "1j == 1",
    "None == 1",
    "... == 1",
    "(a := 3) == 3",
    "1 if true else 2 == 1",
    "model.heads in 4",
    "model.heads is 4",
    "~model.heads == 1",
    "(1, 2) == 1",
    "'a'.upper == 1",
    "'a'.join(b) == 1",
    "*a == 1",
    "await a == 1",
]


@pytest.mark.parametrize("text", FOREIGN)
def test_what_is_not_in_the_language_is_refused(text):
    problem = refused(text)
    assert problem.value == text
    assert "may hold" in problem.next_step


@pytest.mark.parametrize("text", ["", "a ==", "a = 3", "a; b", "a\x00b", "import os", "(" * 200])
def test_what_is_not_an_expression_is_refused(text):
    assert "cannot be read" in refused(text).rule


@pytest.mark.parametrize("text", ["model.heads", "1 + 1", "'word'", "true", "-model.heads"])
def test_what_is_not_a_condition_is_refused(text):
    assert "neither true nor false" in refused(text).rule


def test_what_is_too_long_is_refused():
    assert "longer" in refused("1 == " + "1" * MOST_CHARACTERS).rule


def test_what_nests_as_deep_as_it_may_is_read():
    depth = (MOST_CHARACTERS - 10) // 2
    assert parse_expression(f"{'-' * 2 * depth}1 == 1").holds(at)


PARTS = [*VALUES, "1", "0", "-2", "1e308", "99999999999", "'x'", "true", "(", ")", "not ", " and ", " or "]
PARTS += [
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "**",
    ".",
    "[",
    "]",
    ":=",
    "lambda",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=40).map("".join) | st.text(max_size=60))
def test_any_text_is_refused_or_has_a_truth_or_no_meaning(text):
    """Whatever is written: reading and evaluating it ends, and looks at nothing but the paths it names."""
    asked = []

    def look(path: str) -> Any:
        asked.append(path)
        return at(path)

    try:
        expression = parse_expression(text)
    except ValidationError:
        return
    with suppress(Meaningless):
        assert expression.holds(look) in (True, False)
    assert set(asked) <= expression.paths
