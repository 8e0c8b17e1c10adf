"""The durable study: what was asked, what runs, how every trial ended. Optuna's storage is the truth.

One driver at a time writes (``DriverLock``). Every write can be repeated: a driver that dies between two of them leaves
a trial that the next driver adopts under the same number and finishes again.
"""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, Trial, TrialState

from mmsa.config import dump_yaml, parse
from mmsa.errors import StudyError, did_you_mean
from mmsa.provenance import git_state, versions
from mmsa.search.changes import refuse_changes
from mmsa.search.records import Ending, Metrics, Suggestion, TrialRecord
from mmsa.search.samplers import SAMPLERS
from mmsa.search.storage import JOURNAL, DriverLock, mend_journal, open_storage
from mmsa.search.study_config import StudyConfig
from mmsa.seeding import derive_seed
from mmsa.tracking import Outcome

optuna.logging.set_verbosity(optuna.logging.WARNING)

_STATES: Mapping[Outcome, TrialState] = {
    "completed": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "diverged": TrialState.FAIL,
    "out_of_memory": TrialState.FAIL,
    "failed": TrialState.FAIL,
}
_EPOCH = "epoch/"


class StudyView:
    """A study as it stands, for reading.

    ``config`` is the configuration of its latest launch; ``attributes`` are what the study remembers of itself.
    """

    def __init__(self, optuna_study: optuna.Study, config: StudyConfig):
        self.config = config
        self.name = config.study
        self._study = optuna_study

    @property
    def attributes(self) -> dict[str, Any]:
        """``identity``, ``corpus_digest``, ``git_commit``, ``git_dirty``, ``versions``, ``space`` (YAML text)."""
        return self._study.user_attrs

    @property
    def asked(self) -> int:
        """How many trials the study shall have."""
        return int(self.attributes["asked"])

    @property
    def finished(self) -> int:
        """How many trials have ended, however they ended."""
        return sum(trial.state.is_finished() for trial in self._trials())

    @property
    def remaining(self) -> int:
        """How many of the asked trials have not ended."""
        return max(0, self.asked - self.finished)

    def counts(self) -> dict[Outcome, int]:
        """How many trials have begun, by outcome."""
        return dict(Counter(record.outcome for record in self.trials()))

    def trials(self) -> list[TrialRecord]:
        """Every trial that has begun, by number."""
        return [self._record(trial) for trial in self._trials() if trial.state != TrialState.WAITING]

    def best(self) -> TrialRecord | None:
        """The completed trial that is best by the first objective, then by the others in order."""
        signs = [1.0 if o.direction == "minimize" else -1.0 for o in self.config.search.objectives]
        return min(
            (record for record in self.trials() if record.outcome == "completed"),
            key=lambda record: [sign * value for sign, value in zip(signs, record.values, strict=True)],
            default=None,
        )

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _record(self, trial: FrozenTrial) -> TrialRecord:
        ending = trial.user_attrs["ending"] if trial.state.is_finished() else {"outcome": "running"}
        return TrialRecord(
            number=trial.number,
            overrides=self.config.space.decode(trial.params),
            values=tuple(trial.values) if trial.state == TrialState.COMPLETE else (),
            reported=_reported(trial),
            epochs=_epochs(trial),
            start=trial.user_attrs.get("start"),
            started=trial.datetime_start,
            finished=trial.datetime_complete,
            **ending,
        )


