"""The durable study: what was asked, what runs, how every trial ended. Optuna's storage is the truth.

One driver at a time writes (``lock_study``). Every write can be repeated: a driver that dies between two of
them leaves a trial that the next driver adopts under the same number and finishes again.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import optuna
from optuna.trial import Trial, TrialState

from mmsa.config import dump_yaml
from mmsa.errors import StudyError
from mmsa.provenance import git_state, versions
from mmsa.search.changes import refuse_changes
from mmsa.search.locks import ProcessLock
from mmsa.search.records import Ending, Metrics, Suggestion
from mmsa.search.scalars import Scalar
from mmsa.search.storage import lock_study, mend_journal, open_storage
from mmsa.search.study_config import StudyConfig
from mmsa.search.view import EPOCH, StudyView, read_study, remembered_config, reported
from mmsa.tracking import Outcome

__all__ = ["Study", "StudyView", "read_study"]

_STATES: Mapping[Outcome, TrialState] = {
    "completed": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "diverged": TrialState.FAIL,
    "out_of_memory": TrialState.FAIL,
    "failed": TrialState.FAIL,
}


class Study(StudyView):
    """A study as the one driver that may write to it sees it; a context manager."""

    def __init__(self, optuna_study: optuna.Study, config: StudyConfig, folder: Path, lock: ProcessLock):
        super().__init__(optuna_study, config)
        self.folder = folder
        self._lock = lock
        self._orphans = [trial.number for trial in self._trials() if trial.state == TrialState.RUNNING]
        self._running: dict[int, Trial] = {}

    @classmethod
    def open(cls, config: StudyConfig, runs: Path, storage: str | None = None) -> Study:
        """Create the study, or continue it.

        Args:
            config: what to search; of a study that exists, only the number of trials, the resources and
                further starts may have changed.
            runs: the folder of all studies; this one's is below it, under its name.
            storage: an SQLAlchemy URL; a journal file in the study's folder without one.

        Raises:
            StudyError: when another driver has it, or when it cannot continue with this configuration.
        """
        starts = config.starts()
        folder = runs / config.study
        (folder / "trials").mkdir(parents=True, exist_ok=True)
        lock = lock_study(folder)
        try:
            mend_journal(folder)
            study = cls(_optuna_study(config, folder, storage), config, folder, lock)
            study._settle(starts)
        except BaseException:
            lock.release()
            raise
        return study

    def _settle(self, starts: list[dict[str, Scalar]]) -> None:
        """Bring what the study remembers up to date with its configuration; may be repeated at any point."""
        remembered = self.attributes
        identity = _identity(self.folder, remembered.get("identity"))
        if "space" not in remembered and self._trials():
            raise StudyError(f"study {self.name!r} of this storage is not mmsa's; write another name")
        if "space" in remembered:
            refuse_changes(self.name, remembered_config(remembered, self.name), self.config)
        else:
            commit, dirty = git_state() or (None, None)
            self._remember(identity=identity, git_commit=commit, git_dirty=dirty, versions=versions())
            # Kept when the resources change: the last bits of a sum on a CPU depend on the threads.
            self._remember(threads=self.config.threads)
        trials = self.config.search.trials
        if remembered.get("trials_in_space") != trials:
            self._remember(asked=trials, trials_in_space=trials, request="")
        space = dump_yaml(self.config.model_dump())
        if remembered.get("space") != space:
            self._remember(space=space)
        (self.folder / "space.yaml").write_text(space, encoding="utf-8")
        self._enqueue(starts)

    def _remember(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            self._study.set_user_attr(name, value)

    def _enqueue(self, starts: list[dict[str, Scalar]]) -> None:
        known = sum("start" in trial.user_attrs for trial in self._trials())
        for position, point in enumerate(starts[known:], start=known):
            name = "defaults" if position == 0 else f"start {position}"
            self._study.enqueue_trial(self.config.space.encode(point), user_attrs={"start": name})

    def bind_corpus(self, digest: str) -> None:
        """Remember the data the study is about.

        Raises:
            StudyError: when the study is about other data.
        """
        known = self.attributes.get("corpus_digest")
        if known is None:
            self._remember(corpus_digest=digest)
        elif known != digest:
            raise StudyError(
                f"the data changed since study {self.name!r} was begun "
                f"(digest {known[:12]}, now {digest[:12]}). "
                "Bring the earlier data back, or write another name after `study:`."
            )

    def extend(self, request: str) -> None:
        """Ask for ``"N"`` trials in all, or for ``"+N"`` more.

        The same ``"+N"`` again, while trials of the first time are outstanding, is the same request: a
        command that was killed can be repeated.

        Raises:
            StudyError: for anything else.
        """
        number = request.removeprefix("+")
        if not (number.isascii() and number.isdigit() and int(number) > 0):
            raise StudyError(f"--trials {request}: must be a number of trials, or +N for N more")
        if not request.startswith("+"):
            self._remember(asked=int(number), request="")
        elif not (self.remaining and self.attributes["request"] == request):
            self._remember(asked=self.asked + int(number), request=request)

    def ask(self) -> Suggestion | None:
        """The next trial to run, or None when all asked trials have ended or run.

        First those that a dead driver left running, under their own numbers; then starts; then the sampler's.
        """
        if self._orphans:
            number = self._orphans.pop(0)
            trial = Trial(self._study, self._trials()[number]._trial_id)
            return self._suggest(trial, resume=True)
        begun = sum(trial.state != TrialState.WAITING for trial in self._trials())
        return self._suggest(self._study.ask(), resume=False) if begun < self.asked else None

    def _suggest(self, trial: Trial, resume: bool) -> Suggestion:
        overrides = self.config.space.suggest(trial)
        self._running[trial.number] = trial
        known = self._trials()[trial.number]
        return Suggestion(trial.number, overrides, dict(known.params), resume, reported(known))

    def report(self, number: int, epoch: int, metrics: Metrics, value: float) -> None:
        """Remember an epoch of a running trial; an epoch that is remembered already stays as it is.

        Args:
            number: of the trial.
            epoch: counted from 1.
            metrics: of this epoch.
            value: the first objective, by which trials are compared at this epoch; stored if it is finite.
        """
        trial, known = self._running[number], self._trials()[number]
        if f"{EPOCH}{epoch}" not in known.user_attrs:
            remembered = {"metrics": _finite(metrics), "value": value if math.isfinite(value) else None}
            trial.set_user_attr(f"{EPOCH}{epoch}", remembered)
        # With these the sampler ranks pruned trials. With several objectives Optuna has no use for them: a
        # pruned trial that has any makes TPE raise.
        single = len(self.config.search.objectives) == 1
        if single and math.isfinite(value) and epoch not in known.intermediate_values:
            trial.report(value, epoch)

    def finish(self, number: int, ending: Ending) -> Outcome:
        """Remember how a trial ended; a trial that has ended stays as it is.

        A trial without a finite value of every objective is not completed, whatever it says: it is remembered
        as diverged (not finite) or failed (missing).

        Returns:
            The outcome that the study remembers.
        """
        known = self._trials()[number]
        if known.state.is_finished():
            remembered: Outcome = known.user_attrs["ending"]["outcome"]
            return remembered
        metrics = [objective.metric for objective in self.config.search.objectives]
        ending = _checked(ending, metrics)
        stored = {**asdict(ending), "metrics": _finite(ending.metrics)}
        self._running.pop(number).set_user_attr("ending", stored)
        values = [ending.metrics[metric] for metric in metrics] if ending.outcome == "completed" else None
        self._study.tell(number, values, state=_STATES[ending.outcome])
        return ending.outcome

    def close(self) -> None:
        """Let another driver have the study. Trials that still run are adopted by it."""
        self._lock.release()

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _optuna_study(config: StudyConfig, folder: Path, url: str | None) -> optuna.Study:
    study = optuna.create_study(
        study_name=config.study,
        storage=open_storage(folder, url),
        directions=[objective.direction for objective in config.search.objectives],
        load_if_exists=True,
    )
    study.sampler = config.build_sampler(len(study.get_trials(deepcopy=False)))
    return study


def _identity(folder: Path, remembered: str | None) -> str:
    """What ties the checkpoints in the folder to the study in the storage; made when the study is."""
    path = folder / "identity"
    if remembered is None and not any((folder / "trials").iterdir()):
        path.write_text(uuid.uuid4().hex, encoding="utf-8")
        return path.read_text(encoding="utf-8")
    if remembered is None or not path.exists() or path.read_text(encoding="utf-8") != remembered:
        raise StudyError(
            f"{folder} does not belong to the study {folder.name!r} in this storage. "
            "Give the --runs or --storage of the study to continue, or write another name after `study:`."
        )
    return remembered


def _checked(ending: Ending, metrics: list[str]) -> Ending:
    if ending.outcome == "completed":
        for metric in metrics:
            if metric not in ending.metrics:
                reason = f"{metric} was not measured; there are {', '.join(sorted(ending.metrics))}"
                return replace(ending, outcome="failed", reason=reason)
            if not math.isfinite(ending.metrics[metric]):
                return replace(ending, outcome="diverged", reason=f"{metric} is {ending.metrics[metric]}")
    return ending


def _finite(metrics: Metrics) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
