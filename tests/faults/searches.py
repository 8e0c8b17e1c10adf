"""A search in a process of its own, watched from outside, and what has to be true when it is over."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from cluster import Cluster
from planted_space import planted_space

from mmsa.errors import StudyError
from mmsa.search.execution.trial import CHECKPOINT, LOCK
from mmsa.search.study.journal import JOURNAL
from mmsa.search.study.view import StudyView, read_study
from mmsa.training.checkpoint import read_checkpoint

NAME = "faulted"
NUM_TRIALS = 7
GRACE = 4
FEWEST_EPOCHS = NUM_TRIALS * GRACE
"""That a search reports, however many trials are pruned."""
SPACE: Mapping[str, Any] = planted_space(
    NAME,
    NUM_TRIALS,
    epochs=9,
    batch_size=20,
    scheduler={"name": "asha", "grace": GRACE, "reduction": 2},
)
_DRIVER = Path(__file__).with_name("driver.py")
_MOST_SECONDS = 900.0


class Search:
    """A study in ``folder`` and the driver that searches it.

    Args:
        changes: of ``SPACE``, by dotted path.
        options: of the command.
        storage: the database that holds the study; a file without one.
    """

    def __init__(
        self,
        folder: Path,
        cluster: Cluster,
        changes: Mapping[str, Any],
        options: Sequence[str] = (),
        storage: str | None = None,
    ):
        self.cluster, self.runs, self._folder, self._storage = cluster, folder / "runs", folder, storage
        folder.joinpath("space.yaml").write_text(yaml.safe_dump(_changed(SPACE, changes)), encoding="utf-8")
        self._command = [sys.executable, str(_DRIVER), "--space", "space.yaml", "--runs", str(self.runs)]
        self._command += ["--ray-address", cluster.address, *options]
        self._command += ["--storage", storage] if storage else []
        self._log = folder / "driver.log"
        self._deadline = time.monotonic() + _MOST_SECONDS
        self._counted: tuple[int | None, int] = None, 0
        self.launches = 0
        self.launch()

    def launch(self) -> None:
        """Start the command, for the first time or again."""
        self.launches += 1
        with self._log.open("ab") as log:
            self.driver = self.cluster.run(self._command, cwd=self._folder, stdout=log, stderr=log)

    def kill(self) -> None:
        """End the driver at once."""
        self.driver.kill()
        self.driver.wait()

    def finish(self, most_launches: int) -> None:
        """Wait, with the same command again where it failed, as its user would."""
        while self._wait() != 0:
            assert self.launches < most_launches, self.said()
            self.launch()

    def _wait(self) -> int:
        try:
            return self.driver.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the search does not end\n{self.said()}") from None

    def said(self) -> str:
        """What the driver printed in all launches."""
        return self._log.read_text(encoding="utf-8")

    def study(self) -> StudyView:
        """As it stands in its storage."""
        return read_study(NAME, self.runs, self._storage)

    def wait_for_epochs(self, count: int) -> None:
        """Until so many epochs are remembered, by the driver that runs now or an earlier one."""
        while self._num_epochs() < count:
            assert self.driver.poll() is None, f"the search ended before the fault\n{self.said()}"
            assert time.monotonic() < self._deadline, self.said()
            time.sleep(0.05)

    def _num_epochs(self) -> int:
        """Counted again once the file has grown: to read it takes longer than the pause between two looks."""
        written = (self.runs / NAME / JOURNAL).stat().st_size if self._in_file() else None
        if written is None or written != self._counted[0]:
            try:
                number = sum(len(trial.epochs) for trial in self.study().trials())
            except StudyError:  # there is none yet
                number = 0
            self._counted = written, number
        return self._counted[1]

    def _in_file(self) -> bool:
        return self._storage is None and (self.runs / NAME / JOURNAL).exists()

    def workers(self, title: str) -> list[int]:
        """The processes of its trials; waits until there are some."""
        while not (workers := self.cluster.workers(title)):
            assert self.driver.poll() is None, self.said()
            assert time.monotonic() < self._deadline, self.said()
            time.sleep(0.05)
        return workers

    def folder_of(self, number: int) -> Path:
        """What belongs to one trial."""
        return self.runs / NAME / "trials" / str(number)

    def running_with_checkpoint(self) -> tuple[int, Path]:
        """The process that runs a trial, and the trial's checkpoint; waits until there is one."""
        while True:
            assert self.driver.poll() is None, self.said()
            for trial in self.study().trials():
                file = self.folder_of(trial.number) / CHECKPOINT / "checkpoint.pt"
                if trial.outcome == "running" and file.exists():
                    process = int(self._holder(trial.number))
                    if Path(f"/proc/{process}").exists():  # else it waits for another one
                        return process, file
            time.sleep(0.05)

    def _holder(self, number: int) -> str:
        holder = re.match(r"process (\d+) on ", (self.folder_of(number) / LOCK).read_text())
        assert holder is not None
        return holder[1]


def _changed(space: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    changed = dict(space)
    for path, value in changes.items():
        first, _, rest = path.partition(".")
        changed[first] = _changed(changed.get(first, {}), {rest: value}) if rest else value
    return changed


def check_whole(study: StudyView, search: Search) -> Iterator[str]:
    """What is wrong with a study that has ended."""
    trials = study.trials()
    if [trial.number for trial in trials] != list(range(NUM_TRIALS)):
        yield f"{NUM_TRIALS} trials were asked for, there are {[trial.number for trial in trials]}"
    if len({str(trial.overrides) for trial in trials}) != len(trials):
        yield "a point was tried twice"
    for trial in trials:
        where = f"trial {trial.number} ({trial.outcome}, {trial.reason})"
        if trial.outcome in ("running", "failed"):
            yield f"{where} has no result"
        if list(trial.epochs) != list(range(1, len(trial.epochs) + 1)):
            yield f"{where} reported epochs {list(trial.epochs)}"
        if trial.cost.seconds < 0 or (trial.started and trial.finished and trial.finished < trial.started):
            yield f"{where} took less than no time"
    best = study.best()
    if best is None:
        yield "there is no best trial"
        return
    kept = {path.parent for path in search.runs.rglob(CHECKPOINT)}
    if kept != {search.folder_of(best.number)}:
        yield f"checkpoints of {kept} are kept, the best trial is {best.number}"
    read_checkpoint(search.folder_of(best.number) / CHECKPOINT, {})