class Study(StudyView):
    """A study as the one driver that may write to it sees it. Use it as a context manager, or ``close`` it."""

    def __init__(self, optuna_study: optuna.Study, config: StudyConfig, folder: Path, lock: DriverLock):
        super().__init__(optuna_study, config)
        self.folder = folder
        self._lock = lock
        self._orphans = [trial.number for trial in self._trials() if trial.state == TrialState.RUNNING]
        self._running: dict[int, Trial] = {}

    @classmethod
    def open(cls, config: StudyConfig, runs: Path, storage: str | None = None) -> Study:
        """Create the study, or continue it.

        Args:
            config: what to search; of a study that exists, only the number of trials, the resources and further
                starts may have changed.
            runs: the folder of all studies; this one's is below it, under its name.
            storage: an SQLAlchemy URL; a journal file in the study's folder without one.

        Raises:
            StudyError: when another driver has it, or when it cannot continue with this configuration.
        """
        folder = runs / config.study
        (folder / "trials").mkdir(parents=True, exist_ok=True)
        lock = DriverLock(folder)
        try:
            mend_journal(folder)
            study = cls(_optuna_study(config, folder, storage), config, folder, lock)
            study._settle()
        except BaseException:
            lock.release()
            raise
        return study

    def _settle(self) -> None:
        """Bring what the study remembers up to date with its configuration; may be repeated at any point."""
        remembered = self.attributes
        identity = _identity(self.folder)
        if remembered.get("identity", identity) != identity:
            raise StudyError(
                f"study {self.name!r} of this storage has its checkpoints in another folder than {self.folder}. "
                "Search from there, or write another name after `study:`."
            )
        if "space" in remembered:
            refuse_changes(self.name, _remembered_config(remembered, self.name), self.config)
        else:
            commit, dirty = git_state() or (None, None)
            self._remember(identity=identity, git_commit=commit, git_dirty=dirty, versions=versions())
        trials = self.config.search.trials
        if remembered.get("trials_in_space") != trials:
            self._remember(asked=trials, trials_in_space=trials, request="")
        space = dump_yaml(self.config.model_dump())
        if remembered.get("space") != space:
            self._remember(space=space)
        (self.folder / "space.yaml").write_text(space, encoding="utf-8")
        self._enqueue_starts()

    def _remember(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            self._study.set_user_attr(name, value)

    def _enqueue_starts(self) -> None:
        known = sum("start" in trial.user_attrs for trial in self._trials())
        for position, point in enumerate(self.config.starts()[known:], start=known):
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
                f"the data changed since study {self.name!r} was begun (digest {known[:12]}, now {digest[:12]}). "
                "Bring the earlier data back, or write another name after `study:`."
            )

    def extend(self, request: str) -> None:
        """Ask for ``"N"`` trials in all, or for ``"+N"`` more.

        The same ``"+N"`` again, while trials of the first time are outstanding, is the same request: a command that
        was killed can be repeated.

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

        First those that a dead driver left running, under their own numbers; then the starts; then the sampler's.
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
        reported = _reported(self._trials()[trial.number])
        return Suggestion(trial.number, overrides, dict(trial.params), resume, reported)

    def report(self, number: int, epoch: int, metrics: Metrics, value: float) -> None:
        """Remember an epoch of a running trial; an epoch that is remembered already stays as it is.

        Args:
            number: of the trial.
            epoch: counted from 1.
            metrics: of this epoch.
            value: the first objective, by which trials are compared at this epoch. Not stored unless it is finite.
        """
        trial, known = self._running[number], self._trials()[number]
        if f"{_EPOCH}{epoch}" not in known.user_attrs:
            trial.set_user_attr(f"{_EPOCH}{epoch}", _finite(metrics))
        if math.isfinite(value) and epoch not in known.intermediate_values:
            trial.storage.set_trial_intermediate_value(trial._trial_id, epoch, value)

    def finish(self, number: int, ending: Ending) -> Outcome:
        """Remember how a trial ended; a trial that has ended stays as it is.

        A trial without a finite value of every objective is not completed, whatever it says: it is remembered as
        diverged (not finite) or failed (missing).

        Returns:
            The outcome that the study remembers.
        """
        known = self._trials()[number]
        if known.state.is_finished():
            remembered: Outcome = known.user_attrs["ending"]["outcome"]
            return remembered
        metrics = [objective.metric for objective in self.config.search.objectives]
        ending = _checked(ending, metrics)
        self._running.pop(number).set_user_attr(
            "ending", {**asdict(ending), "metrics": _finite(ending.metrics)}
        )
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


def read_study(name: str, runs: Path, storage: str | None = None) -> StudyView:
    """A study for reading, also while a driver searches it.

    Raises:
        StudyError: when there is none of that name.
    """
    folder = runs / name
    if storage is None and not (folder / JOURNAL).exists():
        studies = [path.parent.name for path in runs.glob(f"*/{JOURNAL}")]
        raise StudyError(f"no study {name!r} in {runs}. {did_you_mean(name, studies)}")
    try:
        study = optuna.load_study(study_name=name, storage=open_storage(folder, storage))
    except KeyError:
        raise StudyError(f"no study {name!r} in this storage") from None
    if "space" not in study.user_attrs:
        raise StudyError(f"study {name!r} has not begun; run launch/search.py first")
    return StudyView(study, _remembered_config(study.user_attrs, name))


def _optuna_study(config: StudyConfig, folder: Path, url: str | None) -> optuna.Study:
    study = optuna.create_study(
        study_name=config.study,
        storage=open_storage(folder, url),
        directions=[objective.direction for objective in config.search.objectives],
        load_if_exists=True,
    )
    block: Any = config.search.sampler
    # A seeded sampler repeats its first points whenever it is made anew; the number of trials makes it go on.
    seed = derive_seed("sampler", config.study, config.base.seed, len(study.get_trials(deepcopy=False)))
    study.sampler = SAMPLERS[block.name](block).build(seed, config.space.conditional)
    return study


def _remembered_config(attributes: Mapping[str, Any], name: str) -> StudyConfig:
    return parse(StudyConfig, yaml.safe_load(attributes["space"]), f"study {name}")


def _identity(folder: Path) -> str:
    path = folder / "identity"
    if not path.exists():
        path.write_text(uuid.uuid4().hex, encoding="utf-8")
    return path.read_text(encoding="utf-8")


def _reported(trial: FrozenTrial) -> dict[int, float]:
    return dict(trial.intermediate_values)


def _epochs(trial: FrozenTrial) -> dict[int, Metrics]:
    numbers = (int(name.removeprefix(_EPOCH)) for name in trial.user_attrs if name.startswith(_EPOCH))
    return {number: trial.user_attrs[f"{_EPOCH}{number}"] for number in sorted(numbers)}


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
