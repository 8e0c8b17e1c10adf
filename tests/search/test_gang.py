"""A gang of two processes: one answer of several, processes that are stuck, checkpoints of any number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import ray
from small_run import CONFIG

from mmsa.config import with_overrides
from mmsa.data import open_corpus
from mmsa.errors import WorkerLost
from mmsa.search.corpora import Corpora
from mmsa.search.execution.cluster import Slots
from mmsa.search.execution.gang import Gang, GangRun
from mmsa.search.execution.trial import CHECKPOINT, LOCK, Assignment, Report, TrialRun, WorkerContext

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def gang(ray_session, tmp_path_factory) -> Iterator[Gang]:
    """For all tests: it mends itself."""
    group = ray.util.placement_group([{"CPU": 1.0}] * 2)
    ray.get(group.ready(), timeout=60)
    folder = tmp_path_factory.mktemp("gang")
    corpus = open_corpus(CONFIG.data, ("train", "valid"))
    context = WorkerContext(CONFIG, "valid/mae", folder / "cache", 0.0, folder, collective_seconds=60.0)
    gang = Gang(group, Slots(1.0, 0.0, count=1, workers=2), ray.put((corpus, corpus)), context)
    yield gang
    gang.stop()
    ray.util.remove_placement_group(group)


def instead_of_the_second(answer: Any, gang: Gang, monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer of the second process, while the first one trains and waits for it."""
    first = gang._ranks[0]
    monkeypatch.setattr(gang, "_tell", lambda method: [getattr(first, method).remote(), answer])


@ray.remote(num_cpus=0, max_retries=0)
def lost() -> None:
    raise WorkerLost("timed out")


def to_the_end(run: TrialRun | GangRun) -> list[Report]:
    reports = [run.advance()]
    while reports[-1].outcome == "running":
        reports.append(run.advance())
    return reports


def test_what_one_process_cannot_do_ends_the_trial_of_all(gang, tmp_path, monkeypatch):
    """Of memory, say, the others may have enough: they wait for the one that has not."""
    run = GangRun(gang, Assignment(0, CONFIG, {}, tmp_path / "0"))
    run.advance()
    before = gang.processes
    instead_of_the_second(ray.put(Report("out_of_memory", 1, reason="too large")), gang, monkeypatch)
    report = run.advance()
    monkeypatch.undo()
    assert (report.outcome, report.reason) == ("out_of_memory", "too large")
    run.close()
    again = GangRun(gang, Assignment(1, CONFIG, {}, tmp_path / "1"))
    assert to_the_end(again)[-1].outcome == "completed"
    assert not set(before) & set(gang.processes)
    again.close()


def test_a_process_that_lost_another_says_nothing_of_the_configuration(gang, tmp_path, monkeypatch):
    run = GangRun(gang, Assignment(0, CONFIG, {}, tmp_path / "0"))
    instead_of_the_second(lost.remote(), gang, monkeypatch)
    with pytest.raises(WorkerLost, match="of 2 processes, 0 did not answer, and 1 lost the others"):
        run.advance()


def test_a_gang_continues_what_one_process_began(gang, tmp_path):
    """The number of workers is no part of a trial: a checkpoint fits any."""
    corpus = open_corpus(CONFIG.data, ("train", "valid"))
    context = WorkerContext(CONFIG, "valid/mae", tmp_path / "cache", 0.0, tmp_path)
    assignment = Assignment(0, CONFIG, {}, tmp_path / "0")
    alone = TrialRun(assignment, context, Corpora(corpus, corpus, CONFIG, tmp_path / "cache"))
    expected = [alone.advance(), alone.advance()]
    alone.close()
    run = GangRun(gang, assignment)
    reports = to_the_end(run)
    run.close()
    assert [report.epoch for report in reports] == [3, 4]
    assert reports[0].earlier == {report.epoch: report.metrics for report in expected}


def test_a_damaged_checkpoint_costs_all_processes_the_same_epochs(gang, tmp_path):
    (tmp_path / "0" / CHECKPOINT).mkdir(parents=True)
    (tmp_path / "0" / CHECKPOINT / "checkpoint.pt").write_bytes(b"torn")
    run = GangRun(gang, Assignment(0, CONFIG, {}, tmp_path / "0"))
    assert [report.epoch for report in to_the_end(run)] == [1, 2, 3, 4]
    run.close()


def test_only_the_first_process_holds_the_folder(gang, tmp_path):
    run = GangRun(gang, Assignment(0, CONFIG, {}, tmp_path / "0"))
    assert f"process {gang.processes[0]} on" in (tmp_path / "0" / LOCK).read_text(encoding="utf-8")
    run.close()


def test_batches_with_fewer_rows_than_workers_are_refused(gang, tmp_path):
    config = with_overrides(CONFIG, {"train.batch_size": 2, "data.rows_train": 45})
    run = GangRun(gang, Assignment(0, config, {}, tmp_path / "0"))
    report = run.advance()
    assert report.outcome == "failed"
    assert "too few for 2 workers" in report.reason
    run.close()
