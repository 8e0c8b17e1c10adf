"""A trial in its process: checkpoints, continuing, the ways to end, and the lock on its folder."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import too_wide
import torch

from mmsa.config import parse, with_overrides
from mmsa.data import Corpus, open_corpus
from mmsa.errors import DataError, TrainingDiverged
from mmsa.experiment import RunConfig
from mmsa.search.corpora import Corpora
from mmsa.search.execution.trial import CHECKPOINT, LOCK, Assignment, Report, TrialRun, WorkerContext
from mmsa.search.locks import Held, ProcessLock
from mmsa.training import Progress

CONFIG = parse(
    RunConfig,
    {
        "data": {"name": "planted", "rows_train": 40, "rows_valid": 20},
        "model": {"name": "late_fusion", "text": {"name": "mlp"}},
        "train": {"epochs": 4, "batch_size": 20, "device": "cpu", "threads": 1},
    },
    "test",
)
Begin = Callable[..., TrialRun]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return open_corpus(CONFIG.data)


@pytest.fixture
def begin(corpus, tmp_path) -> Iterator[Begin]:
    begun: list[TrialRun] = []

    def begin(checkpoint_seconds: float = 0.0, config: RunConfig = CONFIG, **told: int) -> TrialRun:
        context = WorkerContext(CONFIG, "valid/mae", tmp_path / "cache", checkpoint_seconds, tmp_path)
        corpora = Corpora(corpus, corpus, CONFIG, tmp_path / "cache")
        begun.append(TrialRun(Assignment(0, config, {}, tmp_path / "trial", **told), context, corpora))
        return begun[-1]

    yield begin
    for run in begun:
        run.close()


def to_the_end(run: TrialRun) -> list[Report]:
    reports = [run.advance()]
    while reports[-1].outcome == "running":
        reports.append(run.advance())
    return reports


def test_a_trial_reports_every_epoch_and_completes(begin):
    reports = to_the_end(begin())
    assert [report.epoch for report in reports] == [1, 2, 3, 4]
    assert [report.outcome for report in reports] == ["running", "running", "running", "completed"]
    last = reports[-1].ending()
    assert last.metrics["valid/mae"] == min(report.metrics["valid/mae"] for report in reports)
    assert last.best_epoch == 1 + [r.metrics["valid/mae"] for r in reports].index(last.metrics["valid/mae"])
    assert last.seconds > 0


def test_a_trial_continues_from_its_checkpoint_as_if_nothing_had_happened(begin):
    first = begin()
    whole = to_the_end(first)
    first.close()
    second = begin()
    again = to_the_end(second)
    assert [(r.epoch, r.metrics, r.best) for r in again] == [(4, whole[-1].metrics, whole[-1].best)]


def test_an_epoch_of_which_nobody_was_told_is_reported_before_the_next_one_is_trained(begin):
    interrupted = begin()
    before = [interrupted.advance() for _ in range(3)]
    interrupted.close()
    told = begin(known=3)
    assert told.advance().epoch == 4
    told.close()
    (interrupted._checkpoint / "checkpoint.pt").unlink()
    interrupted._checkpoint.rmdir()
    again = begin()
    for _ in range(3):
        again.advance()
    again.close()
    untold = begin(known=1)
    report = untold.advance()
    assert (report.epoch, report.metrics, report.best) == (3, before[2].metrics, before[2].best)
    assert report.notes["continued_after"] == 3
    assert report.earlier_values == {n: before[n - 1].best["valid/mae"] for n in (1, 2)}
    assert untold.advance().epoch == 4
    untold.close()


def test_what_a_trial_inherited_is_not_reported_as_its_own(begin):
    parent = begin()
    for _ in range(2):
        parent.advance()
    parent.close()
    child = begin(known=0, inherited=2)
    report = child.advance()
    assert (report.epoch, list(report.earlier), dict(report.earlier_values)) == (3, [1, 2], {})


def test_an_interrupted_trial_goes_on_with_the_next_epoch(begin):
    undisturbed = begin()
    expected = [report.metrics for report in to_the_end(undisturbed)]
    undisturbed.close()
    (undisturbed._checkpoint / "checkpoint.pt").unlink()
    undisturbed._checkpoint.rmdir()

    interrupted = begin()
    before = [interrupted.advance() for _ in range(2)]
    interrupted.close()
    after = to_the_end(begin())
    assert [report.epoch for report in before + after] == [1, 2, 3, 4]
    assert [report.metrics for report in before + after] == expected


def test_checkpoints_keep_their_distance_but_the_last_epoch_always_has_one(begin, tmp_path):
    run = begin(checkpoint_seconds=3600)
    run.advance()
    assert not (tmp_path / "trial" / CHECKPOINT).exists()
    to_the_end(run)
    assert (tmp_path / "trial" / CHECKPOINT).exists()


def test_a_checkpoint_that_cannot_be_read_costs_time_only(begin, tmp_path):
    run = begin()
    run.advance()
    run.close()
    (tmp_path / "trial" / CHECKPOINT / "checkpoint.pt").write_bytes(b"half of it")
    assert [report.epoch for report in to_the_end(begin())] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (TrainingDiverged(7, "cpc", float("nan")), "diverged", "cpc became nan at step 7"),
        (MemoryError(), "out_of_memory", "MemoryError"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory", "CUDA out of memory"),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"), "out_of_memory", "CUBLAS_STATUS_ALLOC_FAILED"),
        (RuntimeError("shapes do not match"), "failed", "in train_epoch\n"),
        (DataError("the file is gone"), "failed", "the file is gone"),
    ],
)
def test_what_the_configuration_causes_is_a_result_with_a_reason(begin, monkeypatch, error, outcome, reason):
    def train_epoch(trainer: object) -> None:
        raise error

    run = begin()
    first = run.advance()
    monkeypatch.setattr("mmsa.training.trainer.Trainer.train_epoch", train_epoch)
    last = run.advance()
    assert (last.outcome, last.epoch, last.best) == (outcome, 1, first.best)
    assert reason in last.reason
    assert ("Traceback" in last.reason) == (
        outcome in ("failed", "out_of_memory") and not isinstance(error, DataError)
    )


def test_memory_that_a_cpu_does_not_have_is_out_of_memory(begin):
    wide = with_overrides(CONFIG, {**too_wide.BASE, **too_wide.POINT})
    report = begin(config=wide).advance()
    assert (report.outcome, report.epoch) == ("out_of_memory", 0)
    assert "can't allocate memory" in report.reason


def test_two_processes_do_not_share_a_trial(tmp_path):
    lock = ProcessLock(tmp_path / LOCK)
    with pytest.raises(Held, match=r"held by process \d+ on "):
        ProcessLock(tmp_path / LOCK, patience=0.2)
    lock.release()
    ProcessLock(tmp_path / LOCK).release()


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    hold = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from mmsa.search.locks import ProcessLock
        lock = ProcessLock(Path(sys.argv[1]))
        print("held", flush=True)
        time.sleep(60)
    """)
    path: Path = tmp_path / LOCK
    with subprocess.Popen([sys.executable, "-c", hold, path], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Held, match=f"process {holder.pid} "):
            ProcessLock(path)
        holder.kill()
    ProcessLock(path, patience=5.0).release()


