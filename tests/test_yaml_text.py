"""Texts that somebody made become plain values or a refusal in words, in little time and memory."""

from __future__ import annotations

import string
import subprocess
import sys
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsa.cli import overrides
from mmsa.config import dump_yaml
from mmsa.errors import ConfigError, Problem, nearest, shown
from mmsa.yaml_text import load_yaml, read_yaml


def bomb(levels: int) -> str:
    """Nine aliases of the line before, level after level."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


REFUSED = [
    ("? [1, 2]\n: 3", "no name of a setting"),
    ("!!int abc", "cannot be read as int"),
    ("!!bool x", "cannot be read as bool"),
    ("!!timestamp foo", "has the tag !!timestamp"),
    ("!!python/object/apply:os.system [x]", "has the tag"),
    ("!!set {a}", "has the tag !!set"),
    ("9" * 5000, "is a number of 5,000 characters"),
    ("1:" * 300 + "1", "is a number of 601 characters"),
    ("0x" + "f" * 300, "beyond 2\\*\\*63"),
    ("[" * 500 + "]" * 500, "deeper than 64 levels"),
    ("{a: " * 500 + "}" * 500, "deeper than 64 levels"),
    (
        "\n".join(["a0: &a0 [1]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 200))]),
        "deeper than 64 levels",
    ),
    ("&a [*a]", "holds itself"),
    ("a: &a {<<: *a}", "holds itself"),
    (bomb(9), "would come of its aliases"),
    ("a: 1\na: 2", "is written twice"),
    ('"\\ud800"', "control character"),
    ('"\\0"', "control character"),
    ('"\\U00110000"', "of no character"),
    ("\ud800", "unacceptable character"),
    ("a:\t- b", "found character(?s:.)*not with tabs"),
    ("a\n--- b", "found another document"),
    ("x" * 2**18 + "x", "is longer than"),
]


@pytest.mark.parametrize(("text", "rule"), REFUSED)
def test_refused(text, rule):
    with pytest.raises(ConfigError, match=rule) as caught:
        read_yaml(text, "space.yaml")
    assert len(str(caught.value)) < 500


def test_plain_values_are_read_as_they_are_written():
    text = "{no: 1, 1: [2, 1.5, true, null, 2001-01-01, 2001-99-99, '1'], b: &b {x: 1}, c: {<<: *b, y: 2}}"
    dates = ["2001-01-01", "2001-99-99"]
    assert read_yaml(text, "") == {
        "no": 1, "1": [2, 1.5, True, None, *dates, "1"], "b": {"x": 1}, "c": {"x": 1, "y": 2}
    }  # fmt: skip


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(
        string.printable.replace("\x0b", "").replace("\x0c", "").replace("\r", "") + "äß語", max_size=20
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(string.ascii_letters, min_size=1), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(string.ascii_letters, min_size=1), PLAIN, max_size=4))
def test_what_is_written_is_read(values):
    assert read_yaml(dump_yaml(values), "") == values


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [*"[]{}:,&*!|>'\"%@#?- \n\ta1.\\", "<<", "!!int", "*a", "&a", "\ud800", "\0", "0x", "e9"]
        ),
        max_size=30,
    )
)
def test_any_text_is_read_or_refused(parts):
    with suppress(ConfigError):
        overrides([f"optim.lr={''.join(parts)}"])


@pytest.mark.parametrize("name", ["folder", "device", "bytes", "absent"])
def test_files_that_are_no_text_are_refused(tmp_path, name):
    path = {"device": "/dev/zero"}.get(name, str(tmp_path / name))
    (tmp_path / "folder").mkdir()
    (tmp_path / "bytes").write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match=r"\(file\)|unacceptable|longer"):
        load_yaml(type(tmp_path)(path))


def test_what_is_shown_is_short_and_calls_nothing():
    class Foreign:
        def __repr__(self) -> str:
            raise AssertionError

    nested: object = "x"
    for _ in range(60):
        nested = [nested] * 9
    for value in (Foreign(), nested, 10**5000, "x" * 10**6, {"a": Foreign()}, [b"x" * 10**6]):
        assert len(shown(value)) < 100
    assert shown({"a": (1, "b", None), "c": [0.5]}) == "{'a': (1, 'b', None), 'c': [0.5]}"
    error = ConfigError("f", [Problem("p" * 9999, "v" * 9999, "is wrong")] * 5000)
    assert len(str(error)) < 40_000
    assert "and 4900 more" in str(error)


@pytest.mark.parametrize(
    ("name", "candidates", "meant"),
    [
        ("MIMRL", ["mmim", "mimrl"], "mimrl"),
        ("TPE", ["gp", "tpe"], "tpe"),
        ("lr", ["optim.lr", "optim.lr_audio"], "optim.lr"),
        ("learning_rate", ["optim.lr", "optim.decay"], "optim.lr"),
        ("acc2", ["valid/acc2_negative_positive", "valid/acc7"], "valid/acc2_negative_positive"),
        ("val_mae", ["valid/mae", "valid/acc7"], "valid/mae"),
        ("grace_period", ["grace", "reduction"], "grace"),
        ("batchsize", ["batch_size", "eval_batch_size"], "batch_size"),
        ("min", ["minimize", "maximize"], "minimize"),
        ("gpu", ["auto", "cpu", "cuda"], "cuda"),
        ("ce", ["bce", "cross_entropy"], "cross_entropy"),
        ("num_samples", ["sampler", "trials"], "trials"),
        ("nsgaii", ["nsga2", "nsga3"], "nsga2"),
        ("zzz", ["optim.lr"], None),
        ("x" * 5000, ["optim.lr"], None),
    ],
)
def test_nearest(name, candidates, meant):
    assert nearest(name, candidates) == meant


def test_a_wrong_name_is_told_without_torch(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(
        "study: a\nbase: {model: {name: MIMRL}, lr: 1.0}\nsearch: {sampler: {name: TPE}, metric: a}\n"
    )
    code = (
        "import sys; from pathlib import Path; from mmsa.search.definition.files import misspelt\n"
        "print([(p.path, p.next_step) for p in misspelt(Path(sys.argv[1]))])\n"
        "print(sorted({'torch', 'optuna', 'pydantic', 'ray'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    problems, loaded = map(eval, done.stdout.splitlines())
    assert loaded == []
    assert dict(problems) == {
        "base.model.name": "Did you mean 'mimrl'?",
        "base.lr": "Did you mean 'base.optim.lr'?",
        "search.sampler.name": "Did you mean 'tpe'?",
        "search.metric": "Did you mean 'search.objectives'?",
    }
