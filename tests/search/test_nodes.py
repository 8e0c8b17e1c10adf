"""Nodes that do not fit together are told before the first trial, all at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mmsa.errors import StudyError
from mmsa.provenance import found_code
from mmsa.search.execution import nodes
from mmsa.search.execution.node_facts import NONCE, NodeFacts, facts


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    (tmp_path / NONCE).write_text("word")
    return tmp_path


def answer(folder: Path | str = "", paths: tuple[str, ...] = ()) -> NodeFacts:
    return NodeFacts(**facts("10.0.0.2", str(folder), "word", paths))


def told(monkeypatch: pytest.MonkeyPatch, *answers: NodeFacts) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(nodes, "ask_nodes", lambda folder, paths: list(answers))
    nodes.check_nodes(said.append, Path("/runs"))
    return said


def test_a_node_that_fits_is_not_mentioned(monkeypatch, shared):
    assert told(monkeypatch, answer(shared, (str(shared),))) == []
    assert len(list(shared.iterdir())) == 2  # the driver's word, and the node's mark


def test_a_folder_that_is_not_shared_is_told(shared, tmp_path_factory):
    assert "is another folder" in answer(tmp_path_factory.mktemp("own")).folder
    assert "is another folder" in answer(shared / "nowhere").folder
    (shared / NONCE).write_text("of another driver")
    assert answer(shared).folder == "is another folder"


def test_everything_wrong_with_the_nodes_is_told_at_once(monkeypatch, shared):
    fitting = answer(shared)
    other = replace(
        fitting,
        node="10.0.0.3",
        versions={**fitting.versions, "torch": "1.0.0", "scipy": ""},
        folder="is another folder",
        unseen=("/data/store",),
    )
    with pytest.raises(StudyError) as caught:
        told(monkeypatch, fitting, other)
    text = str(caught.value)
    for part in ("has torch 1.0.0", "has no scipy", "/runs is another folder", "does not see /data/store"):
        assert text.count(f"10.0.0.3 {part}") + text.count(f"10.0.0.3: the folder of runs {part}") == 1, text
    assert "10.0.0.2" not in text


def test_a_node_with_other_code_is_refused(monkeypatch):
    other = replace(answer(), code=("/elsewhere/mmsa", "0" * 32, found_code()[2]))
    with pytest.raises(StudyError, match=r"node 10\.0\.0\.2 runs other code than the driver"):
        told(monkeypatch, other)


def test_a_clock_that_is_off_is_a_note(monkeypatch):
    (note,) = told(monkeypatch, answer(), replace(answer(), ahead=-73.4))
    assert "73 s behind" in note
