from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mmsa.errors import DataError
from mmsa.results.ledger import Ledger, Opening


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
