from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mmsa.data.ledger import Ledger, OpenedBeside, Opening
from mmsa.errors import DataError


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "runs" / "ledger.jsonl")


def opening(study: str | None = "small", config: str = "c0") -> Opening:
    return Opening("planted", config, "d0", study, 0 if study else None, [0, 5], {"optim.lr": 0.1})


def test_an_opening_is_counted_before_and_after_its_metrics_are_known(ledger: Ledger) -> None:
    assert ledger.openings() == []
    entry = opening()
    ledger.open(entry)
    assert ledger.openings_of("small", "") == [entry]
    ledger.measure(entry, "t0", [{"mae": 0.5}, {"mae": 0.7}])
    (read,) = ledger.openings_of("small", "")
    assert read == replace(entry, test_digest="t0", metrics=[{"mae": 0.5}, {"mae": 0.7}])


def test_openings_are_found_by_study_or_by_configuration(ledger: Ledger) -> None:
    for entry in (opening(), opening(config="c1"), opening("other"), opening(None), opening(None, "c1")):
        ledger.open(entry)
    assert len(ledger.openings_of("small", "c0")) == 2
    assert len(ledger.openings_of(None, "c0")) == 3
    assert len(ledger.openings()) == 5


def test_nothing_is_lost_when_many_write_at_once(ledger: Ledger) -> None:
    entries = [opening() for _ in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ledger.open, entries))
    assert {entry.id for entry in ledger.openings()} == {entry.id for entry in entries}


@pytest.mark.parametrize("line", ["{", "[]", '{"event": "opened"}', '{"id": "1"}', '{"id": "1", "a": 2}'])
def test_a_foreign_line_is_named(ledger: Ledger, line: str) -> None:
    ledger.open(opening())
    with ledger.path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match="line 2"):
        ledger.openings()


Lines = list[bytes]


def written(ledger: Ledger, number: int = 4) -> Lines:
    for position in range(number):
        ledger.open(opening(config=f"c{position}"))
    return ledger.path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda lines: [lines[0], lines[1].replace(b'"c1"', b'"c9"'), *lines[2:]],
            "line 3.*line 2 was changed",
        ),
        (lambda lines: [*lines[:3], lines[3].replace(b'"c3"', b'"c9"')], "line 4: was changed"),
        (lambda lines: [lines[0], *lines[2:]], "line 2 does not follow.*were taken out"),
        (lambda lines: lines[1:], "line 1: the lines before it are missing"),
        (lambda lines: [lines[0], lines[2], lines[1], lines[3]], "line 2 does not follow.*moved"),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], "line 3 does not follow.*put in"),
        (lambda lines: [*lines, lines[3].replace(b'"before"', b'"beforehand"')], "line 5: no entry.*by hand"),
        (lambda lines: lines[:2], "ends with line 2, but lines 3 to 4 were written"),
        (lambda lines: [], "ends with line 0, but lines 1 to 4 were written"),
        (lambda lines: [*lines[:3], lines[3].rstrip()], "ends with line 3, but lines 4 to 4"),
    ],
)
def test_what_is_not_as_it_was_written_is_told_with_its_line_and_the_way_out(
    ledger: Ledger, change: Callable[[Lines], Lines], told: str
) -> None:
    ledger.path.write_bytes(b"".join(change(written(ledger))))
    before = ledger.path.read_bytes()
    for use in (ledger.openings, lambda: ledger.open(opening())):
        with pytest.raises(DataError, match=f"{told}.*backup"):
            use()
    assert ledger.path.read_bytes() == before


def test_a_ledger_without_its_head_says_how_to_accept_it(ledger: Ledger) -> None:
    written(ledger)
    head = ledger.path.with_name("ledger.jsonl.head")
    known = head.read_text()
    head.unlink()
    with pytest.raises(DataError, match=f"head is missing.*'{known.strip()}' into ledger.jsonl.head accepts"):
        ledger.openings()
    head.write_text(known)
    assert len(ledger.openings()) == 4
    ledger.path.unlink()
    with pytest.raises(DataError, match="is gone, but"):
        ledger.openings()


def test_whoever_dies_while_writing_leaves_a_ledger_that_goes_on(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before half a line is whole, test is not read; before its head is written, the line counts."""
    written(ledger, 2)
    with ledger.path.open("ab") as file:
        file.write(b'{"event": "opened", "data_')
    assert len(ledger.openings()) == 2
    with monkeypatch.context() as dying:
        dying.setattr("mmsa.data.chained.ChainedFile._write_head", lambda *arguments: None)
        ledger.open(opening())
    assert len(ledger.openings()) == 3
    ledger.open(opening())
    assert len(ledger.openings()) == 4


def test_a_ledger_of_before_there_was_a_chain_goes_on_and_is_sealed_by_its_next_entry(ledger: Ledger) -> None:
    old = [
        {key: value for key, value in entry.items() if key != "before"} for entry in parsed(written(ledger))
    ]
    for entry in old:
        del entry["config"], entry["beside"]
    ledger.path.with_name("ledger.jsonl.head").unlink()
    text = "".join(json.dumps(entry) + "\n" for entry in old)
    ledger.path.write_text(text)
    assert len(ledger.openings()) == 4
    ledger.open(opening())
    assert len(ledger.openings()) == 5
    ledger.path.write_text(ledger.path.read_text().replace('"c1"', '"c9"'))
    with pytest.raises(DataError, match="one of the lines before 5 was changed"):
        ledger.openings()


def parsed(lines: Lines) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines]


def test_configurations_beside_are_counted_as_opened(ledger: Ledger) -> None:
    other = OpenedBeside(3, "c7", {"model": {"name": "m"}}, [5, 6])
    entry = replace(opening(None), beside=[other])
    ledger.open(entry)
    measured = replace(other, metrics=[{"mae": 0.4}, {"mae": 0.6}])
    ledger.measure(entry, "t0", [{"mae": 0.5}, {"mae": 0.7}], [measured])
    (read,) = ledger.openings_of(None, "c7")
    assert read.beside == [measured]
    assert ledger.openings_of(None, "c8") == []