class TestFullDisk:
    @pytest.fixture
    def refuse(self, monkeypatch) -> Callable[[int], None]:
        """A function by which the disk refuses so many checkpoints from now on."""
        monkeypatch.setattr("mmsa.search.execution.trial._PAUSES", (0.0, 0.0))
        save = Progress.save

        def refuse(count: int) -> None:
            left = iter(range(count))

            def save_or_not(progress: Progress, directory: Path) -> None:
                if next(left, None) is not None:
                    raise OSError(28, "No space left on device")
                save(progress, directory)

            monkeypatch.setattr(Progress, "save", save_or_not)

        return refuse

    def test_a_checkpoint_on_the_way_is_left_out(self, begin, refuse, tmp_path):
        run = begin()
        refuse(2)
        assert [run.advance().outcome for _ in range(2)] == ["running"] * 2
        assert not (tmp_path / "trial" / CHECKPOINT).exists()
        run.advance()
        assert (tmp_path / "trial" / CHECKPOINT).exists()

    def test_the_last_one_waits_for_room(self, begin, refuse, tmp_path):
        run = begin(checkpoint_seconds=3600.0)
        refuse(2)
        assert to_the_end(run)[-1].outcome == "completed"
        assert (tmp_path / "trial" / CHECKPOINT).exists()

    def test_a_trial_whose_last_one_finds_no_room_fails(self, begin, refuse):
        run = begin(checkpoint_seconds=3600.0)
        refuse(3)
        ended = to_the_end(run)[-1]
        assert ended.outcome == "failed"
        assert "No space left" in ended.reason
