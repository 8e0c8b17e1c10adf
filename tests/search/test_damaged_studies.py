"""Files of a study that somebody changed: refused with the line and the way out, and never made worse."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmsa.errors import StudyError
from mmsa.search.records import Ending
from mmsa.search.study import journal as journals
from mmsa.search.study.journal import checked, digests_of
from mmsa.search.study.study import Study, read_study

Change = Callable[[bytes, random.Random], bytes]


def at_a_line(change: Callable[[list[bytes], int, random.Random], None]) -> Change:
    def changed(text: bytes, chance: random.Random) -> bytes:
        lines = text.splitlines(keepends=True)
        change(lines, chance.randrange(len(lines)), chance)
        return b"".join(lines)

    return changed


def anywhere(change: Callable[[bytearray, int, random.Random], None]) -> Change:
    def changed(text: bytes, chance: random.Random) -> bytes:
        content = bytearray(text)
        change(content, chance.randrange(len(content)), chance)
        return bytes(content)

    return changed


def put(*lines: bytes) -> Change:
    return at_a_line(lambda content, place, _: content.__setitem__(slice(place, place), lines))


def other_number(text: bytes, chance: random.Random) -> bytes:
    found = chance.choice(list(re.finditer(rb"\d+", text)))
    new = chance.choice([b"0", b"7", b"99", b"-1", b"1e999", b"9" * 5000])
    return text[: found.start()] + new + text[found.end() :]


def other_value(text: bytes, chance: random.Random) -> bytes:
    found = chance.choice(list(re.finditer(rb'(?<=[: ])("[^"]*"|\w+|\{\})', text)))
    new = chance.choice([b"null", b"[]", b"{}", b'"x"', b"true", b"-3", b"NaN", b'{"a":1}'])
    return text[: found.start()] + new + text[found.end() :]


CHANGES: dict[str, Change] = {
    "a line lost": at_a_line(lambda lines, place, _: lines.pop(place)),
    "a line twice": at_a_line(lambda lines, place, _: lines.insert(place, lines[place])),
    "a line elsewhere": at_a_line(lambda lines, place, _: lines.insert(0, lines.pop(place))),
    "an empty line": put(b"\n"),
    "a merge marker": put(b"<<<<<<< HEAD\n"),
    "NULs": put(b"\0" * 100 + b"\n"),
    "another JSON": put(b"[1, 2]\n"),
    "a deep line": put(b"[" * 100_000 + b"\n"),
    "a byte changed": anywhere(lambda text, place, chance: text.__setitem__(place, chance.randrange(256))),
    "bytes gone": anywhere(lambda text, place, _: text.__delitem__(slice(place, place + 3))),
    "NULs inside": anywhere(lambda text, place, _: text.__setitem__(slice(place, place + 4), bytes(4))),
    "cut short": anywhere(lambda text, place, _: text.__delitem__(slice(place, None))),
    "other line ends": lambda text, _: text.replace(b"\n", b"\r\n"),
    "a byte order mark": lambda text, _: b"\xef\xbb\xbf" + text,
    "an invalid last line": lambda text, _: text + b'{"op_code":5,"work\n',
    "another number": other_number,
    "another value": other_value,
}  # fmt: skip
# What no reader may take for a journal, with or without digests beside it, and what digests alone tell. Other
# changes can leave a journal as it was, or as a driver killed at its last line leaves it.
NO_JOURNAL = {
    "an empty line",
    "a merge marker",
    "NULs",
    "another JSON",
    "a deep line",
    "an invalid last line",
}
TOLD_BY_DIGESTS = {"a line lost", "other line ends", "a byte order mark"}


@pytest.fixture(scope="module")
def whole(make_study_config, tmp_path_factory) -> Any:
    """A study that ended in the middle: one trial completed, one pruned, one running."""
    runs = tmp_path_factory.mktemp("whole")
    with Study.open(make_study_config(), runs) as study:
        for number, outcome in enumerate(["completed", "pruned", "running"]):
            study.ask()
            for epoch in (1, 2):
                study.report(number, epoch, {"valid/mae": 1.0 / epoch}, 1.0 / epoch)
            if outcome != "running":
                study.finish(number, Ending(outcome, {"valid/mae": 0.5}, best_epoch=2))
    return runs


def known(runs: Path) -> list[tuple[Any, ...]]:
    return [
        (t.number, t.overrides, t.outcome, t.values, t.epochs) for t in read_study("tried", runs).trials()
    ]


def damaged(whole: Path, runs: Path, name: str, content: bytes) -> Path:
    shutil.rmtree(runs, ignore_errors=True)
    shutil.copytree(whole, runs)
    file = runs / "tried" / name
    file.write_bytes(content)
    return file


def tried(use: Callable[[], Any]) -> str:
    """``read`` or what a refusal says; any other error is one of the test."""
    try:
        use()
    except StudyError as error:
        return str(error)
    return "read"


def open_and_close(config: Any, runs: Path) -> None:
    with Study.open(config, runs):
        pass


def strike(whole: Path, runs: Path, config: Any, seed: int, digests: bool) -> str:
    """Damage the journal or its digests, read the study and continue it; what came of that, in a word."""
    chance = random.Random(seed)
    name = chance.choice(["study.journal", "study.journal", "study.journal.digests"][: 3 if digests else 2])
    change = chance.choice(list(CHANGES))
    content = CHANGES[change]((whole / "tried" / name).read_bytes(), chance)
    file = damaged(whole, runs, name, content)
    if not digests:
        digests_of(runs / "tried" / "study.journal").unlink()
    read = tried(lambda: known(runs))
    opened = tried(lambda: open_and_close(config, runs))
    if opened != "read":
        assert file.read_bytes() == content, (seed, name, change, opened)
    if digests:
        assert (read == "read") == (opened == "read"), (seed, name, change, read, opened)
        assert opened != "read" or known(runs) == known(whole), (seed, name, change)
    if name == "study.journal" and change in NO_JOURNAL | (TOLD_BY_DIGESTS if digests else set()):
        assert opened != "read", (seed, change)
    return "read" if opened == "read" else "refused"


@pytest.mark.parametrize("digests", [True, False], ids=["with digests", "of before digests"])
@pytest.mark.parametrize(
    "tries", [20, pytest.param(300, marks=[pytest.mark.faults, pytest.mark.timeout(1200)])]
)
def test_a_damaged_study_is_refused_or_whole(whole, tmp_path, make_study_config, digests, tries):
    config = make_study_config()
    came = Counter(strike(whole, tmp_path / "runs", config, seed, digests) for seed in range(tries))
    print(dict(came))  # shown with -rP
    assert came["refused"]


def test_every_lost_line_is_noticed_and_the_way_out_keeps_what_was_before_it(
    whole, tmp_path, make_study_config
):
    text = (whole / "tried" / "study.journal").read_bytes().splitlines(keepends=True)
    for place in range(len(text)):
        file = damaged(whole, tmp_path / "runs", "study.journal", b"".join(text[:place] + text[place + 1 :]))
        refusal = tried(lambda file=file: checked(file))
        assert f"line {place + 1} is " in refusal
        (command,) = (line for line in refusal.splitlines() if line.startswith("  mv "))
        subprocess.run(command, shell=True, check=True)
        assert file.read_bytes() == b"".join(text[:place])
        assert checked(file).end == len(file.read_bytes())
    with Study.open(make_study_config(), tmp_path / "runs") as study:
        assert study.ask().number == 2


def test_what_a_driver_did_not_come_to_digest_is_taken(whole, tmp_path, make_study_config):
    whole_digests = (whole / "tried" / "study.journal.digests").read_bytes()
    for kept in (None, b"", whole_digests[:40], whole_digests[:-9]):  # None: a study of before there were any
        file = damaged(whole, tmp_path / "runs", "study.journal.digests", kept or b"")
        if kept is None:
            file.unlink()
        assert known(tmp_path / "runs") == known(whole)
        open_and_close(make_study_config(), tmp_path / "runs")
        assert file.read_bytes() == whole_digests
        assert known(tmp_path / "runs") == known(whole)


@pytest.mark.parametrize("fails", [0, 1], ids=["the line", "its digest"])
def test_a_write_that_fails_leaves_both_files_as_they_were(tmp_path, make_study_config, monkeypatch, fails):
    calls = []

    def full(file: Any, text: bytes, path: Path, real: Callable[..., None] = journals._write) -> None:
        calls.append(path)
        real(file, text[: len(text) // 2 if len(calls) == fails + 1 else None], path)
        if len(calls) == fails + 1:
            raise OSError(28, "No space left on device")

    with Study.open(make_study_config(), tmp_path) as study:
        monkeypatch.setattr(journals, "_write", full)
        study.ask()
        assert len(calls) > fails + 1  # it was tried again
    assert [trial.number for trial in read_study("tried", tmp_path).trials()] == [0]


def test_a_driver_whose_journal_is_changed_writes_nothing_more(tmp_path, make_study_config):
    file = tmp_path / "tried" / "study.journal"
    with Study.open(make_study_config(), tmp_path) as study:
        study.ask()
        changed = file.read_bytes().replace(b'"op_code":4', b'"op_code":5,"x":0')
        file.write_bytes(changed)
        with pytest.raises(StudyError, match="changed by another process"):
            study.finish(0, Ending("completed", {"valid/mae": 0.5}))
        assert file.read_bytes() == changed
    with pytest.raises(StudyError, match="is not what was written there"):
        Study.open(make_study_config(), tmp_path)


LEASES = [b"\0" * 64, b"{", b"[]", b"null", b'"x"', b"\xff", b'{"token":1}', b"[" * 1024, b"<<<<<<< HEAD"]


@pytest.mark.parametrize("content", LEASES)
def test_a_damaged_lease_says_how_to_get_rid_of_it(whole, tmp_path, make_study_config, content):
    lease = damaged(whole, tmp_path / "runs", "driver.lease", content)
    with pytest.raises(StudyError, match=r"Make sure that none searches it.*`rm "):
        Study.open(make_study_config(), tmp_path / "runs")
    assert lease.read_bytes() == content
    lease.unlink()
    open_and_close(make_study_config(), tmp_path / "runs")


def test_a_lease_that_is_damaged_while_it_is_held_ends_the_writing(tmp_path, make_study_config):
    with Study.open(make_study_config(), tmp_path) as study:
        (tmp_path / "tried" / "driver.lease").write_bytes(b"{")
        with pytest.raises(StudyError, match="does not say any more which driver has the study"):
            study.ask()
