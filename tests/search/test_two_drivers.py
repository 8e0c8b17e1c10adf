"""Two drivers on one study, each a process: one is refused, or takes over; nothing is done twice."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from drivers import driver

from mmsa.search.study.study import read_study

pytestmark = pytest.mark.slow


@pytest.fixture(params=["journal", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def storage(request, tmp_path) -> str | None:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return None if request.param == "journal" else f"sqlite:///{tmp_path / 'study.db'}"


@pytest.fixture
def space(tmp_path, make_values) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(make_values(trials=3)), encoding="utf-8")
    return path


@pytest.mark.parametrize("machine", ["", "far-away"], ids=["here", "elsewhere"])
def test_the_second_is_refused_while_the_first_lives(tmp_path, space, storage, machine):
    with driver(space, tmp_path, storage) as first, driver(space, tmp_path, storage, machine) as second:
        assert first.opened == "open"
        assert second.opened.startswith(f"StudyError process {first.process.pid} on ")
        assert "is searching this study" in second.opened
        assert first.do("ask") == "0 False"


@pytest.mark.parametrize("machine", ["", "far-away"], ids=["here", "elsewhere"])
def test_what_a_dead_driver_ran_is_adopted(tmp_path, space, storage, machine):
    with driver(space, tmp_path, storage) as first:
        assert [first.do("ask"), first.do("finish"), first.do("ask"), first.do("report")][2] == "1 False"
        first.process.kill()
        first.process.join()
    with driver(space, tmp_path, storage, machine) as second:
        assert second.opened == "open"
        assert second.do("ask") == "1 True"
        assert second.do("finish") == "completed"
        assert second.do("ask") == "2 False"
        assert second.do("finish") == "completed"
        assert second.do("ask") == "None"
    assert read_study("tried", tmp_path, storage).counts() == {"completed": 3}


@pytest.mark.parametrize("what", ["ask", "report", "finish"])
def test_a_driver_that_stalled_and_was_taken_over_writes_nothing_more(tmp_path, space, storage, what):
    with driver(space, tmp_path, storage, "far-away") as stalled:
        assert stalled.do("ask") == "0 False"
        stalled.stall()
        with driver(space, tmp_path, storage) as second:
            assert second.opened == "open"
            assert second.do("ask") == "0 True"
            before = [(t.outcome, t.reported) for t in read_study("tried", tmp_path, storage).trials()]
            stalled.go_on()
            answer = stalled.do(what)
            assert answer.startswith("LeaseLost study 'tried' was taken over by process ")
            assert str(second.process.pid) in answer
            after = [(t.outcome, t.reported) for t in read_study("tried", tmp_path, storage).trials()]
            assert after == before == [("running", {})]
            assert second.do("finish") == "completed"


def test_a_driver_that_stalled_in_the_middle_of_a_write_holds_nobody_up_for_ever(tmp_path, space, storage):
    """A server ends its session; of a file, which only the kernel can unlock, the newcomer is told."""
    with driver(space, tmp_path, storage, "far-away", hasty=True) as stalled:
        assert stalled.do("ask") == "0 False"
        stalled.stall(writing=True)
        with driver(space, tmp_path, storage, hasty=True) as second:
            if str(storage).startswith("postgresql"):
                assert second.do("ask") == "0 True"
                stalled.go_on()
                assert stalled.do("report").startswith("LeaseLost study 'tried' was taken over by process ")
            else:
                assert second.opened.startswith("StudyError ")
                assert "locked" in second.opened
                assert "Some process has kept it so for 2 seconds" in second.opened
                stalled.go_on()
                assert stalled.do("finish") == "completed"
